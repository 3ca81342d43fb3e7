//! Laws of ranks, in threads.

use std::sync::Arc;
use std::thread;

use proptest::prelude::*;
use ranks::{Layout, Ranks};

/// What `work` gives on each of so many ranks.
fn on_each<R: Send>(size: usize, work: impl Fn(Ranks) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let threads: Vec<_> = Ranks::in_threads(size)
            .into_iter()
            .map(|ranks| {
                let work = &work;
                scope.spawn(move || work(ranks))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A number that looks random, of very different sizes.
fn number(seed: u64) -> f32 {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) as f32 / 8_388_608.0 - 1.0) * 10f32.powi((mixed % 13) as i32 - 6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_sum_is_added_in_the_order_of_the_samples_whatever_the_ranks(
        size in 1..6usize,
        more in 0..4usize,
        lengths in prop::collection::vec(1..9000usize, 1..6),
        left_out in prop::collection::vec(any::<bool>(), 6),
        sums in 1..4u64,
    ) {
        let samples = size + more;
        let value = |round: u64, sample: usize, array: usize, i: usize| {
            if left_out[array] { 0.0 } else { number(round * 7_000_003 + (sample * 6 + array) as u64 * 10_007 + i as u64) }
        };
        let found = on_each(size, |ranks| {
            let layout = Arc::new(Layout::new(lengths.iter().copied(), size));
            let mut all = Vec::new();
            for round in 0..sums {
                let mut sum = ranks.sum(&layout, samples);
                for sample in ranks.share(samples) {
                    // As backward passes come to them: not all, and in some order of their own.
                    for array in (0..lengths.len()).rev().filter(|&array| !left_out[array]) {
                        let numbers: Vec<f32> = (0..lengths[array]).map(|i| value(round, sample, array, i)).collect();
                        sum.give(sample, array, &numbers);
                    }
                    sum.end_of_sample(sample);
                }
                let mut bits = vec![0u32; layout.numbers()];
                sum.finish(|place, numbers| {
                    bits[place].iter_mut().zip(numbers).for_each(|(bits, number)| *bits = number.to_bits());
                })
                .unwrap();
                all.push(bits);
            }
            all
        });
        let mut expected = Vec::new();
        for round in 0..sums {
            let of_array = |array: usize| (0..lengths[array]).map(move |i| (array, i));
            let places = (0..lengths.len()).flat_map(of_array);
            expected.push(places.map(|(array, i)| {
                let terms = (1..samples).map(|sample| value(round, sample, array, i));
                terms.fold(value(round, 0, array, i), |sum, x| sum + x).to_bits()
            }).collect::<Vec<u32>>());
        }
        prop_assert!(found.iter().all(|of_rank| *of_rank == expected));
    }

    #[test]
    fn shares_are_neighbours_that_make_the_whole(size in 1..9usize, things in 0..40usize) {
        let shares: Vec<_> = Ranks::in_threads(size).iter().map(|ranks| ranks.share(things)).collect();
        let together: Vec<usize> = shares.iter().cloned().flatten().collect();
        prop_assert_eq!(together, (0..things).collect::<Vec<_>>());
        let lengths = shares.iter().map(|share| share.len());
        prop_assert!(lengths.clone().max().unwrap() - lengths.min().unwrap() <= 1);
    }
}

#[test]
fn what_all_say_is_known_to_all_in_order() {
    let found = on_each(4, |ranks| {
        let rank = ranks.rank();
        let words = ranks.gather(format!("rank {rank}").as_bytes()).unwrap();
        let numbers = ranks.gather_numbers(&vec![rank as f64 + 0.1; rank]).unwrap();
        let first = ranks.of_first(&[rank as u8]).unwrap();
        (words, numbers, first, ranks.any(rank == 2).unwrap(), ranks.any(false).unwrap())
    });
    let words: Vec<Vec<u8>> = (0..4).map(|rank| format!("rank {rank}").into_bytes()).collect();
    for (said, numbers, first, one, none) in found {
        assert_eq!(said, words);
        assert_eq!(numbers, [1.1, 2.1, 2.1, 3.1, 3.1, 3.1]);
        assert_eq!((first, one, none), (vec![0], true, false));
    }
}

#[test]
fn a_stream_keeps_its_order_beside_others() {
    on_each(3, |ranks| {
        let (size, rank) = (ranks.size(), ranks.rank());
        for packet in 0..50u8 {
            for stream in 0..2 {
                ranks.send((rank + 1) % size, stream, &[packet, stream as u8, rank as u8]);
            }
        }
        let from = (rank + size - 1) % size;
        for stream in [1, 0] {
            for packet in 0..50u8 {
                assert_eq!(ranks.receive(from, stream).unwrap(), [packet, stream as u8, from as u8]);
            }
        }
    });
}

#[test]
fn ranks_that_differ_are_told_apart_by_name() {
    let facts = |rank: usize, odd: usize| {
        let value = if rank == odd { "avx2" } else { "avx512" };
        vec![("program".to_owned(), "1".to_owned()), ("instruction set".to_owned(), value.to_owned())]
    };
    let alike = on_each(3, |ranks| ranks.disagreement(&facts(ranks.rank(), 9)).unwrap());
    assert!(alike.iter().all(Option::is_none));
    let found = on_each(3, |ranks| ranks.disagreement(&facts(ranks.rank(), 2)).unwrap());
    let words =
        "rank 2 on this machine has another instruction set (avx2) than rank 0 on this machine (avx512)";
    assert!(found.iter().all(|found| found.as_deref() == Some(words)), "{found:?}");
}

#[test]
fn who_waits_for_a_rank_that_has_ended_is_told_why() {
    let found = on_each(3, |ranks| match ranks.rank() {
        1 => {
            ranks.fail("case a: is damaged");
            String::new()
        }
        _ => {
            let lost = ranks.gather(&[]).unwrap_err();
            assert!(lost.told && lost.rank == 1);
            // The first rank alone speaks of another's end.
            assert_eq!(ranks.fail(&lost.to_string()), ranks.is_first());
            lost.to_string()
        }
    });
    assert_eq!(found[0], "rank 1 of 3 on this machine has ended: case a: is damaged");
    assert_eq!(found[0], found[2]);
}

#[test]
fn an_error_that_all_have_is_printed_by_the_first() {
    let printed = on_each(3, |ranks| ranks.fail("optimizer.lr is 0"));
    assert_eq!(printed, [true, false, false]);
    let printed =
        on_each(3, |ranks| ranks.fail(if ranks.rank() == 2 { "no memory" } else { "optimizer.lr is 0" }));
    assert_eq!(printed, [true, false, true]);
}

#[test]
fn ranks_come_to_their_end_together() {
    assert!(on_each(3, |ranks| ranks.finish().is_ok()).iter().all(|&ended| ended));
}

#[test]
fn who_is_at_its_end_hears_of_an_error_of_another() {
    let ends = on_each(2, |ranks| match ranks.is_first() {
        true => {
            ranks.fail("the disk is full");
            String::new()
        }
        false => ranks.finish().unwrap_err().to_string(),
    });
    assert_eq!(ends[1], "rank 0 of 2 on this machine has ended: the disk is full");
}

#[test]
fn a_rank_that_has_come_to_its_end_is_not_waited_for() {
    let ends = on_each(2, |ranks| match ranks.is_first() {
        true => ranks.gather(&[]).map(drop).map_err(|lost| {
            ranks.fail(&lost.to_string());
            lost.to_string()
        }),
        // It leaves out what the other wants to hear.
        false => ranks.finish().map_err(|lost| lost.to_string()),
    });
    let words = ends[0].as_ref().unwrap_err();
    assert_eq!(words, "rank 1 of 2 on this machine has come to its end before the others");
}
