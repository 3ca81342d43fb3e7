//! The command line's entry: parses, prints errors, chooses the exit code.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
#[cfg(target_os = "linux")]
use memory::{Machine, OutOfMemory};
use ranks::Ranks;
use trainer::cli::{self, Cli, Command};

static STOP: AtomicBool = AtomicBool::new(false);

/// What a shell reports of a program that SIGPIPE ended.
const CLOSED_PIPE: i32 = 128 + 13;
/// How the streams are called in messages.
const OUTPUT: &str = "standard output";
/// See [`OUTPUT`].
const ERRORS: &str = "standard error";
const NO_HANDLER: &str = "Ctrl-C cannot be handled";

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    start_with_one_arena();
    autograd::buffer::return_freed_memory();
    end_on_what_the_system_refuses();
    let cli = cli::parse(std::env::args_os()).unwrap_or_else(|said| explain(&said));
    let ranks = match connect() {
        Ok(ranks) => ranks,
        Err(error) => {
            complain(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = listen(&cli, ranks.is_first()).and_then(|()| {
        let run = || trainer::commands::run(cli, &ranks, &STOP);
        memory::within(run).map_err(Into::into)
    });
    let done = done.map(|()| io::stdout().flush());
    match done {
        Ok(Err(error)) => end(OUTPUT, error),
        Ok(Ok(())) => match ranks.finish() {
            Ok(()) if STOP.load(Ordering::Relaxed) => ExitCode::from(130),
            Ok(()) => ExitCode::SUCCESS,
            Err(lost) => fail(&ranks, &lost.to_string()),
        },
        // An error of the program's own says its cause; anything else has a chain of them.
        Err(error) => match error.downcast_ref::<trainer::Error>() {
            Some(error) => fail(&ranks, &error.to_string()),
            None => fail(&ranks, &format!("{error:#}")),
        },
    }
}

/// The ranks of the job that started this process, if it is one of several.
fn connect() -> Result<Ranks, String> {
    #[cfg(feature = "mpi")]
    return trainer::threads::connect();
    #[cfg(not(feature = "mpi"))]
    Ok(Ranks::alone())
}

/// Prints an error, unless another rank does, and ends the program. Of several processes none takes part in what MPI does at an
/// end in order.
fn fail(ranks: &Ranks, error: &str) -> ExitCode {
    if ranks.is_alone() {
        complain(&format!("error: {error}"));
        return ExitCode::FAILURE;
    }
    if ranks.is_first() {
        complain(&format!("error: {error}"));
    }
    let is_own = ranks.fail(error);
    if is_own && !ranks.is_first() {
        let (rank, host) = (ranks.rank(), ranks.host(ranks.rank()));
        complain(&format!("error, of rank {rank} on {host}: {error}"));
    }
    std::process::exit(1)
}

/// Prints a line on standard error.
fn complain(line: &str) {
    eprintln!("{}", trainer::report::for_errors(line));
}

/// Of a limited address space glibc would reserve 64 MB for each thread and leave them unused, unless the environment that the
/// program starts in says otherwise.
#[cfg(target_os = "linux")]
fn start_with_one_arena() {
    use std::os::unix::process::CommandExt;
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    let mut arguments = std::env::args_os();
    let (Ok(program), Some(name)) = (std::env::current_exe(), arguments.next()) else { return };
    if Machine::limits_the_process() && std::env::var_os(ARENAS).is_none() {
        // Comes back only where it cannot be started again; then it goes on as it is.
        drop(std::process::Command::new(program).arg0(name).args(arguments).env(ARENAS, "1").exec());
    }
}

/// What clap has to say in place of a command: help, the version, or a mistake.
fn explain(said: &clap::Error) -> ! {
    match said.print() {
        Ok(()) => std::process::exit(said.exit_code()),
        Err(error) => end(if said.use_stderr() { ERRORS } else { OUTPUT }, error),
    }
}

/// `println!` and `eprintln!` panic where a disk is full, a terminal has closed or the reader of a pipe has gone away; threads
/// where none can be started. Memory that cannot be had unwinds to where it becomes an error, and is not reported twice.
fn end_on_what_the_system_refuses() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().is::<OutOfMemory>() {
            return;
        }
        let message = panic.payload_as_str().unwrap_or_default();
        match failed_print(message) {
            Some((stream, error)) => end(stream, error),
            None if is_failed_start(message) => {
                drop(writeln!(
                    io::stderr(),
                    "error: a thread cannot be started: raise the limits of the process on memory and threads (ulimit -v, ulimit -u), or take fewer threads"
                ));
                std::process::exit(1)
            }
            None => report(panic),
        }
    }));
}

/// Whether these are the words of the standard library or of rayon for a thread that the system does not grant.
fn is_failed_start(message: &str) -> bool {
    ["failed to spawn thread", "The global thread pool has not been initialized"]
        .iter()
        .any(|words| message.starts_with(words))
}

/// The stream and the system's error in the standard library's words for a failed print.
fn failed_print(message: &str) -> Option<(&'static str, io::Error)> {
    let (stream, cause) = message.strip_prefix("failed printing to ")?.split_once(": ")?;
    let stream = match stream {
        "stdout" => OUTPUT,
        "stderr" => ERRORS,
        _ => return None,
    };
    let code = cause.rsplit_once("(os error ").and_then(|(_, code)| code.strip_suffix(')')?.parse().ok());
    Some((stream, code.map_or_else(|| io::Error::other(cause.to_owned()), io::Error::from_raw_os_error)))
}

/// Ends the program where a stream takes no more. `trainer evaluate … | head` closes its pipe: that is no fault to report.
fn end(stream: &str, error: io::Error) -> ! {
    let remedy = match error.kind() {
        ErrorKind::BrokenPipe => std::process::exit(CLOSED_PIPE),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room",
        _ => "print to a terminal or a file that is there",
    };
    // May fail too: then the exit code is all there is.
    drop(writeln!(
        io::stderr(),
        "error: {stream}: {error}; {remedy}; a run goes on with `trainer train --resume`"
    ));
    std::process::exit(1)
}

/// Where work is long, the first Ctrl-C ends it after the current step; the second ends the program.
fn listen(cli: &Cli, is_first: bool) -> anyhow::Result<()> {
    if matches!(
        cli.command,
        Some(
            Command::Inspect(_)
                | Command::Verify(_)
                | Command::Info(_)
                | Command::Explain(_)
                | Command::Plan(_)
                | Command::Evaluate(_)
                | Command::Report(_)
                | Command::Config
                | Command::Completions(_)
        )
    ) {
        return Ok(());
    }
    if let Some(Command::Watch(_)) = cli.command {
        // Nothing is under way but looking on.
        return ctrlc::set_handler(|| std::process::exit(130)).context(NO_HANDLER);
    }
    let handler = move || {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // Where the terminal has closed there is nobody to tell, and the work is still to be kept.
        if is_first {
            drop(writeln!(io::stderr(), "\nstopping after the current step; once more to stop at once"));
        }
    };
    ctrlc::set_handler(handler).context(NO_HANDLER)
}
