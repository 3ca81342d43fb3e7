//! Volumes against nibabel; each case is a test of its own, and what is skipped is listed.

mod nifti;

use libtest_mimic::Arguments;

fn main() {
    libtest_mimic::run(&Arguments::from_args(), nifti::trials()).exit();
}
