//! Counting bytes without overflow, and bringing axes into order.

/// Bytes of `lengths` numbers of `size` bytes.
///
/// # Errors
/// An axis of length 0, or more than memory can address.
pub(super) fn bytes(lengths: &[usize], size: usize) -> Result<u64, String> {
    if let Some(axis) = lengths.iter().position(|&n| n == 0) {
        return Err(format!("{lengths:?} has no voxel along axis {}; every axis needs at least 1", axis + 1));
    }
    // Eight bytes a voxel must be countable, for values in f64.
    let voxels = lengths.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
    match voxels.and_then(|n| n.checked_mul(8)) {
        Some(most) if most <= isize::MAX as usize => Ok((most / 8 * size) as u64),
        _ => Err(format!("{lengths:?} voxels are more than memory can address; export the file again")),
    }
}

/// Turns numbers of `size` bytes with axes of `lengths`, the fastest first, so that axis i becomes what axis `order[i]`
/// was.
pub(super) fn permute(raw: Vec<u8>, size: usize, lengths: &[usize], order: &[usize]) -> Vec<u8> {
    // Axes of length 1 may stand anywhere.
    let order: Vec<usize> = order.iter().copied().filter(|&axis| lengths[axis] > 1).collect();
    if order.is_sorted() {
        return raw;
    }
    let mut strides = vec![1; lengths.len()];
    for axis in 1..lengths.len() {
        strides[axis] = strides[axis - 1] * lengths[axis - 1];
    }
    let mut out = memory::with_capacity(raw.len());
    let mut index = vec![0; order.len()];
    let mut start = 0;
    loop {
        for i in 0..lengths[order[0]] {
            let at = (start + i * strides[order[0]]) * size;
            out.extend_from_slice(&raw[at..at + size]);
        }
        // Counts up the axes after the first.
        let mut axis = 1;
        loop {
            let Some(&from) = order.get(axis) else { return out };
            index[axis] += 1;
            start += strides[from];
            if index[axis] < lengths[from] {
                break;
            }
            start -= strides[from] * lengths[from];
            index[axis] = 0;
            axis += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_turned_and_turned_back() {
        // Two bytes a number; x, y, z of 2, 3, 4.
        let raw: Vec<u8> = (0..48).collect();
        let turned = permute(raw.clone(), 2, &[2, 3, 4], &[2, 0, 1]);
        assert_eq!(&turned[..8], &[0, 1, 12, 13, 24, 25, 36, 37]);
        assert_eq!(permute(turned, 2, &[4, 2, 3], &[1, 2, 0]), raw);
    }

    #[test]
    fn too_many_voxels_are_refused() {
        assert_eq!(bytes(&[2, 3], 4), Ok(24));
        assert!(bytes(&[2, 0], 4).is_err());
        assert!(bytes(&[usize::MAX, 2], 1).is_err());
        assert!(bytes(&[usize::MAX / 8], 1).is_err());
    }
}
