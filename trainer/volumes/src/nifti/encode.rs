//! How the header's fields are written into the 348 bytes of NIfTI-1 and the 540 of NIfTI-2.

use super::header::MAGIC_TAIL_2;
use super::{NiftiHeader, Version};
use crate::{ByteOrder, Voxel, VoxelType};

impl NiftiHeader {
    /// The fixed part as bytes, followed by the four bytes that say "no extension".
    pub(super) fn encode(&self, voxel_type: VoxelType) -> Vec<u8> {
        let mut to = Writer { bytes: vec![0; Self::size(self.version) + 4], order: self.byte_order };
        match self.version {
            Version::One => encode_1(self, voxel_type, &mut to),
            Version::Two => encode_2(self, voxel_type, &mut to),
        }
        to.bytes
    }
}

fn encode_1(header: &NiftiHeader, voxel_type: VoxelType, to: &mut Writer) {
    to.put(0, 348i32);
    for (i, n) in dim(header).into_iter().enumerate() {
        to.put(40 + 2 * i, n as i16);
    }
    to.put(70, voxel_type.code());
    to.put(72, 8 * voxel_type.size() as i16);
    let mut f = |offset: usize, values: &[f64]| {
        for (i, &v) in values.iter().enumerate() {
            to.put(offset + 4 * i, v as f32);
        }
    };
    f(76, &header.pixdim);
    f(108, &[if header.pair { 0.0 } else { 352.0 }, header.scl_slope, header.scl_inter]);
    f(256, &header.quatern);
    f(268, &header.qoffset);
    for (row, values) in header.srow.iter().enumerate() {
        f(280 + 16 * row, values);
    }
    to.put(123, header.xyzt_units as u8);
    to.put(252, header.qform_code as i16);
    to.put(254, header.sform_code as i16);
    to.bytes[344..348].copy_from_slice(if header.pair { b"ni1\0" } else { b"n+1\0" });
}

fn encode_2(header: &NiftiHeader, voxel_type: VoxelType, to: &mut Writer) {
    to.put(0, 540i32);
    to.bytes[4..7].copy_from_slice(if header.pair { b"ni2" } else { b"n+2" });
    to.bytes[7..12].copy_from_slice(MAGIC_TAIL_2);
    to.put(12, voxel_type.code());
    to.put(14, 8 * voxel_type.size() as i16);
    for (i, n) in dim(header).into_iter().enumerate() {
        to.put(16 + 8 * i, n);
    }
    to.put(168, if header.pair { 0i64 } else { 544 });
    let mut f = |offset: usize, values: &[f64]| {
        for (i, &v) in values.iter().enumerate() {
            to.put(offset + 8 * i, v);
        }
    };
    f(104, &header.pixdim);
    f(176, &[header.scl_slope, header.scl_inter]);
    f(352, &header.quatern);
    f(376, &header.qoffset);
    for (row, values) in header.srow.iter().enumerate() {
        f(400 + 32 * row, values);
    }
    to.put(344, header.qform_code);
    to.put(348, header.sform_code);
    to.put(500, header.xyzt_units);
}

/// The number of axes, then their lengths, then ones.
fn dim(header: &NiftiHeader) -> [i64; 8] {
    let mut dim = [1; 8];
    dim[0] = header.shape.len() as i64;
    for (axis, &n) in header.shape.iter().enumerate() {
        dim[axis + 1] = n as i64;
    }
    dim
}

struct Writer {
    bytes: Vec<u8>,
    order: ByteOrder,
}

impl Writer {
    fn put<V: Voxel>(&mut self, offset: usize, value: V) {
        let mut field = Vec::with_capacity(8);
        value.append_bytes(self.order, &mut field);
        self.bytes[offset..offset + field.len()].copy_from_slice(&field);
    }
}
