//! `trainer info`: what a file holds, for people and as JSON. Keys are those of nibabel where it has a word for it.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::{Result, Statistics, Stored};

/// What is known of one file.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Info {
    /// The file, as it was named.
    pub file: String,
    /// The format's name.
    pub format: &'static str,
    /// Voxels along x, y, z, then further axes.
    pub shape: Vec<usize>,
    /// Numbers at each place.
    pub channels: usize,
    /// NumPy's name of the stored type.
    pub dtype: &'static str,
    /// `little` or `big`.
    pub byte_order: &'static str,
    /// A stored v means `scl_slope`·v + `scl_inter`.
    pub scl_slope: f64,
    /// See `scl_slope`.
    pub scl_inter: f64,
    /// Voxel sizes along x, y, z in mm.
    pub spacing: [f64; 3],
    /// From voxel indices to millimetres, RAS+.
    pub affine: [[f64; 4]; 4],
    /// Where x, y and z lead.
    pub axcodes: String,
    /// What was chosen or not taken as it is written, what was left out, and what is said in two ways.
    pub notes: Vec<String>,
    /// The least finite value after scaling.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// The mean.
    pub mean: Option<f64>,
    /// Values that are NaN or infinite.
    pub nonfinite: u64,
    /// Of integer types with at most 64 distinct values: each, and how often it occurs.
    pub labels: Option<Vec<Label>>,
}

/// A value of a label map.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Label {
    /// After scaling.
    pub value: f64,
    /// How many voxels have it.
    pub count: u64,
}

/// A file, or why it cannot be read.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Entry {
    /// What it holds.
    Read(Box<Info>),
    /// What is wrong.
    Refused {
        /// The file, as it was named.
        file: String,
        /// The message, which names the file, too.
        error: String,
    },
}

impl Entry {
    /// Reads a file.
    pub fn of(path: &Path) -> Self {
        match Info::read(path) {
            Ok(info) => Self::Read(Box::new(info)),
            Err(error) => Self::Refused { file: path.display().to_string(), error: error.to_string() },
        }
    }

    /// Whether the file could be read.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}

impl Info {
    /// Reads a volume and sums it up.
    ///
    /// # Errors
    /// As [`crate::Volume::read`].
    pub fn read(path: &Path) -> Result<Self> {
        let stored = Stored::read(path)?;
        let Statistics { min, max, mean, nonfinite, labels } = stored.statistics();
        let header = &stored.header;
        let (scl_slope, scl_inter) = header.scaling.unwrap_or((1.0, 0.0));
        Ok(Self {
            file: path.display().to_string(),
            format: header.format.name(),
            shape: header.shape.clone(),
            channels: header.channels(),
            dtype: header.voxel_type.name(),
            byte_order: header.byte_order.name(),
            scl_slope,
            scl_inter,
            spacing: header.spacing,
            affine: header.affine,
            axcodes: header.axcodes(),
            notes: header.notes.clone(),
            min,
            max,
            mean,
            nonfinite,
            labels: labels.map(|all| all.into_iter().map(|(value, count)| Label { value, count }).collect()),
        })
    }
}

/// The entries as a JSON array. A number that is NaN or infinite, as an affine may hold, is null.
///
/// # Panics
/// Never: every entry is JSON.
pub fn to_json(entries: &[Entry]) -> String {
    serde_json::to_string_pretty(entries).expect("strings, numbers and lists are JSON")
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Read(info) => info.fmt(f),
            Self::Refused { file, error } => writeln!(f, "{file}\n  error        {error}"),
        }
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let lengths = |all: &[usize]| all.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        writeln!(f, "{}", self.file)?;
        writeln!(f, "  format       {}", self.format)?;
        writeln!(f, "  shape        {}", lengths(&self.shape))?;
        write!(f, "  type         {}, {}-endian", self.dtype, self.byte_order)?;
        if (self.scl_slope, self.scl_inter) != (1.0, 0.0) {
            let sign = if self.scl_inter < 0.0 { '−' } else { '+' };
            write!(f, "; a stored v means {}·v {sign} {}", self.scl_slope, self.scl_inter.abs())?;
        }
        let [x, y, z] = self.spacing.map(short);
        writeln!(f, "\n  spacing      {x} x {y} x {z} mm")?;
        writeln!(f, "  orientation  {}", self.axcodes)?;
        for (row, numbers) in self.affine.iter().enumerate() {
            let name = if row == 0 { "affine" } else { "" };
            write!(f, "  {name:<12}")?;
            for &number in numbers {
                write!(f, " {:>11}", short(number))?;
            }
            writeln!(f)?;
        }
        match (self.min, self.max, self.mean) {
            (Some(min), Some(max), Some(mean)) => {
                writeln!(f, "  values       {} to {}, mean {}", short(min), short(max), short(mean))?;
            }
            _ => writeln!(f, "  values       none is finite")?,
        }
        writeln!(f, "  not finite   {}", self.nonfinite)?;
        if let Some(labels) = &self.labels {
            for (index, label) in labels.iter().enumerate() {
                let name = if index == 0 { "labels" } else { "" };
                writeln!(f, "  {name:<12} {:>11} {:>12} voxels", short(label.value), label.count)?;
            }
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  note         {note}"))
    }
}

/// Six digits, without zeros at the end.
fn short(number: f64) -> String {
    let size = number.abs();
    if number != 0.0 && number.is_finite() && !(1e-4..1e9).contains(&size) {
        return format!("{number:.5e}");
    }
    let text = format!("{number:.6}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".into() } else { text.to_owned() }
}
