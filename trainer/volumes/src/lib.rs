//! Volumes as other programs write them, read into one form: NIfTI, NRRD, MetaImage, NumPy arrays, TIFF stacks and
//! folders of PNG slices.
//!
//! Whatever the file's own order, voxels lie with x fastest, then y, z and the channels; `shape` names the axes in that
//! order. Voxel (i, j, k) lies at `affine`·(i, j, k, 1) millimetres in NIfTI's space, where x, y, z grow to the
//! patient's right, front and head (RAS+). NRRD and MetaImage count x and y the other way (LPS); both are turned.
//!
//! | ending | format | geometry |
//! |---|---|---|
//! | `.nii`, `.nii.gz`, `.hdr`/`.img` | NIfTI-1 and NIfTI-2 | sform, qform, or voxel sizes |
//! | `.nrrd`, `.nhdr` | NRRD; raw, gzip and text | `space directions` and `space origin`, or `spacings` |
//! | `.mha`, `.mhd` | MetaImage; raw, zlib and text | `TransformMatrix`, `Offset`, `ElementSpacing` |
//! | `.npy`, `.npz` | NumPy, `[d, h, w]` or `[c, d, h, w]` | none: voxels of 1 mm |
//! | `.tif`, `.tiff` | TIFF, grey or palette, a page a slice; OME-TIFF, ImageJ | voxel sizes: nnU-Net's JSON, OME-XML, ImageJ |
//! | `.png`, or a folder of them | grey or palette slices in natural order | none |
//!
//! Numbers are taken as they are stored: what a file says of how to show them alters none, and of a palette the indices
//! count.
//!
//! Lengths in other units are converted to mm. It is not an image library: nothing is resampled or reoriented, and complex
//! and colour voxels are refused. A header is never trusted: no memory is taken for voxels that the file cannot hold.
#![forbid(unsafe_code)]

mod alignment;
mod axes;
mod beside;
mod dicom;
mod error;
pub mod files;
mod frame;
mod geometry;
mod gzip;
pub mod info;
mod layout;
mod metaimage;
pub mod nifti;
mod npy;
mod npz;
mod nrrd;
mod nrrd_axes;
mod nrrd_write;
mod png;
mod statistics;
mod stored;
mod stream;
mod text;
mod tiff;
mod units;
mod voxel;
mod whole_number;
mod write;

pub use alignment::Alignment;
pub use axes::{AxisOrder, Grid};
pub use beside::files_beside;
pub use dicom::dicom_instead;
pub use error::{Error, Result};
pub use frame::Frame;
pub(crate) use geometry::check_invertible;
pub use geometry::{Affine, axcodes, column_lengths, diagonal, leads};
pub use npz::{MASK_NAMES, holds_image_and_mask};
pub use png::other_slices;
pub use statistics::Statistics;
pub use stored::Stored;
pub use tiff::{of_one_slice, split_channel};
pub(crate) use units::converted;
pub use voxel::{ByteOrder, Voxel, VoxelType};
pub use whole_number::whole_number;
pub use write::{nifti_header, write};

use std::path::{Path, PathBuf};

/// Said of a file whose numbers stand for colours.
const PALETTE: &str = "palette indices: the colours are left out";

/// A file format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// NIfTI-1 or NIfTI-2.
    Nifti,
    /// Nearly raw raster data, attached or with a file of its own for the voxels.
    Nrrd,
    /// MetaImage, attached or with a file of its own for the voxels.
    MetaImage,
    /// One NumPy array.
    Npy,
    /// An archive of NumPy arrays.
    Npz,
    /// TIFF.
    Tiff,
    /// One PNG slice, or a folder of them.
    Png,
}

/// What a file is read for. It decides which array of several is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Intensities.
    Image,
    /// Classes.
    Mask,
}

/// How the names of volumes end.
const ENDINGS: [(&[&str], Format); 7] = [
    (&[".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz"], Format::Nifti),
    (&[".nrrd", ".nhdr"], Format::Nrrd),
    (&[".mha", ".mhd"], Format::MetaImage),
    (&[".npy"], Format::Npy),
    (&[".npz"], Format::Npz),
    (&[".tif", ".tiff"], Format::Tiff),
    (&[".png"], Format::Png),
];

