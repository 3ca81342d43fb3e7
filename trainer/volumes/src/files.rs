//! Files that are there whole or not at all, and streams whose checksums are compared.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use serde::Serialize;

use crate::{Error, Result};

/// How the names of files and folders begin that are being written; a kill leaves them.
pub const WRITING: &str = ".writing-";
/// How much is read behind the voxels to reach a compressed stream's checksum.
const MOST_TRAILING: usize = 1 << 20;
/// Texts for people to write; a longer one is none.
const LONGEST_TEXT: u64 = 16 << 20;

/// Opens a plain file and gives its length. Anything else is refused before it is opened: a pipe would wait for a writer, a
/// device may have no end.
pub fn open_plain(path: &Path) -> Result<(File, u64)> {
    let metadata = std::fs::metadata(path).map_err(Error::io(path))?;
    if !metadata.is_file() {
        return Err(Error::file(path, "is not a file but a folder, a pipe or a device; name a file"));
    }
    Ok((File::open(path).map_err(Error::io(path))?, metadata.len()))
}

/// Refuses what stands in for a file that was not fetched: a pointer of Git LFS, or a page of a web server.
pub fn refuse_stand_in(path: &Path, file: &mut impl io::BufRead) -> Result<()> {
    let start = file.fill_buf().map_err(Error::io(path))?;
    let is_page = |tag: &[u8]| start.len() >= tag.len() && start[..tag.len()].eq_ignore_ascii_case(tag);
    let message = if start.starts_with(b"version https://git-lfs") {
        "is a pointer of Git LFS in the place of the file; fetch it with `git lfs pull`"
    } else if is_page(b"<!doctype html") || is_page(b"<html") {
        "is a web page in the place of the file; download the file itself"
    } else {
        return Ok(());
    };
    Err(Error::file(path, message))
}

/// The bytes of a plain file that is at most so long.
pub fn read_plain(path: &Path, most: u64) -> Result<Vec<u8>> {
    let (file, length) = open_plain(path)?;
    if length > most {
        return Err(Error::file(
            path,
            format!("has {length} bytes, of {most} at most; is it the right file?"),
        ));
    }
    let mut bytes = Vec::new();
    let room = bytes.try_reserve_exact(length as usize);
    room.map_err(|e| Error::file(path, format!("has {length} bytes, which memory cannot hold ({e})")))?;
    file.take(most).read_to_end(&mut bytes).map_err(Error::io(path))?;
    Ok(bytes)
}

/// The text of a plain file of a data set.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_plain(path, LONGEST_TEXT)?;
    String::from_utf8(bytes)
        .map_err(|e| Error::file(path, format!("is not text in UTF-8 ({e}); save it as such")))
}

/// Writes a file beside `path` with `fill` and renames it to `path` once it is whole and on disk.
pub fn rename_into_place(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let work = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        // The umask decides, as for any other file; the default would be readable by its owner alone.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.prefix(WRITING).tempfile_in(folder)?;
        let mut out = BufWriter::with_capacity(1 << 16, temporary);
        fill(&mut out)?;
        let temporary = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        File::sync_all(temporary.as_file())?;
        temporary.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    work().map_err(Error::io(path))?;
    sync_folder(folder)
}

/// Waits until the names in a folder are on disk.
pub fn sync_folder(path: &Path) -> Result<()> {
    // Only Unix opens folders as files.
    if cfg!(unix) { File::open(path).and_then(|f| f.sync_all()).map_err(Error::io(path)) } else { Ok(()) }
}

/// Fills a folder beside `path` with `fill` and renames it to `path` once it is whole. Where there is an error, or
/// nothing to keep, nothing stays.
pub fn folder_into_place<T, E: From<Error>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let mut builder = tempfile::Builder::new();
    // As above: the umask decides.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    let folder = builder.prefix(WRITING).tempdir_in(parent).map_err(Error::io(parent))?;
    let Some(made) = fill(folder.path())? else { return Ok(None) };
    std::fs::rename(folder.path(), path).map_err(Error::io(path))?;
    // What it would remove is not there.
    let _ = folder.keep();
    sync_folder(parent)?;
    Ok(Some(made))
}

/// Writes what a command line names: what is there and no plain file, such as a pipe or `/dev/stdout`, is written to, and of
/// a link what it leads to is replaced.
pub fn write_where_named(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
            let mut out = std::fs::OpenOptions::new().write(true).open(path).map_err(Error::io(path))?;
            fill(&mut out).map_err(Error::io(path))
        }
        Ok(_) if path.is_symlink() => rename_into_place(&path.canonicalize().map_err(Error::io(path))?, fill),
        _ => rename_into_place(path, fill),
    }
}

/// Writes a value as JSON, for people to read too.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::file(path, format!("no JSON: {e}")))?;
    write_where_named(path, |out| writeln!(out, "{text}"))
}

/// Reads a compressed stream on to its end, where its checksum is compared; much more than that is not read.
pub fn reach_checksum(reader: &mut dyn Read) -> io::Result<()> {
    let mut buffer = [0; 1 << 13];
    let mut seen = 0;
    while seen < MOST_TRAILING {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => seen += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_a_command_line_names_is_written_to_and_not_replaced_where_it_is_no_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link, dangling] = ["file", "link", "dangling"].map(|name| folder.path().join(name));
        std::fs::write(&file, "old").unwrap();
        symlink(&file, &link).unwrap();
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        let write = |path: &Path| write_where_named(path, |out| out.write_all(b"new"));
        write(&link).unwrap();
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        // A pipe takes it, and stays one.
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::read(pipe).unwrap())
        };
        write(&pipe).unwrap();
        assert_eq!(reader.join().unwrap(), b"new");
        assert!(!std::fs::metadata(&pipe).unwrap().is_file());
        write(&dangling).unwrap();
        assert_eq!(std::fs::read(&dangling).unwrap(), b"new");
    }
}
