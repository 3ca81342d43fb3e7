//! How much memory there is to take.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fmt, fs};

use serde::Serialize;

/// The memory that this process can have, in bytes: what is available, and what it holds already.
///
/// On Linux it is the smallest of `MemAvailable` of `/proc/meminfo`, what the control groups of the process leave (version 2
/// and 1; pages of files that can be dropped count as left), and what the limits of the process itself leave, which batch
/// systems set: `RLIMIT_AS`, which counts addresses, and `RLIMIT_DATA`. Elsewhere it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `None` where the system does not tell.
    pub available: Option<usize>,
    /// What sets the limit.
    pub limit: Limit,
}

/// What limits the memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// The memory of the machine.
    #[default]
    Machine,
    /// A control group, such as a container's.
    ControlGroup,
    /// `RLIMIT_AS`, set by `ulimit -v`.
    AddressSpace,
    /// `RLIMIT_DATA`, set by `ulimit -d`.
    Data,
}

/// See [`share_machine`].
static SHARING: AtomicUsize = AtomicUsize::new(1);

/// Says that so many processes, this one among them, take equal parts of what this machine has.
pub fn share_machine(processes: usize) {
    SHARING.store(processes.max(1), Ordering::Relaxed);
}

impl Machine {
    /// This machine, at this moment; of several processes that share it, each one's part.
    pub fn here() -> Self {
        let all = Self::of(Path::new("/"));
        match all.limit {
            Limit::Machine | Limit::ControlGroup => {
                let sharing = SHARING.load(Ordering::Relaxed);
                Self { available: all.available.map(|bytes| bytes / sharing), ..all }
            }
            // Each has its own.
            Limit::AddressSpace | Limit::Data => all,
        }
    }

    /// As [`here`](Self::here), of files below another root.
    pub fn of(root: &Path) -> Self {
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
        let own = kilobytes(&status, "VmRSS:").unwrap_or(0);
        let limits = fs::read_to_string(root.join("proc/self/limits")).unwrap_or_default();
        let process = |limit: &str, used: &str| {
            let used = kilobytes(&status, used).unwrap_or(0) + unseen();
            Some(soft_limit(&limits, limit)?.saturating_sub(used))
        };
        let left = [
            (Limit::Machine, kilobytes(&meminfo, "MemAvailable:")),
            (Limit::ControlGroup, groups(root).iter().filter_map(|folder| left(folder)).min()),
            (Limit::AddressSpace, process("Max address space", "VmSize:")),
            (Limit::Data, process("Max data size", "VmData:")),
        ];
        // Of equal ones the first.
        let least =
            left.into_iter().filter_map(|(limit, left)| Some((left?, limit))).min_by_key(|&(left, _)| left);
        let (left, limit) = least.map_or((None, Limit::default()), |(left, limit)| (Some(left + own), limit));
        Self { available: left, limit }
    }

    /// Whether addresses or data of this process are limited, whatever the machine has.
    pub fn limits_the_process() -> bool {
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        ["Max address space", "Max data size"].iter().any(|name| soft_limit(&limits, name).is_some())
    }

    /// What to do where that is not enough.
    pub fn remedy(&self) -> &'static str {
        match self.limit {
            Limit::Machine => "close other programs, or take smaller volumes or a larger machine",
            Limit::ControlGroup => "give the group more memory, or take smaller volumes",
            Limit::AddressSpace => "raise that limit (ulimit -v unlimited), or take smaller volumes",
            Limit::Data => "raise that limit (ulimit -d unlimited), or take smaller volumes",
        }
    }
}

/// Who has how much.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(available) = self.available.map(in_words) else {
            return write!(f, "what the machine has is not known");
        };
        match self.limit {
            Limit::Machine => write!(f, "the machine has {available}"),
            Limit::ControlGroup => write!(f, "the control group has {available}"),
            Limit::AddressSpace => {
                write!(f, "the limit of the process (ulimit -v) leaves it {available} in all")
            }
            Limit::Data => write!(f, "the limit of the process (ulimit -d) leaves it {available} in all"),
        }
    }
}

/// What counts against a limit of the process and is in no estimate: stacks of threads, of which a run has two pools and of
/// which 2 MB each are reserved, and what allocators keep.
fn unseen() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (16 << 20) + threads * (4 << 20)
}

/// Bytes as MB or GB.
pub fn in_words(bytes: usize) -> String {
    const MEGABYTE: f64 = (1u64 << 20) as f64;
    match bytes as f64 / MEGABYTE {
        few if few < 1024.0 => format!("{few:.0} MB"),
        many => format!("{:.1} GB", many / 1024.0),
    }
}

/// `Max address space   1048576   unlimited   bytes`: the first number, where there is one.
fn soft_limit(limits: &str, name: &str) -> Option<usize> {
    limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The most memory in bytes that this process has held so far (`VmHWM`); `None` where the system does not tell.
pub fn peak_memory() -> Option<usize> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// `MemAvailable:  23148 kB` in bytes.
fn kilobytes(text: &str, key: &str) -> Option<usize> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value.trim().trim_end_matches("kB").trim().parse::<usize>().ok()?.checked_mul(1024)
}

