//! Laws of the NIfTI reader and writer.

use std::path::Path;

use proptest::prelude::*;
use volumes::nifti::{self, NiftiHeader, Version};
use volumes::{ByteOrder, Voxel};

#[derive(Clone, Copy, Debug)]
struct Form {
    version: Version,
    order: ByteOrder,
    ending: &'static str,
}

fn forms() -> impl Strategy<Value = Form> {
    let version = prop_oneof![Just(Version::One), Just(Version::Two)];
    let order = prop_oneof![Just(ByteOrder::Little), Just(ByteOrder::Big)];
    let ending = prop::sample::select(vec![".nii", ".nii.gz", ".hdr", ".img", ".img.gz", ".HDR"]);
    (version, order, ending).prop_map(|(version, order, ending)| Form { version, order, ending })
}

/// Numbers of every size and sign, the extremes among them.
fn numbers(shape: &[usize], seed: u64) -> Vec<u64> {
    let n = shape.iter().product::<usize>() as u64;
    (0..n).map(|i| (i + 1).wrapping_mul(seed | 1).rotate_left((i % 64) as u32)).collect()
}

fn round_trip<V: Voxel + PartialEq + std::fmt::Debug>(
    folder: &Path,
    form: Form,
    shape: &[usize],
    scaling: (f64, f64),
    data: Vec<V>,
) {
    let path = folder.join(format!("volume{}", form.ending));
    let header = NiftiHeader {
        version: form.version,
        byte_order: form.order,
        shape: shape.to_vec(),
        scl_slope: scaling.0,
        scl_inter: scaling.1,
        ..NiftiHeader::new([1, 1, 1], [0.5, 0.75, 3.0])
    };
    nifti::write(&path, &header, &data).unwrap();
    let image = volumes::Stored::read(&path).unwrap();
    assert_eq!(image.stored::<V>().unwrap(), data);
    assert_eq!((image.header.shape.as_slice(), image.header.voxel_type), (shape, V::TYPE));
    let own = image.header.nifti.as_deref().unwrap();
    assert_eq!((own.version, own.byte_order), (form.version, form.order));
    assert_eq!(image.header.affine, header.affine().unwrap());
    let meant: Vec<f64> = data.iter().map(|v| v.as_f64() * scaling.0 + scaling.1).collect();
    assert_eq!(image.to_f64(), meant);
    assert_eq!(image.to_f32(), meant.iter().map(|&v| v as f32).collect::<Vec<_>>());
    assert_eq!(&nifti::read_header(&path).unwrap(), own);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_type_order_and_version_is_read_as_it_was_written(
        form in forms(),
        shape in prop::collection::vec(1usize..5, 1..6),
        seed in any::<u64>(),
        // Powers of two survive NIfTI-1's f32 fields.
        scaling in prop::sample::select(vec![(1.0, 0.0), (0.5, -10.25), (-4.0, 1.0)]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (f, s, x) = (folder.path(), shape.as_slice(), numbers(&shape, seed));
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as u8).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as i8).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as u16).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as i16).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as u32).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as i32).collect());
        round_trip(f, form, s, scaling, x.clone());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as i64).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as i64 as f32 / 3.0).collect());
        round_trip(f, form, s, scaling, x.iter().map(|&v| v as i64 as f64 / 3.0).collect());
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_panics(
        at in 0usize..352,
        byte in any::<u8>(),
        length in 0usize..400,
        cut in any::<bool>(),
        form in forms(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii");
        let header = NiftiHeader { version: form.version, byte_order: form.order, ..NiftiHeader::new([4, 3, 2], [1.0; 3]) };
        nifti::write(&path, &header, &[7i16; 24]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        if cut { bytes.truncate(length) } else { bytes[at] = byte }
        std::fs::write(&path, &bytes).unwrap();
        match volumes::Stored::read(&path) {
            Ok(image) => prop_assert_eq!(image.to_f64().len(), image.header.len()),
            Err(error) => prop_assert!(error.to_string().contains("a.nii")),
        }
    }

    #[test]
    fn a_damaged_gzip_stream_is_always_refused(at in 10usize..60, bit in 0u8..8) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nii.gz");
        nifti::write(&path, &NiftiHeader::new([4, 3, 2], [1.0; 3]), &[7i16; 24]).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = 10 + (at - 10) % (bytes.len() - 10);
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, &bytes).unwrap();
        // Some bits pad the last byte of the stream and say nothing; all others are covered by the checksum.
        if let Ok(image) = volumes::Stored::read(&path) {
            prop_assert_eq!(image.stored::<i16>().unwrap(), vec![7i16; 24]);
            prop_assert_eq!(image.header.shape, vec![4, 3, 2]);
        }
    }
}

