//! The header's fields, and how they are read from the 348 bytes of NIfTI-1 and the 540 of NIfTI-2.

use crate::{ByteOrder, Voxel, VoxelType};

/// Which of the two formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// 348 bytes, 16-bit lengths, f32 geometry.
    One,
    /// 540 bytes, 64-bit lengths, f64 geometry.
    Two,
}

/// What a file says of its voxels. `pixdim` and the transformations are as stored; see [`NiftiHeader::zooms`],
/// [`NiftiHeader::spacing`] and [`NiftiHeader::affine`] for what they mean.
#[derive(Clone, PartialEq, Debug)]
pub struct NiftiHeader {
    /// The format.
    pub version: Version,
    /// The byte order of header and voxels.
    pub byte_order: ByteOrder,
    /// Voxels along x, y, z, t, …: 1 to 7 axes, each at least 1.
    pub shape: Vec<usize>,
    /// How a voxel is stored.
    pub voxel_type: VoxelType,
    /// `pixdim`: the handedness of the qform, then the voxel size of each axis.
    pub pixdim: [f64; 8],
    /// Where the voxels begin, in bytes.
    pub vox_offset: u64,
    /// A stored v means `scl_slope`·v + `scl_inter`, unless the slope is 0 or not finite.
    pub scl_slope: f64,
    /// See `scl_slope`.
    pub scl_inter: f64,
    /// What space the qform leads to; 0: it is not set.
    pub qform_code: i32,
    /// What space the sform leads to; 0: it is not set.
    pub sform_code: i32,
    /// b, c, d of the qform's unit quaternion.
    pub quatern: [f64; 3],
    /// The qform's shift in mm.
    pub qoffset: [f64; 3],
    /// The sform's first three rows.
    pub srow: [[f64; 4]; 3],
    /// Units of space (low three bits; 1: m, 2 or none: mm, 3: µm) and of time.
    pub xyzt_units: i32,
    /// The voxels are in a file of their own.
    pub pair: bool,
}

pub(super) const MAGIC_TAIL_2: &[u8; 5] = b"\0\r\n\x1a\n";

impl NiftiHeader {
    /// A new volume of `shape` voxels of `spacing` mm along x, y, z, with its first voxel at the origin.
    pub fn new(shape: [usize; 3], spacing: [f64; 3]) -> Self {
        let mut srow = [[0.0; 4]; 3];
        let mut pixdim = [1.0; 8];
        for axis in 0..3 {
            srow[axis][axis] = spacing[axis];
            pixdim[axis + 1] = spacing[axis];
        }
        Self {
            version: Version::One,
            byte_order: ByteOrder::Little,
            shape: shape.to_vec(),
            voxel_type: VoxelType::F32,
            pixdim,
            vox_offset: 0,
            scl_slope: 1.0,
            scl_inter: 0.0,
            qform_code: 1,
            sform_code: 1,
            quatern: [0.0; 3],
            qoffset: [0.0; 3],
            srow,
            xyzt_units: 2,
            pair: false,
        }
        .fitting()
    }

    /// The header of a new volume that lies exactly where this one does: same shape, voxel sizes, transformations and
    /// units, no scaling, little-endian. Of a series or vectors, one volume's.
    pub fn like(&self) -> Self {
        let shape = self.shape3().map_or_else(|| self.shape[..3].to_vec(), |_| self.shape.clone());
        Self { shape, byte_order: ByteOrder::Little, scl_slope: 1.0, scl_inter: 0.0, ..self.clone() }
            .fitting()
    }

    /// Voxels in all.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never true of a header that was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Voxels along x, y, z when trailing axes of length 1 are dropped; `None` for a series or a vector image.
    pub fn shape3(&self) -> Option<[usize; 3]> {
        let axis = |i: usize| self.shape.get(i).copied().unwrap_or(1);
        (3..self.shape.len()).all(|i| axis(i) == 1).then(|| [axis(0), axis(1), axis(2)])
    }

