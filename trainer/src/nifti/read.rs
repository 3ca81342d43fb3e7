//! Reading, with every length checked against what the file can hold before memory is taken for it.

use super::{ByteOrder, Header, Naming, Voxel, VoxelType, pair_paths};
use crate::files::{open_plain, reach_checksum, refuse_stand_in};
use crate::gzip::Gunzip;
use crate::volume::dicom_instead;
use crate::{Error, Result};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Deflate expands no byte to more than this (zlib's technical notes: 1032:1).
const MOST_EXPANSION: u64 = 1032;

/// A volume as it lies in its file.
#[derive(Clone, Debug)]
pub struct Image {
    /// What the file says of it.
    pub header: Header,
    /// Where it was read from.
    pub path: PathBuf,
    raw: Vec<u8>,
}

impl Image {
    /// The values, scaled, x fastest. 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        self.convert(|v| v)
    }

    /// The values, scaled in f64 and rounded to f32, x fastest. A value beyond f32's range becomes infinite.
    pub fn to_f32(&self) -> Vec<f32> {
        self.convert(|v| v as f32)
    }

    /// The stored numbers as they are, without scaling; `None` where the file's type is another one.
    pub fn stored<V: Voxel>(&self) -> Option<Vec<V>> {
        (V::TYPE == self.header.voxel_type).then(|| self.decode(|v: V| v))
    }

    /// Header and stored bytes.
    pub(crate) fn into_parts(self) -> (Header, Vec<u8>) {
        (self.header, self.raw)
    }

    fn convert<T>(&self, finish: impl Fn(f64) -> T + Copy) -> Vec<T> {
        match self.header.voxel_type {
            VoxelType::U8 => self.scaled::<u8, T>(finish),
            VoxelType::I8 => self.scaled::<i8, T>(finish),
            VoxelType::U16 => self.scaled::<u16, T>(finish),
            VoxelType::I16 => self.scaled::<i16, T>(finish),
            VoxelType::U32 => self.scaled::<u32, T>(finish),
            VoxelType::I32 => self.scaled::<i32, T>(finish),
            VoxelType::U64 => self.scaled::<u64, T>(finish),
            VoxelType::I64 => self.scaled::<i64, T>(finish),
            VoxelType::F32 => self.scaled::<f32, T>(finish),
            VoxelType::F64 => self.scaled::<f64, T>(finish),
        }
    }

    fn scaled<V: Voxel, T>(&self, finish: impl Fn(f64) -> T) -> Vec<T> {
        match self.header.scaling() {
            Some((slope, inter)) => self.decode(|v: V| finish(v.as_f64() * slope + inter)),
            None => self.decode(|v: V| finish(v.as_f64())),
        }
    }

    fn decode<V: Voxel, T>(&self, finish: impl Fn(V) -> T) -> Vec<T> {
        // The order is matched outside the loop, so that each loop is one of plain loads.
        let voxels = self.raw.chunks_exact(V::TYPE.size());
        match self.header.byte_order {
            ByteOrder::Little => voxels.map(|b| finish(V::from_bytes(b, ByteOrder::Little))).collect(),
            ByteOrder::Big => voxels.map(|b| finish(V::from_bytes(b, ByteOrder::Big))).collect(),
        }
    }
}

/// Reads a header alone.
///
/// # Errors
/// As [`read`], but for the voxels, which are not looked at.
pub fn read_header(path: impl AsRef<Path>) -> Result<Header> {
    let path = path.as_ref();
    let pair = naming(path)?.pair;
    let header_path = if pair { pair_paths(path).0 } else { path.to_path_buf() };
    Ok(Source::open(&header_path)?.header(pair)?.0)
}

/// Reads a volume: `.nii`, `.nii.gz`, or either file of a `.hdr`/`.img` pair.
///
/// # Errors
/// A file that cannot be read, is no NIfTI file, is shorter than its header says, or holds complex or colour voxels.
pub fn read(path: impl AsRef<Path>) -> Result<Image> {
    let path = path.as_ref();
    let (header, mut source, position) = if naming(path)?.pair {
        let (header_path, image_path) = pair_paths(path);
        let (header, _) = Source::open(&header_path)?.header(true)?;
        (header, Source::open(&image_path)?, 0)
    } else {
        let mut source = Source::open(path)?;
        let (header, position) = source.header(false)?;
        (header, source, position)
    };
    let raw = source.voxels(&header, position)?;
    Ok(Image { header, path: path.to_path_buf(), raw })
}

fn naming(path: &Path) -> Result<Naming> {
    Naming::of(path).ok_or_else(|| {
        Error::file(path, "is not named as a NIfTI file (.nii, .nii.gz, .hdr, .img); convert it to .nii.gz")
    })
}