#[test]
fn a_volume_like_another_lies_where_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nifti");
    for name in ["be_int16_scaled.nii", "n2_float64.nii.gz", "qform.nii", "untransformed.nii", "pair.hdr"] {
        let original = nifti::read_header(fixtures.join(name)).unwrap();
        let path = folder.path().join("mask.nii.gz");
        nifti::write(&path, &original.like(), &vec![1u8; original.len()]).unwrap();
        let mask = volumes::Stored::read(&path).unwrap();
        let own = mask.header.nifti.as_deref().unwrap();
        assert_eq!(own.shape, original.shape, "{name}");
        assert_eq!(own.affine(), original.affine(), "{name}");
        assert_eq!(own.pixdim, original.pixdim, "{name}");
        assert_eq!(own.spacing(), original.spacing(), "{name}");
        let codes =
            |h: &NiftiHeader| (h.qform_code, h.sform_code, h.xyzt_units, h.srow, h.quatern, h.qoffset);
        assert_eq!(codes(own), codes(&original), "{name}");
        assert_eq!(mask.to_f64(), vec![1.0; original.len()], "{name}: the mask is not scaled");
    }
}

/// A header whose sform and qform say the same: 1 x 1 x 2 mm, x to the left, y to the back.
fn placed() -> NiftiHeader {
    let mut header = NiftiHeader::new([4, 3, 2], [1.0, 1.0, 2.0]);
    header.srow = [[-1.0, 0.0, 0.0, 40.0], [0.0, -1.0, 0.0, 30.0], [0.0, 0.0, 2.0, -10.0]];
    // Half a turn about z.
    (header.quatern, header.qoffset) = ([0.0, 0.0, 1.0], [40.0, 30.0, -10.0]);
    header
}

#[test]
fn a_form_without_inverse_gives_way_to_the_other_or_the_file_is_refused() {
    let good = placed();
    let affine = good.affine().unwrap();
    assert_eq!(NiftiHeader { sform_code: 0, ..good.clone() }.affine().unwrap(), affine);
    let broken: [fn(&mut NiftiHeader); 5] = [
        |h| h.srow = [[0.0; 4]; 3],
        |h| h.srow.iter_mut().for_each(|row| row[1] = 0.0),
        |h| h.srow[2][3] = f64::NAN,
        |h| h.srow[0][0] = f64::INFINITY,
        // y runs along x, but for what f32 rounds.
        |h| h.srow.iter_mut().for_each(|row| row[1] = 2.0 * row[0] + 1e-7),
    ];
    for (i, damage) in broken.into_iter().enumerate() {
        let mut header = good.clone();
        damage(&mut header);
        assert_eq!(header.affine().as_ref(), Ok(&affine), "{i}");
        assert_eq!(header.spacing(), [1.0, 1.0, 2.0], "{i}");
        // No other form: the voxels' sizes alone are no stand-in for a place that was meant.
        header.qform_code = 0;
        let refusal = header.affine().unwrap_err();
        assert!(refusal.contains("sform") && refusal.contains("set one of the two"), "{i}: {refusal}");
        (header.qform_code, header.quatern) = (1, [f64::NAN, 0.0, 0.0]);
        let refusal = header.affine().unwrap_err();
        assert!(refusal.contains("quaternion"), "{i}: {refusal}");
    }
}

#[test]
fn sizes_that_are_no_lengths_are_taken_from_the_sform_or_refused() {
    for size in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut header = placed();
        header.pixdim[2] = size;
        assert_eq!((header.affine(), header.spacing()), (placed().affine(), [1.0, 1.0, 2.0]), "{size}");
        header.sform_code = 0;
        assert!(header.affine().unwrap_err().contains("qform"), "{size}");
        header.qform_code = 0;
        let refusal = header.affine().unwrap_err();
        assert!(refusal.contains("pixdim") && refusal.contains("set an sform"), "{refusal}");
    }
}

