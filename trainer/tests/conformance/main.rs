//! What the program says of volumes, against nibabel; each case is a test of its own, and what is skipped is listed.

mod info;

use libtest_mimic::Arguments;

fn main() {
    libtest_mimic::run(&Arguments::from_args(), info::trials()).exit();
}
