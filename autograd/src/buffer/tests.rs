use rusty_fork::rusty_fork_test;

use super::*;

#[test]
fn a_dropped_block_is_used_again_and_zeroed_on_request() {
    let len = 123_457; // a size that no other test asks for
    let mut first = Buffer::<f32>::zeroed(len);
    first.fill(7.0);
    let address = first.as_ptr();
    drop(first);
    let second = Buffer::<f32>::zeroed(len);
    assert_eq!(second.as_ptr(), address);
    assert!(second.iter().all(|&v| v == 0.0));
    assert_eq!(address as usize % ALIGNMENT, 0);
}

#[test]
fn a_large_block_is_zeroed_at_first_and_on_request_and_starts_on_a_huge_page() {
    let len = 3 * HUGE / size_of::<f32>() + 1;
    let zeroed = || {
        let block = Buffer::<f32>::zeroed(len);
        assert!(block.len() == len && block.iter().all(|&v| v == 0.0));
        block
    };
    let mut first = zeroed();
    assert_eq!(first.as_ptr() as usize % HUGE_PAGE, 0);
    first.fill(7.0);
    drop(first);
    zeroed();
}

rusty_fork_test! {
    /// In a process of its own: two threads that both find room for a block leave less of it.
    #[test]
    fn cached_memory_stays_within_a_quarter_of_the_peak() {
        for i in 1..200 {
            drop(Buffer::<f64>::scratch(40_000 + 1000 * i));
            let usage = usage();
            assert!(usage.cached <= usage.peak_live + usage.peak_live / 4, "{usage:?}");
        }
    }
}
