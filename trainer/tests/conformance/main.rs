//! Metrics against scikit-learn and MedPy, volumes against nibabel; each case is a test of its own, and what is skipped is
//! listed.

mod info;
mod metrics;
mod nifti;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    let trials = [info::trials(), metrics::trials(), nifti::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit();
}
