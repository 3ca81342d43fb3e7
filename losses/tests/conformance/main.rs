//! The losses against other people's code, where a name begins with whose. What it skips it lists.

mod monai;
mod onnx;
mod pytorch;
mod reference;

use libtest_mimic::Arguments;

fn main() {
    let trials = [pytorch::trials(), onnx::trials(), monai::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit();
}