/// A file's name without a volume's ending, and that ending; `None` where there is none. Of a pair of header and voxels the
/// header stands for both.
pub fn split_ending(name: &str) -> Option<(&str, &str)> {
    let lower = name.to_ascii_lowercase();
    let endings =
        ENDINGS.iter().flat_map(|(endings, _)| *endings).filter(|ending| !ending.starts_with(".img"));
    let at =
        endings.filter(|ending| lower.ends_with(*ending)).map(|ending| name.len() - ending.len()).max()?;
    (at > 0).then(|| name.split_at(at))
}

/// Whether `ending` is one that [`Volume::read`] accepts.
pub fn is_ending(ending: &str) -> bool {
    ENDINGS.iter().any(|(endings, _)| endings.contains(&ending))
}

impl Format {
    /// The format that a path's name promises; a folder is one of PNG slices.
    ///
    /// # Errors
    /// A name with none of the endings.
    pub fn of(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Png);
        }
        let name = path.file_name().map(|n| n.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let found = ENDINGS.into_iter().find(|(endings, _)| endings.iter().any(|e| name.ends_with(e)));
        found.map(|(_, format)| format).ok_or_else(|| {
            if let Some(message) = dicom_instead(path) {
                return Error::file(path, message);
            }
            Error::file(
                path,
                "has no ending of a volume (.nii, .nii.gz, .hdr, .img, .nrrd, .nhdr, .mha, .mhd, .npy, .npz, .tif, .png); convert it to .nii.gz",
            )
        })
    }

    /// Whether its files say how large voxels are and where they lie; TIFF says the first at most
    /// ([`Header::spacing_known`]).
    pub fn has_geometry(self) -> bool {
        matches!(self, Self::Nifti | Self::Nrrd | Self::MetaImage)
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nifti => "NIfTI",
            Self::Nrrd => "NRRD",
            Self::MetaImage => "MetaImage",
            Self::Npy => "NumPy .npy",
            Self::Npz => "NumPy .npz",
            Self::Tiff => "TIFF",
            Self::Png => "PNG",
        }
    }
}

/// What a file says of its voxels.
#[derive(Clone, PartialEq, Debug)]
pub struct Header {
    /// The format.
    pub format: Format,
    /// Voxels along x, y, z, then further axes (time, channels); as many axes as the file has.
    pub shape: Vec<usize>,
    /// How a voxel is stored.
    pub voxel_type: VoxelType,
    /// The order of a number's bytes in the file; little where a format does not say and a number has one byte.
    pub byte_order: ByteOrder,
    /// `(slope, inter)`: a stored v means slope·v + inter; `None` where values are meant as they are.
    pub scaling: Option<(f64, f64)>,
    /// Voxel sizes along x, y, z in mm.
    pub spacing: [f64; 3],
    /// Whether something says how large voxels are; where nothing does, they count as 1 mm.
    pub spacing_known: bool,
    /// From voxel indices to millimetres, RAS+.
    pub affine: Affine,
    /// Whether something says where the first voxel lies and where the axes lead.
    pub place_known: bool,
    /// The unit of lengths in the file and its millimetres, where it is another one than mm and a volume beside it is to be
    /// written in it: of NRRD; a NIfTI file has a header of its own for that.
    pub unit: Option<(String, f64)>,
    /// What was chosen or not taken as it is written, what was left out, and what is said in two ways: in words that go on
    /// after the file's name.
    pub notes: Vec<String>,
    /// What else a NIfTI file says; a volume that lies where this one does is written with it.
    pub nifti: Option<Box<nifti::NiftiHeader>>,
}

impl Header {
    /// A volume of `shape` voxels (x, y, z, then channels) that lies where `affine` says; f32, little-endian, not scaled.
    pub fn new(shape: &[usize], affine: Affine) -> Self {
        Self {
            format: Format::Nrrd,
            shape: shape.to_vec(),
            voxel_type: VoxelType::F32,
            byte_order: ByteOrder::Little,
            scaling: None,
            spacing: geometry::column_lengths(&affine),
            spacing_known: true,
            affine,
            place_known: true,
            unit: None,
            notes: Vec::new(),
            nifti: None,
        }
    }

