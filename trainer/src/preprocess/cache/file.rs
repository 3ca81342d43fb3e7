//! A cached case whose file is open.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use bincode::Options;
use volumes::files::open_plain;

use super::Fingerprint;
use super::format::{Header, LONGEST_HEADER, Layout, MAGIC, PREFIX, VERSION, head_sum};
use super::positioned::Positioned;
use crate::codec::options;
use crate::preprocess::class_locations::Listed;
use crate::preprocess::{Block, CaseSummary, Normalisation, PackedLabels, Region};
use crate::{Error, Result};

/// Bytes that are read at once where many are.
const CHUNK: usize = 1 << 16;

/// A preprocessed case in a file: what describes it is in memory, its voxels are read when they are asked for.
#[derive(Debug)]
pub struct CachedCase {
    path: PathBuf,
    file: Positioned,
    header: Header,
    layout: Layout,
    /// Where the body begins.
    body: u64,
}

impl CachedCase {
    /// See [`Cache::open`](super::Cache::open).
    pub(super) fn open(path: &Path, name: &str, fingerprint: &Fingerprint) -> Result<Self> {
        let damaged =
            |what: &str| Error::file(path, format!("is damaged ({what}): delete it, it is made again"));
        let (file, length) = open_plain(path)?;
        let file = Positioned::new(file);
        let mut prefix = [0; PREFIX];
        if length < PREFIX as u64 {
            return Err(damaged("its length"));
        }
        file.read_exact_at(&mut prefix, 0).map_err(Error::io(path))?;
        if &prefix[..8] != MAGIC {
            return Err(Error::file(
                path,
                "is not a cached case of this program: name another folder, or delete it",
            ));
        }
        let u32_at = |at: usize| u32::from_le_bytes(prefix[at..at + 4].try_into().expect("4 bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(prefix[at..at + 8].try_into().expect("8 bytes"));
        if u32_at(8) != VERSION {
            let message = format!(
                "has version {}, this program reads {VERSION}: delete it, it is made again",
                u32_at(8)
            );
            return Err(Error::file(path, message));
        }
        let (header_length, body_length) = (u64_at(12), u64_at(20));
        if header_length > LONGEST_HEADER {
            return Err(damaged("its length"));
        }
        let body = PREFIX as u64 + header_length;
        if body.checked_add(body_length) != Some(length) {
            return Err(damaged("its length"));
        }
        let mut bytes = vec![0; header_length as usize];
        file.read_exact_at(&mut bytes, PREFIX as u64).map_err(Error::io(path))?;
        if head_sum(&prefix, &bytes) != u32_at(32) {
            return Err(damaged("its header"));
        }
        let header: Header = options().deserialize(&bytes).map_err(|e| damaged(&e.to_string()))?;
        let layout = header.layout().filter(|layout| layout.end == body_length && header.fits());
        let Some(layout) = layout else { return Err(damaged("its header")) };
        if header.summary.name != name {
            let message = format!("holds the case {:?}: delete it, it is made again", header.summary.name);
            return Err(Error::file(path, message));
        }
        if let Some(change) = fingerprint.change_from(&header.fingerprint) {
            let message = format!("is stale (it was made from {change}): delete it, it is made again");
            return Err(Error::file(path, message));
        }
        let case = Self { path: path.to_path_buf(), file, header, layout, body };
        if case.body_sum()? != u32_at(28) {
            return Err(damaged("its voxels"));
        }
        Ok(case)
    }

    /// What is known without its voxels; nothing is read.
    pub fn summary(&self) -> &CaseSummary {
        &self.header.summary
    }

    /// How its intensities were normalised.
    pub fn normalisation(&self) -> &Normalisation {
        &self.header.normalisation
    }

    /// The foreground classes that the case holds, in ascending order.
    pub fn foreground(&self) -> &[Listed] {
        &self.header.foreground
    }

    /// Reads the flat index of a listed voxel of the `class`-th of [`CachedCase::foreground`].
    ///
    /// # Errors
    /// If the file cannot be read.
    ///
    /// # Panics
    /// Where there is no such class or voxel.
    pub fn foreground_voxel(&self, class: usize, index: usize) -> Result<usize> {
        let listed = self.header.foreground[class].voxels;
        assert!(index < listed as usize, "voxel {index} of {listed}");
        let before: u64 = self.header.foreground[..class].iter().map(|class| u64::from(class.voxels)).sum();
        self.listed_voxel(before + index as u64)
    }

    /// How many voxels that are not ignored are listed: 0 where all are ignored, none where no voxel is.
    pub fn annotated(&self) -> Option<u32> {
        self.header.annotated
    }

    /// Reads the flat index of a listed voxel that is not ignored.
    ///
    /// # Errors
    /// If the file cannot be read.
    ///
    /// # Panics
    /// Where there is no such voxel.
    pub fn annotated_voxel(&self, index: usize) -> Result<usize> {
        let listed = self.header.annotated.unwrap_or(0);
        assert!(index < listed as usize, "voxel {index} of {listed}");
        let before: u64 = self.header.foreground.iter().map(|class| u64::from(class.voxels)).sum();
        self.listed_voxel(before + index as u64)
    }

    /// Reads the `place`-th of all listed voxels.
    fn listed_voxel(&self, place: u64) -> Result<usize> {
        let mut bytes = [0; 4];
        self.read(4 * place, &mut bytes)?;
        let voxel = u32::from_le_bytes(bytes) as usize;
        if voxel >= Block::whole(self.header.summary.shape).voxels() {
            let message = format!(
                "lists voxel {voxel} of a volume of {:?}: delete it, it is made again",
                self.header.summary.shape
            );
            return Err(Error::file(&self.path, message));
        }
        Ok(voxel)
    }

    /// Reads the voxels of a block.
    ///
    /// # Errors
    /// If the file cannot be read.
    ///
    /// # Panics
    /// Where the block reaches over the case's border.
    pub fn region(&self, block: Block) -> Result<Region<'static>> {
        let CaseSummary { shape, channels, labelled, .. } = self.header.summary;
        assert!((0..3).all(|a| block.start[a] + block.size[a] <= shape[a]), "{block:?} of {shape:?}");
        let mut image = memory::filled(0.0, block.voxels() * channels);
        let mut labels = labelled.then(|| memory::filled(0, block.voxels()));
        let length = run(block, shape);
        let mut bytes = vec![0; CHUNK.min(4 * channels * length)];
        for k in 0..block.voxels().checked_div(length).unwrap_or(0) {
            let first = start(block, shape, k * length);
            let values = &mut image[k * length * channels..][..length * channels];
            for (i, values) in values.chunks_mut(CHUNK / 4).enumerate() {
                let bytes = &mut bytes[..4 * values.len()];
                let skipped = (first * channels + i * (CHUNK / 4)) as u64;
                self.read(self.layout.image + 4 * skipped, bytes)?;
                let read = bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b));
                values.iter_mut().zip(read).for_each(|(value, read)| *value = read);
            }
            if let Some(labels) = &mut labels {
                self.read(self.layout.labels + first as u64, &mut labels[k * length..][..length])?;
            }
        }
        Ok(Region { block, shape, channels, image: Cow::Owned(image), labels: labels.map(Cow::Owned) })
    }

    /// The packed labels of the whole file, where those of the case are not they.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(in crate::preprocess) fn file_labels(&self) -> Result<Option<PackedLabels>> {
        let Some(length) = self.header.file_labels else { return Ok(None) };
        let mut bytes = memory::filled(0, length as usize);
        self.read(self.layout.file_labels, &mut bytes)?;
        let voxels = self.header.summary.grids.whole_shape().iter().product();
        Ok(Some(PackedLabels::from_bytes(bytes, voxels)))
    }

    /// Fills a buffer from `offset` of the body on.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, self.body + offset).map_err(Error::io(&self.path))
    }

    /// The checksum of the body, which is read once.
    fn body_sum(&self) -> Result<u32> {
        let mut buffer = vec![0; CHUNK];
        let (mut offset, mut sum) = (0, 0);
        while offset < self.layout.end {
            let part = (self.layout.end - offset).min(CHUNK as u64) as usize;
            self.read(offset, &mut buffer[..part])?;
            sum = crc32c::crc32c_append(sum, &buffer[..part]);
            offset += part as u64;
        }
        Ok(sum)
    }
}

/// How many of a block's voxels lie one after another in the case: a row's, a plane's where rows are whole, or all.
fn run(block: Block, shape: [usize; 3]) -> usize {
    let [d, h, w] = block.size;
    match (h == shape[1], w == shape[2]) {
        (true, true) => d * h * w,
        (false, true) => h * w,
        (_, false) => w,
    }
}

/// The case's flat index of the block's `i`-th voxel.
fn start(block: Block, shape: [usize; 3], i: usize) -> usize {
    let [_, h, w] = block.size;
    let at = [i / (h * w), i / w % h, i % w];
    (0..3).fold(0, |index, a| index * shape[a] + block.start[a] + at[a])
}
