//! How many threads this process may use, pools of them, and the time that they take.
//!
//! What the system allows is what `available_parallelism` tells: the cores of the process's affinity, within the quota of its
//! control group. A job of Slurm may be given fewer without being held to them; it says so in `SLURM_CPUS_PER_TASK`. Processes
//! that train together on the same cores share them.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Error, Result};

/// What Slurm tells a task of its cores.
const OF_TASK: &str = "SLURM_CPUS_PER_TASK";

/// Processes of this run, this one among them, that may use the very cores that this one may.
static SHARING: AtomicUsize = AtomicUsize::new(1);

/// Takes part in the job of MPI that started this process, if one did, and finds out who else may use its cores and its memory.
/// To be called once, before pools are built.
///
/// # Errors
/// If MPI cannot be had, or a process is lost.
#[cfg(feature = "mpi")]
pub fn connect() -> std::result::Result<ranks::Ranks, String> {
    let ranks = ranks::connect()?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    let host = ranks.host(ranks.rank()).to_owned();
    let said =
        ranks.gather(format!("{host}\t{}", cores.trim()).as_bytes()).map_err(|lost| lost.to_string())?;
    let own = &said[ranks.rank()];
    SHARING.store(said.iter().filter(|other| *other == own).count(), Ordering::Relaxed);
    let is_here = |other: &&Vec<u8>| other.split(|&byte| byte == b'\t').next() == Some(host.as_bytes());
    memory::share_machine(said.iter().filter(is_here).count());
    Ok(ranks)
}

/// The threads that this process takes where it is not told how many: at least 1.
pub fn available() -> usize {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let of_task = std::env::var(OF_TASK).ok();
    allowed(cores, of_task.as_deref(), SHARING.load(Ordering::Relaxed))
}

fn allowed(cores: usize, of_task: Option<&str>, sharing: usize) -> usize {
    let given: Option<usize> = of_task.and_then(|text| text.trim().parse().ok()).filter(|&cores| cores > 0);
    given.unwrap_or(cores).min(cores / sharing).max(1)
}

/// A pool of so many threads, or of [`available`] ones where that is 0. `setting` is what a refusal names.
///
/// # Errors
/// If the threads cannot be had.
pub(crate) fn pool(setting: &str, threads: usize) -> Result<ThreadPool> {
    let number = if threads == 0 { available() } else { threads };
    let pool = ThreadPoolBuilder::new().num_threads(number).build();
    pool.map_err(|e| Error::Usage(format!("{setting} is {threads}: {e}")))
}

/// The seconds of processor time that all threads of this process have taken so far; `None` where the system does not tell.
pub(crate) fn processor_time() -> Option<f64> {
    /// Of a second, in which Linux counts for programs.
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, between brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = |field: usize| fields.split_whitespace().nth(field)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn threads_are_those_of_the_system_the_job_and_the_processes_that_share_them() {
        assert_eq!(allowed(16, None, 1), 16);
        assert_eq!(allowed(16, Some("4"), 1), 4);
        assert_eq!(allowed(2, Some("4"), 1), 2, "a job's word does not make cores");
        assert_eq!(allowed(16, None, 3), 5);
        assert_eq!(allowed(2, None, 4), 1);
        assert_eq!(allowed(16, Some("4"), 4), 4, "tasks of a job have cores of their own");
        assert_eq!(allowed(16, Some("16"), 4), 4, "and processes within one task have not");
        for odd in ["", "0", "four", "-1"] {
            assert_eq!(allowed(8, Some(odd), 1), 8, "{odd:?}");
        }
    }
}