    /// `(slope, inter)`, or `None` where stored values are meant as they are.
    pub fn scaling(&self) -> Option<(f64, f64)> {
        let plain = self.scl_slope == 0.0
            || !self.scl_slope.is_finite()
            || (self.scl_slope == 1.0 && self.scl_inter == 0.0);
        (!plain).then_some((self.scl_slope, self.scl_inter))
    }

    /// Bytes of the header's fixed part.
    pub(super) fn size(version: Version) -> usize {
        match version {
            Version::One => 348,
            Version::Two => 540,
        }
    }

    fn fitting(mut self) -> Self {
        if self.shape.iter().any(|&n| n > i16::MAX as usize) {
            self.version = Version::Two;
        }
        self
    }

    /// Version and byte order, from the first four bytes; of a file from which a layer of gzip was taken off or not.
    pub(super) fn probe(start: [u8; 4], is_gunzipped: bool) -> Result<(Version, ByteOrder), String> {
        let found = [(Version::One, 348), (Version::Two, 540)].into_iter().find_map(|(version, size)| {
            let order = [ByteOrder::Little, ByteOrder::Big]
                .into_iter()
                .find(|&o| i32::from_bytes(&start, o) == size)?;
            Some((version, order))
        });
        found.ok_or_else(|| match start {
            [0x1f, 0x8b, ..] if is_gunzipped => "is compressed twice: take one layer off with gunzip".into(),
            [0x1f, 0x8b, ..] => "is gzip-compressed but not named .gz; rename it".into(),
            _ => format!(
                "is not a NIfTI file: it begins with {} where 348 or 540 must stand; export it as NIfTI again",
                i32::from_le_bytes(start)
            ),
        })
    }

    /// Reads the fixed part; `pair` says what the file's name promises.
    pub(super) fn parse(
        bytes: &[u8],
        version: Version,
        order: ByteOrder,
        pair: bool,
    ) -> Result<Self, String> {
        let at = Fields { bytes, order };
        let header = match version {
            Version::One => parse_1(&at, pair)?,
            Version::Two => parse_2(&at, pair)?,
        };
        header.check(bytes)?;
        Ok(header)
    }

    fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let (magic, digit, tail_ok) = match self.version {
            Version::One => (&bytes[344..348], b'1', bytes[347] == 0),
            Version::Two => (&bytes[4..8], b'2', &bytes[7..12] == MAGIC_TAIL_2),
        };
        if magic[..3] == [0; 3] && self.version == Version::One {
            return Err(
                "is an Analyze 7.5 file, which does not say where it lies; convert it to NIfTI".into()
            );
        }
        let single = match &magic[..3] {
            [b'n', b'+', d] if *d == digit => true,
            [b'n', b'i', d] if *d == digit => false,
            _ => {
                return Err(format!(
                    "has the magic {:?}, not \"n+{d}\" or \"ni{d}\": not NIfTI, or damaged; export it again",
                    String::from_utf8_lossy(magic),
                    d = digit as char
                ));
            }
        };
        if !tail_ok {
            return Err(
                "has a damaged magic: it was probably transferred as text; copy it again as binary".into()
            );
        }
        if !single && !self.pair {
            return Err("says its voxels are in a separate .img file; name the header .hdr and put the .img beside it".into());
        }
        let least = if self.pair { 0 } else { Self::size(self.version) as u64 + 4 };
        if self.vox_offset < least {
            return Err(format!(
                "says its voxels begin at byte {} (vox_offset), inside the header of {least} bytes; export it again",
                self.vox_offset
            ));
        }
        if self.scaling().is_some() && !self.scl_inter.is_finite() {
            return Err(format!(
                "has scl_slope {} but scl_inter {}; set scl_inter to 0",
                self.scl_slope, self.scl_inter
            ));
        }
        self.affine().map(drop)
    }
}