/// An open file, its gzip layer taken off.
struct Source {
    path: PathBuf,
    reader: Box<dyn Read>,
    gzip: bool,
    file_bytes: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self> {
        let (file, file_bytes) = open_plain(path)?;
        if file_bytes == 0 {
            return Err(Error::file(path, "is empty (0 bytes); copy or export it again"));
        }
        let gzip = naming(path)?.gzip;
        let mut file = BufReader::with_capacity(1 << 16, file);
        refuse_stand_in(path, &mut file)?;
        if gzip {
            let start = std::io::BufRead::fill_buf(&mut file).map_err(Error::io(path))?;
            if let (true, Some(message)) = (start.len() > 132, dicom_instead(path)) {
                return Err(Error::file(path, message));
            }
            if !start.starts_with(&[0x1f, 0x8b]) {
                return Err(Error::file(
                    path,
                    "is named .gz but is not gzip-compressed; rename it to .nii, or export it again",
                ));
            }
        }
        let reader: Box<dyn Read> = if gzip { Box::new(Gunzip::new(file)) } else { Box::new(file) };
        Ok(Self { path: path.to_path_buf(), reader, gzip, file_bytes })
    }

    /// The header and how many bytes were read for it.
    fn header(&mut self, pair: bool) -> Result<(Header, u64)> {
        let mut start = [0; 4];
        self.fill(&mut start)?;
        let (version, order) = Header::probe(start, self.gzip).map_err(|m| Error::file(&self.path, m))?;
        let size = Header::size(version);
        let mut bytes = vec![0; size];
        bytes[..4].copy_from_slice(&start);
        self.fill(&mut bytes[4..])?;
        let header = Header::parse(&bytes, version, order, pair).map_err(|m| Error::file(&self.path, m))?;
        Ok((header, size as u64))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let wanted = bytes.len();
        let mut done = 0;
        while done < wanted {
            match self.reader.read(&mut bytes[done..]) {
                Ok(0) => {
                    return Err(Error::file(
                        &self.path,
                        "ends inside the header (348 bytes in NIfTI-1, 540 in NIfTI-2); copy or export it again",
                    ));
                }
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.broken(e)),
            }
        }
        Ok(())
    }

    /// The voxels' bytes; `position` bytes have been read already.
    fn voxels(&mut self, header: &Header, position: u64) -> Result<Vec<u8>> {
        // `parse_shape` has checked that eight bytes a voxel can be counted.
        let wanted = (header.len() * header.voxel_type.size()) as u64;
        let end = header.vox_offset.saturating_add(wanted);
        let most = if self.gzip { self.file_bytes.saturating_mul(MOST_EXPANSION) } else { self.file_bytes };
        if end > most {
            return Err(self.too_short(header, wanted, most));
        }
        self.skip(header.vox_offset - position, header, wanted)?;
        // A compressed file is believed as far as it goes: the buffer grows with what arrives.
        let first = if self.gzip { wanted.min(self.file_bytes.saturating_mul(4)) } else { wanted };
        let mut raw = crate::memory::with_capacity(first as usize);
        let read = (&mut self.reader).take(wanted).read_to_end(&mut raw);
        read.map_err(|e| self.broken(e))?;
        if (raw.len() as u64) < wanted {
            return Err(self.too_short(header, wanted, header.vox_offset + raw.len() as u64));
        }
        if self.gzip {
            reach_checksum(&mut self.reader).map_err(|e| self.broken(e))?;
        }
        Ok(raw)
    }

    fn skip(&mut self, bytes: u64, header: &Header, wanted: u64) -> Result<()> {
        let skipped = std::io::copy(&mut (&mut self.reader).take(bytes), &mut std::io::sink());
        match skipped.map_err(|e| self.broken(e))? {
            n if n == bytes => Ok(()),
            n => Err(self.too_short(header, wanted, header.vox_offset - bytes + n)),
        }
    }

    fn too_short(&self, header: &Header, wanted: u64, there: u64) -> Error {
        let what = if self.gzip { "at most that many once expanded" } else { "that many" };
        Error::file(
            &self.path,
            format!(
                "is too short: shape {:?} takes {wanted} bytes of voxels from byte {}, the file has {there} ({what}); copy or export it again",
                header.shape, header.vox_offset
            ),
        )
    }

    fn broken(&self, error: std::io::Error) -> Error {
        if self.gzip && error.kind() != std::io::ErrorKind::OutOfMemory {
            Error::file(
                &self.path,
                format!("the gzip stream is cut or damaged ({error}); copy or export the file again"),
            )
        } else {
            Error::io(&self.path)(error)
        }
    }
}
