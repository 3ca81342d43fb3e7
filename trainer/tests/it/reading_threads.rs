//! Cases are read in a pool of as many threads as the plan's memory reckons with, whatever pool there is around.
//!
//! Who reads a case asks for a block of memory as large as its image: the allocator notes which threads do. In a process of
//! its own, because its neighbours ask for such blocks, too.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use clap::Parser;
use rusty_fork::rusty_fork_test;
use trainer::cli::Cli;
use trainer::commands::run;
use volumes::nifti;

use crate::support::counting::Counting;
use crate::support::small;

const SHAPE: [usize; 3] = [32, 64, 64];
/// The bytes of an image.
const LARGE: usize = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2];

/// Large blocks by threads of the pool around, and by others.
static BLOCKS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

thread_local! {
    static IS_AROUND: Cell<bool> = const { Cell::new(false) };
}

/// The allocator of all tests, which count by thread what is held, and large blocks beside.
struct Noting;

impl Noting {
    fn note(bytes: usize) {
        if bytes >= LARGE {
            let is_around = IS_AROUND.try_with(Cell::get).unwrap_or(false);
            BLOCKS[usize::from(!is_around)].fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call is the counting allocator's with the caller's arguments; a note takes no memory.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { Counting.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::note(layout.size());
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { Counting.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        Self::note(bytes);
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { Counting.realloc(block, layout, bytes) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the one that is asked for.
        unsafe { Counting.dealloc(block, layout) }
    }
}

#[global_allocator]
static NOTING: Noting = Noting;

rusty_fork_test! {
    #[test]
    fn cases_are_read_in_a_pool_of_their_own() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        small::write_data_set(path("data").as_ref(), SHAPE, 1, 2, [3, 0]);
        // The run ends as it reads: no class is called 7.
        let file = path("data/labelsTr/case_2.nii.gz");
        let label = volumes::Stored::read(&file).unwrap();
        nifti::write(&file, label.header.nifti.as_deref().unwrap(), &vec![7u8; label.to_f32().len()]).unwrap();

        let around = rayon::ThreadPoolBuilder::new().num_threads(2);
        let around = around.start_handler(|_| IS_AROUND.set(true)).build().unwrap();
        let train = ["train", &path("data"), "--out", &path("run"), "--threads", "1"].map(str::to_owned);
        for more in [vec![], vec!["--cache".to_owned(), path("cache")]] {
            let sets = small::TINY.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]);
            let program = ["trainer".to_owned()];
            let cli = Cli::parse_from(program.into_iter().chain(train.clone()).chain(sets).chain(more));
            BLOCKS.iter().for_each(|blocks| blocks.store(0, Ordering::Relaxed));
            let error = around.install(|| run(cli, &ranks::Ranks::alone(), &AtomicBool::new(false))).unwrap_err().to_string();
            assert!(error.contains("case_2") && error.contains("holds 7"), "{error}");
            let [by_around, by_others] = BLOCKS.each_ref().map(|blocks| blocks.load(Ordering::Relaxed));
            assert_eq!(by_around, 0, "blocks of cases are asked for outside of the pool");
            assert!(by_others > 0, "cases are read");
        }
    }
}
