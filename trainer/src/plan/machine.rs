//! How much memory there is to take.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The memory that this process can have, in bytes: what is available, and what it holds already.
///
/// On Linux it is the smaller of `MemAvailable` of `/proc/meminfo` and what the control groups of the process leave
/// (version 2 and 1; pages of files that can be dropped count as left). Elsewhere it is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// `None` where the system does not tell.
    pub available: Option<usize>,
    /// Whether a control group is the limit.
    pub limited_by_group: bool,
}

impl Machine {
    /// This machine, at this moment.
    pub fn here() -> Self {
        Self::of(Path::new("/"))
    }

    /// As [`here`](Self::here), of files below another root.
    pub fn of(root: &Path) -> Self {
        let meminfo = fs::read_to_string(root.join("proc/meminfo")).unwrap_or_default();
        let status = fs::read_to_string(root.join("proc/self/status")).unwrap_or_default();
        let own = kilobytes(&status, "VmRSS:").unwrap_or(0);
        let system = kilobytes(&meminfo, "MemAvailable:");
        let group = groups(root).iter().filter_map(|folder| left(folder)).min();
        let limited_by_group = group.is_some_and(|group| system.is_none_or(|system| group < system));
        let available = [system, group].into_iter().flatten().min().map(|bytes| bytes + own);
        Self { available, limited_by_group }
    }
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
        let expected = Machine { available: Some(21_000 * 1024), limited_by_group: false };
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
        assert!(of("8000000", "max").limited_by_group);
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
    fn elsewhere_it_is_unknown() {
        assert_eq!(Machine::of(root(&[]).path()), Machine::default());
    }
}
