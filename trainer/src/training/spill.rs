//! Logits between two passes over them, in a file that has no name: in memory those of all voxels would be too many.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ranks::Ranks;

use crate::{Error, Result};

/// Values that are turned into bytes at once.
const PIECE: usize = 1 << 14;

/// Planes of logits, written one after another and read in that order, as often as they are wanted.
pub struct Spill {
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
    pub(super) fn read(&mut self, len: usize, mut sink: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        let mut planes = vec![0.0; len];
        let mut left = self.planes;
        let mut bytes = self.bytes(len * size_of::<f32>())?;
        while left > 0 {
            let plane = bytes.next()?;
            let values = plane.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
            planes.iter_mut().zip(values).for_each(|(value, read)| *value = read);
            sink(&planes)?;
            left -= 1;
        }
        Ok(())
    }

    /// Sends all planes to another rank, which [receives](Self::receive) them plane by plane as it asks for them.
    pub(super) fn send(&mut self, ranks: &Ranks, to: usize, stream: u64, len: usize) -> Result<()> {
        let left = self.planes;
        let mut bytes = self.bytes(len * size_of::<f32>())?;
        for _ in 0..left {
            ranks.receive(to, stream)?;
            ranks.send(to, stream, bytes.next()?);
        }
        Ok(())
    }

    /// So many planes that another rank sends.
    pub(super) fn receive(
        folder: &Path,
        ranks: &Ranks,
        from: usize,
        stream: u64,
        planes: usize,
    ) -> Result<Self> {
        let mut spill = Self::new(folder)?;
        for plane in 0..planes {
            // One is on its way while the one before is written.
            let asked = if plane == 0 { 0..planes.min(2) } else { plane + 1..planes.min(plane + 2) };
            asked.for_each(|_| ranks.send(from, stream, &[]));
            let bytes = ranks.receive(from, stream)?;
            spill.file.write_all(&bytes).map_err(Error::io(&spill.folder))?;
        }
        spill.planes = planes;
        Ok(spill)
    }

    /// What was written, from the beginning, in pieces of so many bytes.
    fn bytes(&mut self, piece: usize) -> Result<Pieces<'_>> {
        let io = Error::io(&self.folder);
        let mut rewound = || {
            self.file.flush()?;
            self.file.get_mut().rewind()
        };
        rewound().map_err(io)?;
        let file = BufReader::with_capacity(1 << 18, self.file.get_ref());
        Ok(Pieces { folder: &self.folder, file, piece: vec![0; piece] })
    }
}

/// Bytes of a file, one piece after the other.
struct Pieces<'a> {
    folder: &'a Path,
    file: BufReader<&'a File>,
    piece: Vec<u8>,
}

impl Pieces<'_> {
    fn next(&mut self) -> Result<&[u8]> {
        self.file.read_exact(&mut self.piece).map_err(Error::io(self.folder))?;
        Ok(&self.piece)
    }
}
