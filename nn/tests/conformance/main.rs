//! Layers and optimisers against other people's code, where a name begins with whose. What it skips it lists.

mod onnx;
mod pytorch_layers;
mod pytorch_operations;
mod pytorch_optimisers;
mod reference;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        onnx::trials(),
        pytorch_layers::trials(),
        pytorch_operations::trials(),
        pytorch_optimisers::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