#[test]
fn lengths_in_metres_and_micrometres_become_millimetres_and_go_back_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    for (unit, scale) in [(0, 1.0), (1, 1e3), (2, 1.0), (3, 1e-3)] {
        let header = NiftiHeader { xyzt_units: unit + 8, ..placed() };
        let want = placed().affine().unwrap().map(|row| row.map(|v| v * scale));
        for forms in [[1, 0], [0, 1]] {
            let header = NiftiHeader { sform_code: forms[0], qform_code: forms[1], ..header.clone() };
            let affine = header.affine().unwrap();
            assert_eq!(affine[..3], want[..3], "unit {unit}");
            assert_eq!(header.spacing(), [scale, scale, 2.0 * scale]);
            let path = folder.path().join("mask.nii.gz");
            nifti::write(&path, &header.like(), &[1u8; 24]).unwrap();
            let back = nifti::read_header(&path).unwrap();
            assert_eq!((back.srow, back.pixdim, back.xyzt_units), (header.srow, header.pixdim, unit + 8));
            let said = volumes::read_header(&path).unwrap().notes;
            assert_eq!(said.len(), usize::from(scale != 1.0), "{said:?}");
        }
    }
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.nii");
    let header = NiftiHeader::new([2, 1, 1], [1.0; 3]);
    nifti::write(&path, &header, &[1u8, 2]).unwrap();
    let error = nifti::write(&path, &header, &[1u8, 2, 3]).unwrap_err().to_string();
    assert!(error.contains("3 values") && error.contains("[2, 1, 1]"), "{error}");
    assert_eq!(volumes::Stored::read(&path).unwrap().to_f64(), [1.0, 2.0]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = nifti::write(folder.path().join("a.png"), &header, &[1u8, 2]).unwrap_err().to_string();
    assert!(error.contains("a.png") && error.contains(".nii.gz"), "{error}");
}

#[test]
fn each_refusal_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/nifti");
    let message = |path: &Path| volumes::Stored::read(path).unwrap_err().to_string();
    for (name, parts) in [
        ("bad_rgb24.nii", ["RGB24", "channel of its own"]),
        ("bad_short.nii", ["takes 48 bytes", "copy or export"]),
        ("bad_huge.nii.gz", ["[32767, 32767, 32767]", "too short"]),
        ("bad_dim.nii", ["-3 voxels along axis 2", "at least 1"]),
        ("bad_offset.nii", ["byte 100", "export it again"]),
        ("bad_quaternion.nii", ["longer than 1", "sform"]),
        ("missing.nii", ["missing.nii", "No such file"]),
    ] {
        let text = message(&fixtures.join(name));
        assert!(text.contains(name) && parts.iter().all(|p| text.contains(p)), "{text}");
    }
    let zipped = folder.path().join("zipped.nii");
    std::fs::copy(fixtures.join("n2_float64.nii.gz"), &zipped).unwrap();
    assert!(message(&zipped).contains("not named .gz"));
    let unnamed = nifti::read_header(folder.path()).unwrap_err().to_string();
    assert!(unnamed.contains("not named as a NIfTI file"), "{unnamed}");
    // What stands in for a file, and what was compressed twice.
    let twice = folder.path().join("twice.nii.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &std::fs::read(&zipped).unwrap()).unwrap();
    std::fs::write(&twice, encoder.finish().unwrap()).unwrap();
    assert!(
        message(&twice).contains("compressed twice: take one layer off with gunzip"),
        "{}",
        message(&twice)
    );
    for name in ["a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.tif", "a.npy", "a.npz", "a.png"] {
        let path = folder.path().join(name);
        let message = || volumes::Volume::read(&path).unwrap_err().to_string();
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n").unwrap();
        assert!(message().contains("git lfs pull"), "{}", message());
        std::fs::write(&path, "<!DOCTYPE html><html></html>").unwrap();
        assert!(message().contains("is a web page"), "{}", message());
    }
}

#[test]
fn a_gzip_stream_is_not_followed_far_beyond_what_its_header_says() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let (plain, zipped) = (folder.path().join("a.nii"), folder.path().join("a.nii.gz"));
    nifti::write(&plain, &NiftiHeader::new([4, 3, 2], [1.0; 3]), &[7u8; 24]).unwrap();
    let mut bytes = std::fs::read(&plain).unwrap();
    // 8 MiB follow, and then the stream breaks off: whoever read on would see the damage.
    bytes.resize(bytes.len() + (8 << 20), 0);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&bytes).unwrap();
    let stream = encoder.finish().unwrap();
    std::fs::write(&zipped, &stream[..stream.len() - 16]).unwrap();
    assert_eq!(volumes::Stored::read(&zipped).unwrap().to_f64(), vec![7.0; 24]);
}
