//! The network against PyTorch's, and the memory model against an allocator that counts: cases that are listed by name when
//! the program runs.

mod memory_model;
mod pytorch;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    if memory_model::is_measured() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let trials = [pytorch::trials(), memory_model::trials()];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}