/// `dim` to a shape.
fn parse_shape(dim: [i64; 8]) -> Result<Vec<usize>, String> {
    if !(1..=7).contains(&dim[0]) {
        return Err(format!(
            "has {} axes (dim[0]), not 1 to 7: the header is damaged, export the file again",
            dim[0]
        ));
    }
    let lengths = &dim[1..=dim[0] as usize];
    if let Some(axis) = lengths.iter().position(|&n| n < 1) {
        return Err(format!(
            "has {} voxels along axis {} (dim = {lengths:?}); every axis needs at least 1",
            lengths[axis],
            axis + 1
        ));
    }
    let shape: Vec<usize> = lengths.iter().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
    match shape.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis)).and_then(|n| n.checked_mul(8)) {
        Some(bytes) if bytes <= isize::MAX as usize => Ok(shape),
        _ => Err(format!(
            "claims {lengths:?} voxels, more than memory can address: the header is damaged, export the file again"
        )),
    }
}

/// NIfTI-1 stores `vox_offset` as a float. 0 in a single file means "right after the header".
fn parse_offset(stored: f64, version: Version, pair: bool) -> Result<u64, String> {
    if stored == 0.0 {
        return Ok(if pair { 0 } else { NiftiHeader::size(version) as u64 + 4 });
    }
    if !(stored.is_finite() && (0.0..9.0e15).contains(&stored) && stored.fract() == 0.0) {
        return Err(format!(
            "says its voxels begin at byte {stored} (vox_offset), which is no position; export it again"
        ));
    }
    Ok(stored as u64)
}

fn parse_1(at: &Fields, pair: bool) -> Result<NiftiHeader, String> {
    let f = |offset: usize| f64::from(at.get::<f32>(offset));
    Ok(NiftiHeader {
        version: Version::One,
        byte_order: at.order,
        shape: parse_shape(std::array::from_fn(|i| i64::from(at.get::<i16>(40 + 2 * i))))?,
        voxel_type: VoxelType::from_code(at.get(70))?,
        pixdim: std::array::from_fn(|i| f(76 + 4 * i)),
        vox_offset: parse_offset(f(108), Version::One, pair)?,
        scl_slope: f(112),
        scl_inter: f(116),
        qform_code: i32::from(at.get::<i16>(252)),
        sform_code: i32::from(at.get::<i16>(254)),
        quatern: std::array::from_fn(|i| f(256 + 4 * i)),
        qoffset: std::array::from_fn(|i| f(268 + 4 * i)),
        srow: std::array::from_fn(|row| std::array::from_fn(|i| f(280 + 16 * row + 4 * i))),
        xyzt_units: i32::from(at.get::<u8>(123)),
        pair,
    })
}

fn parse_2(at: &Fields, pair: bool) -> Result<NiftiHeader, String> {
    let f = |offset: usize| at.get::<f64>(offset);
    Ok(NiftiHeader {
        version: Version::Two,
        byte_order: at.order,
        shape: parse_shape(std::array::from_fn(|i| at.get(16 + 8 * i)))?,
        voxel_type: VoxelType::from_code(at.get(12))?,
        pixdim: std::array::from_fn(|i| f(104 + 8 * i)),
        vox_offset: parse_offset(at.get::<i64>(168) as f64, Version::Two, pair)?,
        scl_slope: f(176),
        scl_inter: f(184),
        qform_code: at.get(344),
        sform_code: at.get(348),
        quatern: std::array::from_fn(|i| f(352 + 8 * i)),
        qoffset: std::array::from_fn(|i| f(376 + 8 * i)),
        srow: std::array::from_fn(|row| std::array::from_fn(|i| f(400 + 32 * row + 8 * i))),
        xyzt_units: at.get(500),
        pair,
    })
}

struct Fields<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl Fields<'_> {
    fn get<V: Voxel>(&self, offset: usize) -> V {
        V::from_bytes(&self.bytes[offset..offset + V::TYPE.size()], self.order)
    }
}
