//! Logits between two passes over them, in a file that has no name: in memory those of all voxels would be too many.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Values that are turned into bytes at once.
const PIECE: usize = 1 << 14;

/// Planes of logits, written one after another and read in that order.
pub(super) struct Spill {
    folder: PathBuf,
    file: BufWriter<File>,
    planes: usize,
}

impl Spill {
    /// A file in this folder, which is gone with the value.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(Error::io(folder))?;
        Ok(Self { folder: folder.to_path_buf(), file: BufWriter::with_capacity(1 << 18, file), planes: 0 })
    }

    pub(super) fn push(&mut self, plane: &[f32]) -> Result<()> {
        let mut bytes = Vec::with_capacity(PIECE * size_of::<f32>());
        for values in plane.chunks(PIECE) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            self.file.write_all(&bytes).map_err(Error::io(&self.folder))?;
        }
        self.planes += 1;
        Ok(())
    }

    /// Gives all planes, each of `len` values, to `sink`.
    pub(super) fn read(self, len: usize, mut sink: impl FnMut(&[f32])) -> Result<()> {
        let io = |e: std::io::Error| Error::io(&self.folder)(e);
        let mut file = self.file.into_inner().map_err(|e| io(e.into_error()))?;
        file.rewind().map_err(io)?;
        let mut file = BufReader::with_capacity(1 << 18, file);
        let (mut bytes, mut plane) = (vec![0; len * size_of::<f32>()], vec![0.0; len]);
        for _ in 0..self.planes {
            file.read_exact(&mut bytes).map_err(io)?;
            let values = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
            plane.iter_mut().zip(values).for_each(|(value, read)| *value = read);
            sink(&plane);
        }
        Ok(())
    }
}
