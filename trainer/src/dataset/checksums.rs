//! Checksums of files, which are remembered: a file that has not changed since is not read again.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use volumes::files::{read_text, rename_into_place};

use super::CaseFiles;
use crate::{Error, Result};

/// The file that remembers.
const FILE: &str = "checksums.json";
/// What changes twice within this time may have the same time both times: that of FAT is the coarsest.
const COARSEST: Duration = Duration::from_secs(2);

/// A file's length and checksum, for the record of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileSum {
    /// Relative to the data set's folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32C of its content.
    pub crc32c: u32,
}

/// Checksums that were taken before, of files that are still as they were: of the same length, number and times of change.
/// On Unix a change cannot go unseen by them, for programs set the time of a file's content but not that of its entry; and
/// what is as new as a clock's tick is not remembered, as in git's index.
#[derive(Debug, Default)]
pub struct Checksums {
    folder: Option<PathBuf>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<String, Remembered>,
    /// Those that are not in the file yet.
    new: BTreeMap<String, Remembered>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    state: FileState,
    crc32c: u32,
}

/// What a system says of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileState {
    bytes: u64,
    /// Since 1970: when the content changed.
    modified: Duration,
    /// Since 1970: when the content, name, owner or rights changed; as above where the system does not say.
    changed: Duration,
    /// The file's number on its disk, 0 where the system does not say.
    inode: u64,
}

impl FileState {
    /// None of a file that is older than 1970.
    fn of(metadata: &Metadata) -> Option<Self> {
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            let seconds = u64::try_from(metadata.ctime()).ok()?;
            (Duration::new(seconds, u32::try_from(metadata.ctime_nsec()).ok()?), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = (modified, 0);
        Some(Self { bytes: metadata.len(), modified, changed, inode })
    }

    /// Whether a later change would be seen, if the state was looked at then.
    fn is_settled(self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.modified.max(self.changed) + COARSEST < now
    }
}

impl Checksums {
    /// Those that a folder remembers. A file of them that is missing or damaged remembers nothing.
    pub fn kept_in(folder: &Path) -> Self {
        let text = read_text(&folder.join(FILE));
        let files = text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self { folder: Some(folder.to_path_buf()), known: Mutex::new(Known { files, ..Known::default() }) }
    }

    /// Length and checksum of a file; its name is told from `root` on.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(&self, root: &Path, path: &Path) -> Result<FileSum> {
        self.of_with(root, path, SystemTime::now(), crc32c_of)
    }

    /// Of a case's images and label map, and of the files beside that are read with them.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_case(&self, files: &CaseFiles) -> Result<Vec<FileSum>> {
        let folder = |path: &Path| path.parent().unwrap_or(Path::new("")).to_path_buf();
        let volumes = files.images.iter().chain(&files.label);
        let beside = volumes::files_beside(volumes.clone());
        volumes.chain(&beside).map(|path| self.of(&folder(path), path)).collect()
    }

    /// As [`of`](Self::of), at a time, by what reads a file's length and checksum.
    fn of_with(
        &self,
        root: &Path,
        path: &Path,
        now: SystemTime,
        read: impl FnOnce(&Path) -> Result<(u64, u32)>,
    ) -> Result<FileSum> {
        let relative = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
        let sum = |(bytes, crc32c)| FileSum { path: relative, bytes, crc32c };
        let key = std::path::absolute(path).ok().and_then(|path| path.to_str().map(str::to_owned));
        let state = || std::fs::metadata(path).ok().as_ref().and_then(FileState::of);
        let (Some(key), Some(before)) = (key, state()) else { return read(path).map(sum) };
        let remembered = self.lock().files.get(&key).filter(|known| known.state == before).cloned();
        if let Some(Remembered { crc32c, .. }) = remembered {
            return Ok(sum((before.bytes, crc32c)));
        }
        let (bytes, crc32c) = read(path)?;
        if before.is_settled(now) && before.bytes == bytes && state() == Some(before) {
            let mut known = self.lock();
            let remembered = Remembered { state: before, crc32c };
            known.new.insert(key.clone(), remembered.clone());
            known.files.insert(key, remembered);
        }
        Ok(sum((bytes, crc32c)))
    }

    /// Writes what is new into the folder, beside what others have written there meanwhile.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep(&self) -> Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let new = std::mem::take(&mut self.lock().new);
        if new.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let mut files = Self::kept_in(folder).known.into_inner().unwrap_or_default().files;
        files.extend(new);
        let text = serde_json::to_string_pretty(&files).expect("names and numbers are JSON");
        Ok(rename_into_place(&folder.join(FILE), |out| out.write_all(text.as_bytes()))?)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A file's length and CRC-32C.