    /// Of a format that says neither where a volume lies nor how large its voxels are: 1 mm.
    fn without_place(
        format: Format,
        shape: Vec<usize>,
        voxel_type: VoxelType,
        byte_order: ByteOrder,
    ) -> Self {
        let nowhere = Self::new(&shape, geometry::IDENTITY);
        Self { format, voxel_type, byte_order, spacing_known: false, place_known: false, ..nowhere }
    }

    /// The same volume with voxels of these sizes along x, y, z in mm, the first at the origin; what the file says, it says
    /// as ever.
    pub fn with_spacing(self, spacing: [f64; 3]) -> Self {
        Self { spacing, affine: geometry::diagonal(spacing), ..self }
    }

    /// Voxels along x, y, z.
    pub fn size(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.shape.get(axis).copied().unwrap_or(1))
    }

    /// Numbers at each place: the lengths of all axes after z, multiplied.
    pub fn channels(&self) -> usize {
        self.shape.iter().skip(3).product()
    }

    /// Numbers in all.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never true of a header that was read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the first voxel lies, in mm.
    pub fn origin(&self) -> [f64; 3] {
        std::array::from_fn(|row| self.affine[row][3])
    }

    /// Column `a` is the direction of axis `a`, of length 1 (0 where the affine's column is 0).
    pub fn direction(&self) -> [[f64; 3]; 3] {
        let lengths = geometry::column_lengths(&self.affine);
        std::array::from_fn(|row| {
            std::array::from_fn(|axis| {
                if lengths[axis] > 0.0 { self.affine[row][axis] / lengths[axis] } else { 0.0 }
            })
        })
    }

    /// Where x, y and z lead, such as `RAS` or `LPS`.
    pub fn axcodes(&self) -> String {
        axcodes(&self.affine)
    }

    /// Where a voxel (x, y, z) lies, in millimetres to the right, front and head.
    pub fn place(&self, voxel: [f64; 3]) -> [f64; 3] {
        let row = |row: &[f64; 4]| row[3] + (0..3).map(|axis| row[axis] * voxel[axis]).sum::<f64>();
        [0, 1, 2].map(|axis| row(&self.affine[axis]))
    }

    /// How far, in millimetres, another volume's voxels lie from these at the farthest corner, where that is more than
    /// a tenth of a voxel; `None` where it is less.
    pub fn apart(&self, other: &Self) -> Option<f64> {
        nifti::apart(self.size(), self.spacing, &self.affine, &other.affine)
    }
}

/// A volume in memory.
#[derive(Clone, Debug)]
pub struct Volume {
    /// What the file says of it.
    pub header: Header,
    /// The values, scaled in f64 and rounded to f32; x fastest, channels slowest.
    pub data: Vec<f32>,
    /// Where it was read from.
    pub path: PathBuf,
}

impl Volume {
    /// Reads a volume; the path's ending decides the format.
    ///
    /// # Errors
    /// A file that cannot be read, is not what its ending says, is shorter than its header says, or holds voxels that
    /// are no plain numbers.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let stored = Stored::read(path)?;
        let data = stored.to_f32();
        Ok(Self { header: stored.header, data, path: stored.path })
    }

    /// Writes the values as f32 where the volume lies; see [`write()`].
    ///
    /// # Errors
    /// As [`write()`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        write(path, &self.header, &self.data)
    }
}

/// Reads a header without the voxels. Of a folder of slices, and of a TIFF file, each slice's size is looked at.
///
/// # Errors
/// As [`Volume::read`], but for the voxels.
pub fn read_header(path: impl AsRef<Path>) -> Result<Header> {
    read_header_as(path, Role::Image)
}

/// Reads a header as [`read_header`], of what is to be an image or a mask.
///
/// # Errors
/// As [`read_header`].
pub fn read_header_as(path: impl AsRef<Path>, role: Role) -> Result<Header> {
    let path = path.as_ref();
    match Format::of(path)? {
        Format::Nifti => nifti::header(path),
        Format::Nrrd => nrrd::header(path),
        Format::MetaImage => metaimage::header(path),
        Format::Npy => npy::header(path),
        Format::Npz => npz::header(path, role),
        Format::Tiff => tiff::header(path),
        Format::Png => png::header(path),
    }
}
