//! MetaImage: lines of `Key = value`, then the voxels (`.mha`) or the name of their file (`.mhd`).
//!
//! Read are raw voxels, voxels compressed by zlib, and text. Not read are volumes that are spread over several files.
//! Row a of `TransformMatrix` is the direction of axis a; positions are LPS, as ITK writes them.
//!
//! # Source
//! <https://itk.org/Wiki/ITK/MetaIO/Documentation>; where its text leaves room, MetaIO's `metaImage.cxx`.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::geometry::{self, LPS_TO_RAS};
use super::stream::{self, Compression, Stream};
use super::text::{self, Fields};
use super::units::{converted, unit_in_mm};
use super::{Format, Header, Stored, layout};
use crate::{ByteOrder, Error, Result, VoxelType};

const MATRIX: &[&str] = &["TransformMatrix", "Orientation", "Rotation"];
const OFFSET: &[&str] = &["Offset", "Position", "Origin"];
const SPACING: &[&str] = &["ElementSpacing", "ElementSize"];
const UNITS: &[&str] = &["DistanceUnits"];
const MSB: &[&str] = &["BinaryDataByteOrderMSB", "ElementByteOrderMSB"];
const CHANNELS: &[&str] = &["ElementNumberOfChannels"];
const DATA_FILE: &[&str] = &["ElementDataFile"];
const TYPE: &[&str] = &["ElementType"];

/// More axes than three of space, one of time and one of vectors are unheard of.
const MOST_AXES: usize = 7;
/// How far the start of a file is searched for the first field.
const PROBE: usize = 512;

pub(super) fn header(path: &Path) -> Result<Header> {
    Ok(Opened::new(path)?.header)
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    Opened::new(path)?.read()
}

/// The file of the voxels, where the header names one.
pub(super) fn detached(path: &Path) -> Option<PathBuf> {
    Opened::new(path).ok()?.data_file().ok()?
}

