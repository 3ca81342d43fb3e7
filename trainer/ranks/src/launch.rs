//! Whether this process was started as one of several.

/// How launchers of MPI tell a process how many it is of: Open MPI, and those that speak PMI.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

/// How many processes a launcher of MPI has started with this one; 1 where there is none. Tasks that `srun` starts without MPI
/// are each by itself.
pub fn launched() -> usize {
    let sizes = SIZES.iter().filter_map(|name| std::env::var(name).ok()?.parse().ok());
    sizes.max().unwrap_or(1).max(1)
}

/// Whether a launcher has prepared what MPI needs. Without one, MPI would start a daemon for nothing.
#[cfg(feature = "mpi")]
pub(crate) fn has_launcher() -> bool {
    ["OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"].iter().any(|name| std::env::var_os(name).is_some())
}