fn crc32c_of(path: &Path) -> Result<(u64, u32)> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut buffer = vec![0; 1 << 16];
    let (mut bytes, mut sum) = (0, 0);
    loop {
        match file.read(&mut buffer).map_err(Error::io(path))? {
            0 => return Ok((bytes, sum)),
            n => {
                bytes += n as u64;
                sum = crc32c::crc32c_append(sum, &buffer[..n]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of a file so long after now, and whether it was read for that.
    fn look(checksums: &Checksums, path: &Path, after: Duration) -> (FileSum, bool) {
        let mut is_read = false;
        let read = |path: &Path| {
            is_read = true;
            crc32c_of(path)
        };
        let sum = checksums.of_with(path.parent().unwrap(), path, SystemTime::now() + after, read).unwrap();
        (sum, is_read)
    }

    #[test]
    fn a_file_is_read_again_only_where_it_may_have_changed() {
        let folder = tempfile::tempdir().unwrap();
        let [path, cache] = ["image.nii", "cache"].map(|name| folder.path().join(name));
        std::fs::write(&path, "voxels").unwrap();
        let long = Duration::from_secs(60);
        // As new as a clock's tick, it is not remembered.
        let fresh = Checksums::kept_in(&cache);
        assert!(look(&fresh, &path, Duration::ZERO).1 && look(&fresh, &path, Duration::ZERO).1);
        fresh.keep().unwrap();
        assert!(!cache.exists());

        let first = Checksums::kept_in(&cache);
        let (sum, is_read) = look(&first, &path, long);
        assert!(is_read);
        assert_eq!(sum, FileSum { path: "image.nii".into(), bytes: 6, crc32c: crc32c::crc32c(b"voxels") });
        assert_eq!(look(&first, &path, long), (sum.clone(), false));
        first.keep().unwrap();
        assert_eq!(look(&Checksums::kept_in(&cache), &path, long), (sum.clone(), false));

        // Others' checksums stay beside.
        let other = folder.path().join("mask.nii");
        std::fs::write(&other, "labels").unwrap();
        let [a, b] = [0, 1].map(|_| Checksums::kept_in(&cache));
        look(&a, &other, long);
        a.keep().unwrap();
        let third = folder.path().join("third.nii");
        std::fs::write(&third, "third").unwrap();
        look(&b, &third, long);
        b.keep().unwrap();
        let all = Checksums::kept_in(&cache);
        assert!([&path, &other, &third].iter().all(|path| !look(&all, path, long).1));

        // Of the same length and with the same time of its content, but written anew.
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let file = File::create(&path).unwrap();
        std::io::Write::write_all(&mut &file, b"VOXELS").unwrap();
        file.set_modified(modified).unwrap();
        drop(file);
        if cfg!(unix) {
            let (sum, is_read) = look(&all, &path, long);
            assert!(is_read && sum.crc32c == crc32c::crc32c(b"VOXELS"));
        }
        // Another length is seen everywhere.
        std::fs::write(&path, "more voxels").unwrap();
        assert!(look(&all, &path, long).1);
        // What is damaged remembers nothing.
        std::fs::write(cache.join(FILE), "{").unwrap();
        assert!(look(&Checksums::kept_in(&cache), &other, long).1);
    }
}