/// A file whose header has been read.
struct Opened<'a> {
    path: &'a Path,
    fields: Fields<'a>,
    header: Header,
    /// Lengths as they are stored, the fastest first, and which stored axis becomes which.
    lengths: Vec<usize>,
    order: Vec<usize>,
    /// Behind the header.
    reader: BufReader<File>,
    left: u64,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let (mut reader, file_bytes) = stream::open(path)?;
        let start = reader.fill_buf().map_err(Error::io(path))?;
        let start = &start[..start.len().min(PROBE)];
        if !start.contains(&b'=') {
            return Err(Error::file(
                path,
                "is not a MetaImage: it does not begin with lines such as \"ObjectType = Image\"; export it again",
            ));
        }
        let is_last = |line: &str| line.split_once('=').is_some_and(|(key, _)| key.trim() == DATA_FILE[0]);
        let lines = text::read_lines(path, &mut reader, is_last)?;
        let mut fields = Fields::new(path);
        for (key, value) in lines.lines.iter().filter_map(|line| line.split_once('=')) {
            fields.add(key, value);
        }
        if fields.get(&["ObjectType"]).is_some_and(|kind| !kind.eq_ignore_ascii_case("Image")) {
            return Err(fields.error(&["ObjectType"], "only images hold voxels; export the image"));
        }
        fields.needed(DATA_FILE)?;
        let (header, lengths, order) = parse(&fields)?;
        let left = file_bytes - lines.bytes.min(file_bytes);
        Ok(Self { path, fields, header, lengths, order, reader, left })
    }

    fn read(mut self) -> Result<Stored> {
        let detached = self.data_file()?;
        let path = detached.as_deref().unwrap_or(self.path);
        if detached.is_some() {
            (self.reader, self.left) = stream::open(path)?;
        }
        let kind = self.header.voxel_type;
        let compressed = flag(&self.fields, &["CompressedData"], false)?;
        let text = !flag(&self.fields, &["BinaryData"], true)?;
        let skip = match self.fields.number::<i64>(&["HeaderSize"], 0)? {
            -1 if !compressed && !text => {
                let wanted = layout::bytes(&self.lengths, kind.size()).map_err(|m| Error::file(path, m))?;
                let ahead = self.left.saturating_sub(wanted);
                self.reader.seek(SeekFrom::Current(ahead as i64)).map_err(Error::io(path))?;
                self.left -= ahead;
                0
            }
            skip => u64::try_from(skip).map_err(|_| {
                let why = "it must be 0 or more (or -1 where voxels are raw); correct the header";
                self.fields.error(&["HeaderSize"], why)
            })?,
        };
        // The header's bytes are never compressed, the voxels' may be.
        let mut raw_file = Stream::new(path, &mut self.reader, self.left, Compression::None);
        raw_file.skip(skip)?;
        drop(raw_file);
        self.left -= skip.min(self.left);
        let compression = match (compressed, self.reader.fill_buf().map_err(Error::io(path))?) {
            (false, _) => Compression::None,
            // MetaIO accepts either.
            (true, [0x1f, 0x8b, ..]) => Compression::Gzip,
            (true, _) => Compression::Zlib,
        };
        let mut stream = Stream::new(path, self.reader, self.left, compression);
        let (raw, order) = if text {
            (stream.text(&self.lengths, kind)?, ByteOrder::Little)
        } else {
            (stream.numbers(&self.lengths, kind)?, self.header.byte_order)
        };
        let raw = layout::permute(raw, kind.size(), &self.lengths, &self.order);
        Ok(Stored::new(self.path, self.header, raw, order))
    }

    /// The file of the voxels, if it is one of its own.
    fn data_file(&self) -> Result<Option<PathBuf>> {
        match self.fields.needed(DATA_FILE)? {
            "LOCAL" | "Local" | "local" => Ok(None),
            name if name.is_empty() || name.starts_with("LIST") || name.contains('%') => {
                let why = "voxels in several files are not supported; join them, or save it as one .mha";
                Err(self.fields.error(DATA_FILE, why))
            }
            name => self.fields.file(DATA_FILE, name).map(Some),
        }
    }
}

/// The header, the stored lengths and the order of their axes.
fn parse(fields: &Fields) -> Result<(Header, Vec<usize>, Vec<usize>)> {
    fields.needed(&["NDims"])?;
    let dimension: usize = fields.number(&["NDims"], 0)?;
    if !(1..=MOST_AXES).contains(&dimension) {
        return Err(fields.error(&["NDims"], format!("1 to {MOST_AXES} axes are possible; export it again")));
    }
    let sizes = fields.lengths(&["DimSize"], dimension)?;
    let channels: usize = fields.number(CHANNELS, 1)?;
    let mut shape = sizes.clone();
    let mut order: Vec<usize> = (0..dimension).collect();
    let mut lengths = sizes;
    if channels != 1 {
        // The channels of a voxel lie together; they become the last axis.
        shape.resize(dimension.max(3), 1);
        shape.push(channels);
        lengths.insert(0, channels);
        order = (1..=dimension).chain([0]).collect();
        layout::bytes(&lengths, 1).map_err(|why| fields.error(CHANNELS, why))?;
    }
    let byte_order = if flag(fields, MSB, false)? { ByteOrder::Big } else { ByteOrder::Little };
    let (affine, place_known, notes) = affine(fields, dimension)?;
    let header = Header {
        format: Format::MetaImage,
        shape,
        voxel_type: voxel_type(fields)?,
        byte_order,
        scaling: None,
        spacing: geometry::column_lengths(&affine),
        spacing_known: true,
        affine,
        place_known,
        unit: None,
        notes,
        nifti: None,
    };
    Ok((header, lengths, order))
}

