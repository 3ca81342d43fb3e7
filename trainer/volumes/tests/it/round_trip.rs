//! What is written is read as it was.

use std::fmt::Debug;
use std::path::Path;

use proptest::prelude::*;
use volumes::{Affine, ByteOrder, Format, Header, Stored, Volume, Voxel};

/// Numbers of every size and sign, the extremes among them.
fn numbers(shape: &[usize], seed: u64) -> Vec<u64> {
    let n = shape.iter().product::<usize>() as u64;
    (0..n).map(|i| (i + 1).wrapping_mul(seed | 1).rotate_left((i % 64) as u32)).collect()
}

fn round_trip<V: Voxel + PartialEq + Debug>(folder: &Path, ending: &str, header: &Header, data: Vec<V>) {
    let path = folder.join(format!("volume{ending}"));
    volumes::write(&path, header, &data).unwrap();
    let stored = Stored::read(&path).unwrap();
    assert_eq!(stored.stored::<V>().unwrap(), data);
    assert_eq!(stored.to_f64(), data.iter().map(|v| v.as_f64()).collect::<Vec<_>>());
    assert_eq!((&stored.header.shape, stored.header.voxel_type), (&header.shape, V::TYPE));
    if V::TYPE.size() > 1 {
        assert_eq!(stored.header.byte_order, header.byte_order);
    }
    if ending != ".npy" {
        assert_eq!(stored.header.affine, header.affine);
        assert_eq!(stored.header.spacing, header.spacing);
        assert_eq!(stored.header.axcodes(), header.axcodes());
    }
    assert_eq!(volumes::read_header(&path).unwrap(), stored.header);
    let volume = Volume::read(&path).unwrap();
    assert_eq!(volume.data, data.iter().map(|v| v.as_f64() as f32).collect::<Vec<_>>());
    // Written again from f32, the volume lies where it did.
    let again = folder.join("again.nrrd");
    volume.write(&again).unwrap();
    let again = Volume::read(&again).unwrap();
    assert_eq!((again.data, again.header.affine), (volume.data, volume.header.affine));
}

/// Whether three axes are clear of one plane, as those of a place in space must be.
fn is_a_place(rows: &[[f64; 4]; 3]) -> bool {
    let length = |axis: usize| rows.iter().map(|row| row[axis] * row[axis]).sum::<f64>().sqrt();
    let unit = |row: usize, axis: usize| rows[row][axis] / length(axis);
    let minor = |a: usize, b: usize| unit(1, a) * unit(2, b) - unit(2, a) * unit(1, b);
    let volume = unit(0, 0) * minor(1, 2) - unit(0, 1) * minor(0, 2) + unit(0, 2) * minor(0, 1);
    volume.abs() > 0.01
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_type_order_and_shape_is_read_as_it_was_written(
        ending in prop::sample::select(vec![".nrrd", ".npy", ".NRRD"]),
        big in any::<bool>(),
        shape in prop::collection::vec(1usize..5, 2..5),
        // Any finite numbers: text and f64 must keep them.
        rows in prop::array::uniform3(prop::array::uniform4(-1e6..1e6f64)),
        seed in any::<u64>(),
    ) {
        prop_assume!(is_a_place(&rows));
        let folder = tempfile::tempdir().unwrap();
        let mut affine: Affine = [rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]];
        if shape.len() == 2 {
            // The third axis of a slice is not stored: it is the normal of the others.
            affine = [[2.0, 0.0, 0.0, rows[0][3]], [0.0, 0.5, 0.0, rows[1][3]], [0.0, 0.0, 1.0, rows[2][3]], affine[3]];
        }
        let byte_order = if big { ByteOrder::Big } else { ByteOrder::Little };
        let header = Header { byte_order, ..Header::new(&shape, affine) };
        let (f, e, h, x) = (folder.path(), ending, &header, numbers(&shape, seed));
        round_trip(f, e, h, x.iter().map(|&v| v as u8).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as i8).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as u16).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as i16).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as u32).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as i32).collect());
        round_trip(f, e, h, x.clone());
        round_trip(f, e, h, x.iter().map(|&v| v as i64).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as i64 as f32 / 3.0).collect());
        round_trip(f, e, h, x.iter().map(|&v| v as i64 as f64 / 3.0).collect());
    }

    #[test]
    fn a_volume_goes_through_nifti_and_back(
        shape in prop::array::uniform3(1usize..5),
        // f32 keeps what it is given.
        rows in prop::array::uniform3(prop::array::uniform4((-1000..1000i32).prop_map(|v| f64::from(v) / 8.0))),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let affine = [rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]];
        let header = Header::new(&shape, affine);
        let data: Vec<f32> = (0..header.len()).map(|i| i as f32).collect();
        let (nrrd, nifti) = (folder.path().join("a.nrrd"), folder.path().join("a.nii.gz"));
        prop_assume!(is_a_place(&rows));
        volumes::write(&nrrd, &header, &data).unwrap();
        Volume::read(&nrrd).unwrap().write(&nifti).unwrap();
        let read = Volume::read(&nifti).unwrap();
        prop_assert_eq!(read.header.affine, affine);
        prop_assert_eq!(read.data, data);
        prop_assert_eq!(read.header.format, Format::Nifti);
    }
}

#[test]
fn what_cannot_be_written_is_refused_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let header = Header::new(&[2, 1, 1], [[1.0, 0.0, 0.0, 0.0]; 4]);
    let message = |name: &str, data: &[u8]| {
        volumes::write(folder.path().join(name), &header, data).unwrap_err().to_string()
    };
    assert!(message("a.nrrd", &[1, 2, 3]).contains("3 values for shape [2, 1, 1]"));
    assert!(message("a.mha", &[1, 2]).contains(".nrrd or .npy"));
    assert!(message("a.nhdr", &[1, 2]).contains(".nrrd or .npy"));
    assert!(message("a.txt", &[1, 2]).contains(".nrrd or .npy"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