/// The folders of the groups that limit the memory of the process, from its own to the topmost.
fn groups(root: &Path) -> Vec<PathBuf> {
    let listed = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut folders = Vec::new();
    for line in listed.lines() {
        // hierarchy:controllers:path
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let top = match controllers {
            "" => root.join("sys/fs/cgroup"),
            all if all.split(',').any(|controller| controller == "memory") => {
                root.join("sys/fs/cgroup/memory")
            }
            _ => continue,
        };
        // In a container the path may be one that only the host has: the top is looked at in any case.
        let own = top.join(path.trim_start_matches('/'));
        folders.extend(own.ancestors().take_while(|folder| folder.starts_with(&top)).map(Path::to_path_buf));
    }
    folders
}

/// What a group leaves, if it has a limit.
fn left(folder: &Path) -> Option<usize> {
    let number = |name: &str| {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok().map(|n| n as usize)
    };
    let limit = number("memory.max").or_else(|| number("memory.limit_in_bytes"))?;
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let statistics = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let dropped = statistics.lines().find_map(|line| {
        let value = line.strip_prefix("inactive_file ").or_else(|| line.strip_prefix("total_inactive_file "));
        value?.trim().parse::<usize>().ok()
    });
    Some(limit.saturating_sub(used.saturating_sub(dropped.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:       32000 kB\nMemFree:  10 kB\nMemAvailable:    20000 kB\n");
    const STATUS: (&str, &str) = ("proc/self/status", "VmPeak:\t 9 kB\nVmRSS:\t    1000 kB\n");

    #[test]
    fn without_groups_it_is_what_is_available_and_what_is_held_already() {
        let root = root(&[MEMINFO, STATUS]);
        let expected = Machine { available: Some(21_000 * 1024), limit: Limit::Machine };
        assert_eq!(Machine::of(root.path()), expected);
    }

    #[test]
    fn the_narrowest_group_limits_and_pages_of_files_count_as_left() {
        let of = |own: &str, above: &str| {
            let root = root(&[
                MEMINFO,
                STATUS,
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/memory.max", own),
                ("sys/fs/cgroup/a/b/memory.current", "3000000"),
                ("sys/fs/cgroup/a/b/memory.stat", "anon 5\ninactive_file 1000000\n"),
                ("sys/fs/cgroup/a/memory.max", above),
                ("sys/fs/cgroup/a/memory.current", "3000000"),
            ]);
            Machine::of(root.path())
        };
        let held = 1000 * 1024;
        assert_eq!(of("8000000", "max").available, Some(6_000_000 + held));
        assert_eq!(of("8000000", "7000000").available, Some(4_000_000 + held));
        assert_eq!(of("8000000", "max").limit, Limit::ControlGroup);
        assert_eq!(of("max", "max").available, Some(21_000 * 1024));
        assert_eq!(of("2000000", "max").available, Some(held));
    }

    #[test]
    fn groups_of_the_first_version_count_and_their_word_for_no_limit_does_not() {
        let of = |limit: &str| {
            let root = root(&[
                MEMINFO,
                ("proc/self/cgroup", "3:cpu:/x\n7:memory:/docker/abc\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", limit),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000"),
            ]);
            Machine::of(root.path()).available
        };
        assert_eq!(of("5000000"), Some(4_000_000));
        assert_eq!(of("9223372036854771712"), Some(20_000 * 1024));
    }

    #[test]
    fn limits_of_the_process_count_and_are_named() {
        let of = |space: &str, data: &str| {
            let limits = format!(
                "Limit                     Soft Limit           Hard Limit           Units     \n\
                 Max data size             {data}            unlimited            bytes     \n\
                 Max address space         {space}            unlimited            bytes     \n"
            );
            let status = "VmPeak:\t 9 kB\nVmSize:\t    5000 kB\nVmRSS:\t    1000 kB\nVmData:\t    2000 kB\n";
            Machine::of(root(&[MEMINFO, ("proc/self/status", status), ("proc/self/limits", &limits)]).path())
        };
        assert_eq!(
            of("unlimited", "unlimited"),
            Machine { available: Some(21_000 << 10), limit: Limit::Machine }
        );
        // Beside what is used already; what is held counts as had.
        let limit = |kilobytes: usize| ((kilobytes << 10) + unseen()).to_string();
        let limited = of(&limit(10_000), "unlimited");
        assert_eq!(limited, Machine { available: Some(6000 << 10), limit: Limit::AddressSpace });
        assert_eq!(limited.to_string(), "the limit of the process (ulimit -v) leaves it 6 MB in all");
        assert!(limited.remedy().contains("ulimit -v unlimited"));
        let data = of("unlimited", &limit(4000));
        assert_eq!(data, Machine { available: Some(3000 << 10), limit: Limit::Data });
        assert_eq!(of("1024", "unlimited").available, Some(1000 << 10));
    }

    #[test]
    fn elsewhere_it_is_unknown() {
        assert_eq!(Machine::of(root(&[]).path()), Machine::default());
    }
}