/// Where the voxels lie, whether the header says so, and what is to be said of it.
fn affine(fields: &Fields, dimension: usize) -> Result<(crate::Affine, bool, Vec<String>)> {
    let mut spacing = fields.finite(SPACING, dimension)?.unwrap_or_else(|| vec![1.0; dimension]);
    if spacing.contains(&0.0) {
        return Err(fields.error(SPACING, "a spacing must not be 0; correct the header"));
    }
    let mut matrix = fields.finite(MATRIX, dimension * dimension)?;
    let mut offset = fields.finite(OFFSET, dimension)?.unwrap_or_else(|| vec![0.0; dimension]);
    let mut notes = Vec::new();
    if let Some(unit) = fields.get(UNITS).filter(|unit| !unit.is_empty() && *unit != "?") {
        let Some(mm) = unit_in_mm(unit) else {
            return Err(
                fields.error(UNITS, "it must be a unit of length such as mm or um; correct the header")
            );
        };
        notes.extend(converted(unit, mm));
        spacing.iter_mut().chain(&mut offset).for_each(|v| *v *= mm);
    }
    let spatial = dimension.min(3);
    let row = |matrix: &[f64], axis: usize| -> [f64; 3] {
        std::array::from_fn(|i| if i < spatial { matrix[axis * dimension + i] } else { 0.0 })
    };
    if matrix.as_ref().is_some_and(|all| all.iter().all(|&v| v == 0.0)) {
        // Some programs write zeros for "not known".
        matrix = None;
        notes.push("its directions are all 0: its axes are taken along those of space".into());
    }
    let step = |axis: usize| -> [f64; 3] {
        let direction = match &matrix {
            Some(all) => row(all, axis),
            None => std::array::from_fn(|i| if i == axis { 1.0 } else { 0.0 }),
        };
        direction.map(|v| v * spacing[axis])
    };
    let steps: Vec<[f64; 3]> = (0..spatial).map(step).collect();
    let origin = std::array::from_fn(|i| if i < spatial { offset[i] } else { 0.0 });
    let affine = geometry::from_steps(&steps, origin, LPS_TO_RAS);
    geometry::check_invertible(&affine)
        .map_err(|why| fields.error(MATRIX, format!("{why}; correct the header")))?;
    Ok((affine, matrix.is_some() && fields.get(OFFSET).is_some(), notes))
}

/// `True` or `False`; MetaIO looks at the first letter alone.
fn flag(fields: &Fields, keys: &[&str], default: bool) -> Result<bool> {
    match fields.get(keys).map(|value| value.as_bytes().first()) {
        None => Ok(default),
        Some(Some(b'T' | b't' | b'1' | b'Y' | b'y')) => Ok(true),
        Some(Some(b'F' | b'f' | b'0' | b'N' | b'n')) => Ok(false),
        Some(_) => Err(fields.error(keys, "it must be True or False; correct the header")),
    }
}

fn voxel_type(fields: &Fields) -> Result<VoxelType> {
    let name = fields.needed(TYPE)?;
    match name.strip_suffix("_ARRAY").unwrap_or(name) {
        "MET_CHAR" => Ok(VoxelType::I8),
        "MET_UCHAR" => Ok(VoxelType::U8),
        "MET_SHORT" => Ok(VoxelType::I16),
        "MET_USHORT" => Ok(VoxelType::U16),
        // MetaIO's long has four bytes everywhere.
        "MET_INT" | "MET_LONG" => Ok(VoxelType::I32),
        "MET_UINT" | "MET_ULONG" => Ok(VoxelType::U32),
        "MET_LONG_LONG" => Ok(VoxelType::I64),
        "MET_ULONG_LONG" => Ok(VoxelType::U64),
        "MET_FLOAT" => Ok(VoxelType::F32),
        "MET_DOUBLE" => Ok(VoxelType::F64),
        _ => Err(fields.error(
            TYPE,
            "it must be a plain number such as MET_SHORT or MET_FLOAT; save it as one of these",
        )),
    }
}
