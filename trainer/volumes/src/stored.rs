//! A volume with its numbers as they are stored.

use std::path::{Path, PathBuf};

use super::{Format, Header, Role, Statistics, metaimage, nifti, npy, npz, nrrd, png, tiff};
use crate::{ByteOrder, Result, Voxel, VoxelType};

/// A volume with its numbers in the file's own type: what [`super::Volume`] is made of, for values that f32 cannot hold.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What the file says of it.
    pub header: Header,
    /// Where it was read from.
    pub path: PathBuf,
    /// The numbers, x fastest, channels slowest.
    raw: Vec<u8>,
    /// Of `raw`; a decoder may have changed the file's.
    order: ByteOrder,
}

impl Stored {
    /// Reads a volume; the path's ending decides the format.
    ///
    /// # Errors
    /// As [`super::Volume::read`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_as(path, Role::Image)
    }

    /// Reads a volume for what it is to be.
    ///
    /// # Errors
    /// As [`super::Volume::read`].
    pub fn read_as(path: impl AsRef<Path>, role: Role) -> Result<Self> {
        let path = path.as_ref();
        let read = || match Format::of(path)? {
            Format::Nifti => nifti::read(path),
            Format::Nrrd => nrrd::read(path),
            Format::MetaImage => metaimage::read(path),
            Format::Npy => npy::read(path),
            Format::Npz => npz::read(path, role),
            Format::Tiff => tiff::read(path),
            Format::Png => png::read(path),
        };
        memory::within(read).map_err(|error| error.of_file(path))
    }

    pub(super) fn new(path: &Path, header: Header, raw: Vec<u8>, order: ByteOrder) -> Self {
        debug_assert_eq!(raw.len(), header.len() * header.voxel_type.size());
        Self { header, path: path.to_path_buf(), raw, order }
    }

    /// The values, scaled in f64 and rounded to f32. A value beyond f32's range becomes infinite.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = memory::with_capacity(self.header.len());
        self.for_each(|value| values.push(value as f32));
        values
    }

    /// The values, scaled. 64-bit integers beyond 2^53 are rounded.
    pub fn to_f64(&self) -> Vec<f64> {
        let mut values = memory::with_capacity(self.header.len());
        self.for_each(|value| values.push(value));
        values
    }

    /// The stored numbers as they are, without scaling; `None` where the file's type is another one.
    pub fn stored<V: Voxel>(&self) -> Option<Vec<V>> {
        let numbers = self.raw.chunks_exact(V::TYPE.size()).map(|b| V::from_bytes(b, self.order));
        (V::TYPE == self.header.voxel_type).then(|| memory::collected(numbers))
    }

    /// Minimum, maximum, mean and labels of the scaled values.
    pub fn statistics(&self) -> Statistics {
        let mut gather = super::statistics::Gather::new(self.header.voxel_type.is_integer());
        self.for_each(|value| gather.add(value));
        gather.finish()
    }

    /// Gives every value, scaled, to `take`.
    pub fn for_each(&self, mut take: impl FnMut(f64)) {
        match self.header.scaling {
            Some((slope, inter)) => self.each_unscaled(|value| take(value * slope + inter)),
            None => self.each_unscaled(take),
        }
    }

    fn each_unscaled(&self, take: impl FnMut(f64)) {
        match self.header.voxel_type {
            VoxelType::U8 => self.each::<u8>(take),
            VoxelType::I8 => self.each::<i8>(take),
            VoxelType::U16 => self.each::<u16>(take),
            VoxelType::I16 => self.each::<i16>(take),
            VoxelType::U32 => self.each::<u32>(take),
            VoxelType::I32 => self.each::<i32>(take),
            VoxelType::U64 => self.each::<u64>(take),
            VoxelType::I64 => self.each::<i64>(take),
            VoxelType::F32 => self.each::<f32>(take),
            VoxelType::F64 => self.each::<f64>(take),
        }
    }

    fn each<V: Voxel>(&self, mut take: impl FnMut(f64)) {
        let numbers = self.raw.chunks_exact(V::TYPE.size());
        // The order is matched outside the loop, so that each loop is one of plain loads.
        match self.order {
            ByteOrder::Little => numbers.for_each(|b| take(V::from_bytes(b, ByteOrder::Little).as_f64())),
            ByteOrder::Big => numbers.for_each(|b| take(V::from_bytes(b, ByteOrder::Big).as_f64())),
        }
    }
}
