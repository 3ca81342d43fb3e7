//! Writing NRRD: one file, gzip, LPS as ITK and Slicer write it.

use std::fmt::Write as _;
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::Header;
use super::geometry::LPS_TO_RAS;
use super::write::put;
use crate::files::rename_into_place;
use crate::{ByteOrder, Error, Result, Voxel, VoxelType};

/// NRRD allows no more axes.
const MOST_AXES: usize = 16;

pub(super) fn write<V: Voxel>(path: &Path, header: &Header, data: &[V]) -> Result<()> {
    if header.shape.len() > MOST_AXES {
        let message = format!("cannot be written: {} axes, of {MOST_AXES} that NRRD has", header.shape.len());
        return Err(Error::file(path, message));
    }
    let text = text(header, V::TYPE);
    rename_into_place(path, |out| {
        out.write_all(text.as_bytes())?;
        // No name and no time in the stream: the same volume gives the same bytes.
        let mut encoder = GzBuilder::new().write(out, Compression::new(4));
        put(&mut encoder, header.byte_order, data)?;
        encoder.finish().map(drop)
    })
}

fn text(header: &Header, kind: VoxelType) -> String {
    let axes = header.shape.len();
    // `{}` of an f64 is the shortest text that reads back as the same number. Adding 0 turns −0 to 0.
    let (unit, mm) = header.unit.as_ref().map_or(("mm", 1.0), |(unit, mm)| (unit.as_str(), *mm));
    let vector = |column: usize| {
        let [x, y, z] = std::array::from_fn(|row| LPS_TO_RAS[row] * header.affine[row][column] / mm + 0.0);
        format!("({x},{y},{z})")
    };
    let each_axis = |of_space: &dyn Fn(usize) -> String, other: &str| {
        let words: Vec<String> =
            (0..axes).map(|axis| if axis < 3 { of_space(axis) } else { other.to_owned() }).collect();
        words.join(" ")
    };
    let sizes: Vec<String> = header.shape.iter().map(usize::to_string).collect();
    let mut text = String::from("NRRD0004\n");
    let mut line = |key: &str, value: &str| {
        let _infallible = writeln!(text, "{key}: {value}");
    };
    line("type", name(kind));
    line("dimension", &axes.to_string());
    line("space", "left-posterior-superior");
    line("sizes", &sizes.join(" "));
    if header.unit.is_some() {
        line("space units", &[format!("\"{unit}\""), format!("\"{unit}\""), format!("\"{unit}\"")].join(" "));
    }
    line("space directions", &each_axis(&vector, "none"));
    line("kinds", &each_axis(&|_| "domain".into(), "list"));
    line("endian", if header.byte_order == ByteOrder::Big { "big" } else { "little" });
    line("encoding", "gzip");
    line("space origin", &vector(3));
    text.push('\n');
    text
}

fn name(kind: VoxelType) -> &'static str {
    match kind {
        VoxelType::F32 => "float",
        VoxelType::F64 => "double",
        integer => integer.name(),
    }
}
