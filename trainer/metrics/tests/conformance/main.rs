//! Metrics against scikit-learn and MedPy; each case is a test of its own, and what is skipped is listed.

mod suites;

use libtest_mimic::Arguments;

fn main() {
    libtest_mimic::run(&Arguments::from_args(), suites::trials()).exit();
}
