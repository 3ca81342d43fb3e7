//! The network against PyTorch's: cases that are listed by name when the program runs.

mod pytorch;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), pytorch::trials()).exit_code()
}
