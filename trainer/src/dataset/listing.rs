//! What a folder of volumes holds: files with a volume's ending, and folders of PNG slices.

use std::path::{Path, PathBuf};

use volumes::{Format, split_ending};

use crate::{Error, Result};

/// The visible entries of a folder.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    /// The volumes by their names in the folder, sorted; of a pair of header and voxels the header stands for both.
    pub(crate) volumes: Vec<(String, PathBuf)>,
    /// The names of all else, sorted.
    pub(crate) others: Vec<String>,
}

impl Volumes {
    /// Looks at names alone.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let mut found = Self::default();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            let path = entry.map_err(Error::io(folder))?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            let is_volume = match path.is_dir() {
                true => holds_slices(&path),
                false => Format::of(&path).is_ok() && !is_voxels_of_a_pair(&path),
            };
            match is_volume {
                _ if name.starts_with('.') => {}
                true => found.volumes.push((name, path)),
                false => found.others.push(name),
            }
        }
        found.volumes.sort();
        found.others.sort();
        Ok(found)
    }

    /// The volumes by their names without ending; a folder of slices has none.
    pub(crate) fn by_stem(self) -> Vec<(String, PathBuf)> {
        let stem = |(name, path): (String, PathBuf)| match split_ending(&name).filter(|_| !path.is_dir()) {
            Some((stem, _)) => (stem.to_owned(), path),
            None => (name, path),
        };
        self.volumes.into_iter().map(stem).collect()
    }
}

/// The first folder within a folder that has volumes, as where each patient has a folder.
pub(crate) fn folder_of_volumes(folder: &Path) -> Option<String> {
    let Volumes { others, .. } = Volumes::of(folder).ok()?;
    let has_volumes =
        |name: &String| Volumes::of(&folder.join(name)).is_ok_and(|inner| !inner.volumes.is_empty());
    others.into_iter().find(has_volumes)
}

fn holds_slices(folder: &Path) -> bool {
    let is_slice = |path: PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_slice(entry.path())))
}

/// Of a `.hdr`/`.img` pair the header stands for both.
fn is_voxels_of_a_pair(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [(".img", ".hdr"), (".img.gz", ".hdr.gz"), (".IMG", ".HDR")].iter().any(|(voxels, header)| {
        name.strip_suffix(voxels).is_some_and(|stem| Path::new(&format!("{stem}{header}")).exists())
    })
}
