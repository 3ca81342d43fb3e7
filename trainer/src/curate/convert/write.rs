//! The files of a case, as nnU-Net names them.

use std::path::{Path, PathBuf};

use volumes::{Alignment, Header, Role, Stored, Voxel, VoxelType, nifti, nifti_header};

use super::labels::Classes;
use super::{Planned, Ready};
use crate::{Error, Result};

/// How every volume's name ends.
pub(super) const ENDING: &str = ".nii.gz";

/// What [`case`] writes.
pub(super) fn planned(ready: &Ready) -> Vec<Planned> {
    let grid = &ready.scanned.grid;
    let what = |kind: VoxelType, more: String| {
        let [[x, y, z], [a, b, c]] = [
            grid.size().map(|n| n.to_string()),
            grid.spacing.map(|mm| format!("{mm:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()),
        ];
        format!("{}{more}, {x}x{y}x{z} voxels of {a}x{b}x{c} mm", kind.name())
    };
    let mut files = Vec::new();
    for (path, header) in &ready.scanned.images {
        for channel in 0..header.channels() {
            let more = if header.channels() > 1 { format!(", channel {channel}") } else { String::new() };
            let what = what(header.voxel_type, more);
            files.push(Planned { target: image(ready, files.len()), source: path.clone(), what });
        }
    }
    if let Some(path) = &ready.scanned.mask {
        files.push(Planned {
            target: mask(ready),
            source: path.clone(),
            what: what(VoxelType::U8, String::new()),
        });
    }
    files
}

/// `imagesTr/CASE_0000.nii.gz`
fn image(ready: &Ready, channel: usize) -> PathBuf {
    Path::new(ready.part.folders()[0]).join(format!("{}_{channel:04}{ENDING}", ready.name))
}

/// `labelsTr/CASE.nii.gz`
fn mask(ready: &Ready) -> PathBuf {
    Path::new(ready.part.folders()[1]).join(format!("{}{ENDING}", ready.name))
}

/// Writes the files of a case into `folder`, reading one at a time.
///
/// # Errors
/// A file that is not as it was when it was checked, or a system error.
pub(super) fn case(folder: &Path, ready: &Ready, classes: &Classes) -> Result<()> {
    let grid = &ready.scanned.grid;
    let mut channel = 0;
    for (path, checked) in &ready.scanned.images {
        let stored = read(path, checked)?;
        let targets: Vec<PathBuf> = (channel..channel + checked.channels())
            .map(|channel| folder.join(image(ready, channel)))
            .collect();
        channel += targets.len();
        let alignment = alignment(grid, &stored);
        let mut header = nifti_header(grid);
        if let Some((slope, inter)) = stored.header.scaling {
            (header.scl_slope, header.scl_inter) = (slope, inter);
        }
        match stored.header.voxel_type {
            VoxelType::U8 => channels::<u8>(&targets, &header, &stored, alignment),
            VoxelType::I8 => channels::<i8>(&targets, &header, &stored, alignment),
            VoxelType::U16 => channels::<u16>(&targets, &header, &stored, alignment),
            VoxelType::I16 => channels::<i16>(&targets, &header, &stored, alignment),
            VoxelType::U32 => channels::<u32>(&targets, &header, &stored, alignment),
            VoxelType::I32 => channels::<i32>(&targets, &header, &stored, alignment),
            VoxelType::U64 => channels::<u64>(&targets, &header, &stored, alignment),
            VoxelType::I64 => channels::<i64>(&targets, &header, &stored, alignment),
            VoxelType::F32 => channels::<f32>(&targets, &header, &stored, alignment),
            VoxelType::F64 => channels::<f64>(&targets, &header, &stored, alignment),
        }?;
    }
    let Some(path) = &ready.scanned.mask else { return Ok(()) };
    let stored = Stored::read_as(path, Role::Mask)?;
    let mut labels = memory::with_capacity(grid.len());
    let mut last = (0.0, classes.of(0.0));
    let mut is_known = true;
    stored.for_each(|value| {
        if value != last.0 {
            last = (value, classes.of(value));
        }
        is_known &= last.1.is_some();
        labels.push(last.1.unwrap_or_default());
    });
    if ready.scanned.moved.is_none() {
        labels = alignment(grid, &stored).in_order(labels);
    }
    if !is_known || labels.len() != grid.len() {
        return Err(changed(path));
    }
    Ok(nifti::write(folder.join(mask(ready)), &nifti_header(grid), &labels)?)
}

/// How a file's voxels come into the order of the grid's.
fn alignment(grid: &Header, stored: &Stored) -> Alignment {
    match stored.header.format.has_geometry() {
        true => Alignment::of(grid, &stored.header),
        false => Alignment::Same,
    }
}

fn read(path: &Path, checked: &Header) -> Result<Stored> {
    let stored = Stored::read(path)?;
    // Fields that place nothing may be NaN.
    let of_all_formats = |header: &Header| Header { nifti: None, ..header.clone() };
    match of_all_formats(&stored.header) == of_all_formats(checked) {
        true => Ok(stored),
        false => Err(changed(path)),
    }
}

fn changed(path: &Path) -> Error {
    Error::file(path, "changed while it was converted; convert again")
}

/// Writes each channel's numbers as they are stored.
fn channels<V: Voxel>(
    targets: &[PathBuf],
    header: &nifti::NiftiHeader,
    stored: &Stored,
    alignment: Alignment,
) -> Result<()> {
    let numbers = stored.stored::<V>().expect("the type was matched");
    let voxels = header.len();
    targets.iter().zip(numbers.chunks_exact(voxels)).try_for_each(|(path, numbers)| {
        Ok(nifti::write(path, header, &alignment.in_order(memory::collected(numbers.iter().copied())))?)
    })
}
