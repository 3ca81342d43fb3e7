//! What a TIFF file holds is taken as it is stored, whatever says how it is to be shown, and in the shape that it says.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use volumes::info::Entry;
use volumes::{Stored, Volume, read_header};

use crate::support::made::{directory, zlib};

/// Tags of a grey page of one strip, raw unless `more` says otherwise; later tags go before earlier ones.
fn page(size: [u32; 2], bits: u32, strip: &[u8], more: &[(u16, Vec<u32>)]) -> Vec<u8> {
    let mut tags: Vec<(u16, Vec<u32>)> =
        [(256, size[0]), (257, size[1]), (258, bits), (259, 1), (262, 1), (277, 1), (278, size[1])]
            .map(|(tag, value)| (tag, vec![value]))
            .to_vec();
    tags.extend([(273, vec![8]), (279, vec![strip.len() as u32])]);
    tags.retain(|(tag, _)| more.iter().all(|(other, _)| other != tag));
    tags.extend_from_slice(more);
    directory(&tags, "", strip)
}

fn put(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("a.tif");
    fs::write(&path, bytes).unwrap();
    path
}

fn values(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let stored = Stored::read(path).unwrap();
    assert_eq!(read_header(path).unwrap(), stored.header);
    (stored.header.shape.clone(), stored.to_f64())
}

#[track_caller]
fn refused(path: &Path, parts: &[&str]) {
    let message = read_header(path).and_then(|_| Volume::read(path)).unwrap_err().to_string();
    assert!(
        message.contains("a.tif") && parts.iter().all(|part| message.contains(part)),
        "{message}\nlacks one of {parts:?}"
    );
}

fn info(path: &Path) -> String {
    Entry::of(path).to_string()
}

proptest! {
    /// Where white is 0, of a palette, or where black is 0: the numbers are the same, raw or deflated.
    #[test]
    fn how_a_page_is_shown_alters_no_number(
        bytes in prop::collection::vec(any::<u8>(), 48),
        (bits, format) in prop::sample::select(vec![
            (8, 1), (16, 1), (32, 1), (64, 1), (8, 2), (16, 2), (32, 2), (64, 2), (32, 3), (64, 3), (16, 3), (1, 1), (4, 1), (12, 1),
        ]),
        deflated: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let rows = 2;
        let width = 24 * 8 / bits;
        let strip = if deflated { zlib(&bytes) } else { bytes };
        let of = |photometric: u32| {
            let more = [(259, vec![if deflated { 8 } else { 1 }]), (262, vec![photometric]), (339, vec![format])];
            let path = put(folder.path(), &page([width, rows], bits, &strip, &more));
            let mut stored = Stored::read(path).unwrap();
            // That there is a palette is said.
            assert_eq!(stored.header.notes.is_empty(), photometric != 3);
            stored.header.notes.clear();
            // NaN is no number that equals itself.
            (stored.header.clone(), stored.to_f64().into_iter().map(f64::to_bits).collect::<Vec<_>>())
        };
        let plain = of(1);
        prop_assert_eq!(plain.1.len() as u32, width * rows);
        for photometric in [0, 3, 4] {
            prop_assert_eq!(&of(photometric), &plain);
        }
    }
}

#[test]
fn numbers_of_a_page_where_white_is_0_are_those_that_are_stored() {
    let folder = tempfile::tempdir().unwrap();
    let white = (262, vec![0]);
    let floats: Vec<u8> = [0f32, 255.0, -1.5, f32::MAX].iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = put(folder.path(), &page([4, 1], 32, &floats, &[white.clone(), (339, vec![3])]));
    assert_eq!(values(&path).1, [0.0, 255.0, -1.5, f64::from(f32::MAX)]);
    let signed: Vec<u8> = [-300i16, 0, 7, 300].iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = put(folder.path(), &page([4, 1], 16, &signed, &[white.clone(), (339, vec![2])]));
    assert_eq!(values(&path).1, [-300.0, 0.0, 7.0, 300.0]);
    // A mask of one bit, of which a row ends within a byte.
    let path =
        put(folder.path(), &page([3, 2], 1, &[0b1010_0000, 0b0110_0000], std::slice::from_ref(&white)));
    assert_eq!(values(&path).1, [1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    // Tiles that reach beyond the page.
    let tile: Vec<u8> = (0..=255).collect();
    let tiles = [white, (322, vec![16]), (323, vec![16]), (324, vec![8]), (325, vec![256])];
    let path = put(folder.path(), &page([3, 2], 8, &tile, &tiles));
    assert_eq!(values(&path).1, [0.0, 1.0, 2.0, 16.0, 17.0, 18.0]);
}

/// The numbers x·y modulo 5 of a tile of 16 x 16, of which three columns lie beyond the page.
#[test]
fn a_tile_that_lzw_packs_is_read_to_its_end() {
    let packed = [
        128, 0, 32, 80, 56, 36, 22, 4, 1, 1, 0, 192, 128, 8, 68, 42, 25, 9, 133, 128, 0, 64, 64, 8, 14, 37,
        20, 139, 68, 226, 176, 32, 24, 4, 8, 2, 0, 71, 99, 242, 24, 244, 128, 0, 4, 1, 128, 128, 50, 121, 76,
        174, 81, 42, 131, 76, 96, 176, 216, 92, 210, 31, 14, 139, 198, 227, 81, 152, 196, 114, 75, 36, 145,
        200, 164, 210, 249, 116, 182, 89, 48, 153, 82, 102, 212, 184, 132, 10, 119, 57, 158, 70, 232, 18, 10,
        21, 78, 5, 68, 163, 209, 105, 20, 152, 52, 4,
    ];
    let folder = tempfile::tempdir().unwrap();
    let more = [(259, vec![5]), (322, vec![16]), (323, vec![16]), (324, vec![8]), (325, vec![106])];
    let path = put(folder.path(), &page([13, 16], 8, &packed, &more));
    let want = (0..16).flat_map(|y| (0..13).map(move |x| f64::from(x * y % 5)));
    assert_eq!(values(&path), (vec![13, 16, 1], want.collect()));
}

#[test]
fn a_number_of_16_bits_with_a_point_is_read_as_one_of_32() {
    let folder = tempfile::tempdir().unwrap();
    let halves: Vec<u8> =
        [0x3c00u16, 0xc100, 0x0001, 0x7bff, 0x8000, 0x7c00].iter().flat_map(|v| v.to_le_bytes()).collect();
    let path = put(folder.path(), &page([6, 1], 16, &halves, &[(339, vec![3])]));
    assert_eq!(values(&path).1, [1.0, -2.5, 2f64.powi(-24), 65504.0, 0.0, f64::INFINITY]);
    assert_eq!(read_header(&path).unwrap().voxel_type.name(), "float32");
}

#[test]
fn numbers_of_12_bits_are_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let path = put(folder.path(), &page([3, 1], 12, &[0xab, 0xc1, 0x23, 0xff, 0xf0], &[]));
    assert_eq!(values(&path), (vec![3, 1, 1], vec![0xabc as f64, 0x123 as f64, 4095.0]));
}

#[test]
fn the_indices_of_a_palette_are_the_values_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let palette = |bits: u32| [(262, vec![3]), (320, vec![0xffff; 3 << bits])];
    let path = put(folder.path(), &page([3, 1], 8, &[0, 1, 200], &palette(8)));
    assert_eq!(values(&path).1, [0.0, 1.0, 200.0]);
    assert!(info(&path).contains("note         palette indices"), "{}", info(&path));
    let path = put(folder.path(), &page([3, 1], 4, &[0x1f, 0x20], &palette(4)));
    assert_eq!(values(&path).1, [1.0, 15.0, 2.0]);
}

#[test]
fn a_calibration_of_imagej_is_told_and_not_applied() {
    let folder = tempfile::tempdir().unwrap();
    let text = "ImageJ=1.54f\ncf=0\nc0=-32768\nc1=1\nvunit=HU\nmin=100\nmax=200\n";
    let tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (278, 1), (279, 4)];
    let tags = tags.map(|(tag, value)| (tag, vec![value]));
    let path = put(folder.path(), &directory(&tags, text, &[0, 0x80, 1, 0x80]));
    assert_eq!(values(&path).1, [32768.0, 32769.0]);
    assert!(
        info(&path).contains("note         ImageJ's calibration (cf=0, c0=-32768, c1=1) is not applied"),
        "{}",
        info(&path)
    );
    let path = put(folder.path(), &directory(&tags, &text.replace("cf=0", "cf=20"), &[0, 0x80, 1, 0x80]));
    assert!(!info(&path).contains("note"), "{}", info(&path));
}

/// A page of strips, one byte a voxel, and a description.
fn described(
    size: [u32; 2],
    offsets: Vec<u32>,
    bytes: Vec<u32>,
    rows: u32,
    text: &str,
    voxels: &[u8],
) -> Vec<u8> {
    let one = |value| vec![value];
    let tags = [
        (256, one(size[0])),
        (257, one(size[1])),
        (258, one(8)),
        (259, one(1)),
        (262, one(1)),
        (273, offsets),
        (278, one(rows)),
        (279, bytes),
    ];
    directory(&tags, text, voxels)
}

#[test]
fn slices_behind_the_only_page_are_those_that_its_description_counts() {
    let folder = tempfile::tempdir().unwrap();
    let voxels: Vec<u8> = (0..24).collect();
    let want: Vec<f64> = (0..24).map(f64::from).collect();
    for (text, shape) in [
        (r#"{"shape": [6, 2, 2], "axes": "ZYX", "truncated": true}"#, vec![2, 2, 6]),
        (r#"{"shape": [6, 1, 2, 2]}"#, vec![2, 2, 6]),
        (r#"{"shape": [6, 2, 2], "axes": "TYX"}"#, vec![2, 2, 1, 6]),
        (r#"{"shape": [2, 3, 2, 2], "axes": "CZYX"}"#, vec![2, 2, 3, 2]),
        (r#"{"shape": [2, 3, 2, 2]}"#, vec![2, 2, 3, 2]),
        (r#"{"shape": [6, 2, 2, 1]}"#, vec![2, 2, 6]),
        ("shape=(6, 2, 2)", vec![2, 2, 6]),
        ("ImageJ=1.54f\nimages=6\nslices=6\n", vec![2, 2, 6]),
        ("ImageJ=1.54f\nimages=6\nframes=6\n", vec![2, 2, 1, 6]),
    ] {
        // In two strips, one behind the other.
        let path = put(folder.path(), &described([2, 2], vec![8, 10], vec![2, 2], 1, text, &voxels));
        assert_eq!(values(&path), (shape, want.clone()), "{text}");
    }
    // Times beside slices become channels, which is said.
    let text = "ImageJ=1.54f\nimages=6\nslices=3\nframes=2\n";
    let path = put(folder.path(), &described([2, 2], vec![8, 10], vec![2, 2], 1, text, &voxels));
    assert_eq!(values(&path), (vec![2, 2, 3, 2], want.clone()));
    assert_eq!(read_header(&path).unwrap().notes, ["2 times (frames), read as channels"]);
    // Channels are the fastest here.
    let text = r#"{"shape": [3, 2, 2, 2], "axes": "ZCYX"}"#;
    let path = put(folder.path(), &described([2, 2], vec![8], vec![4], 2, text, &voxels));
    let (shape, found) = values(&path);
    assert_eq!((shape, &found[..8]), (vec![2, 2, 3, 2], &[0., 1., 2., 3., 8., 9., 10., 11.][..]));
}

#[test]
fn a_shape_that_the_file_does_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (text, parts) in [
        (r#"{"shape": [7000, 2, 2]}"#, ["shape [7000, 2, 2], but it has 1 page(s)", "without description"]),
        (r#"{"shape": [6, 4, 1]}"#, ["shape [6, 4, 1], but its pages are 2 x 2", "save it again"]),
        (r#"{"shape": [6, 2, 2], "axes": "YXZ"}"#, ["axes YXZ, whose planes are not YX", "ZYX"]),
        (r#"{"shape": [2, 3, 2, 2], "axes": "QZYX"}"#, ["axes QZYX, of which several", "ZYX"]),
        (r#"{"shape": [2, 1, 3, 2, 2, 2]}"#, ["[2, 1, 3, 2, 2, 2], which is not one of slices", "CZYX"]),
        ("ImageJ=1.54f\nimages=7000\nslices=7000\n", ["images=7000, but has 1 page(s)", "image sequence"]),
        (
            "ImageJ=1.54f\nimages=6\nslices=2\nchannels=2\n",
            ["images=6, but channels=2 x slices=2 x frames=1", "correct"],
        ),
    ] {
        put(folder.path(), &described([2, 2], vec![8], vec![4], 2, text, &[7; 24]));
        refused(&folder.path().join("a.tif"), &parts);
    }
    // Strips that do not lie one behind the other say nothing of what lies behind them.
    let path = put(
        folder.path(),
        &described([2, 2], vec![8, 12], vec![2, 2], 1, r#"{"shape": [6, 2, 2]}"#, &[7; 24]),
    );
    refused(&path, &["shape [6, 2, 2], but it has 1 page(s)"]);
    // What other programs write in JSON is no shape.
    let path =
        put(folder.path(), &described([2, 2], vec![8], vec![4], 2, r#"{"shape": "square"}"#, &[7; 24]));
    assert_eq!(read_header(path).unwrap().shape, [2, 2, 1]);
}

#[test]
fn slices_of_a_page_with_a_depth_are_read_from_its_strips_or_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let voxels: Vec<u8> = (0..24).collect();
    let want: Vec<f64> = (0..24).map(f64::from).collect();
    let strips = |count: u32| ((0..count).map(|i| 8 + 2 * i).collect::<Vec<_>>(), vec![2; count as usize]);
    let (offsets, bytes) = strips(12);
    let depth = |more: Vec<(u16, Vec<u32>)>| [vec![(32997, vec![6])], more].concat();
    let more = depth(vec![(278, vec![1]), (273, offsets), (279, bytes)]);
    let path = put(folder.path(), &page([2, 2], 8, &voxels, &more));
    assert_eq!(values(&path), (vec![2, 2, 6], want.clone()));
    // Tiles of 16 x 16 x 4 voxels, and a page of 3 x 2 with 6 slices: two tiles, of which the second is half empty.
    let tiles: Vec<u8> = (0..2 * 4 * 256).map(|i| (i / 256 * 32 + i % 256 / 16 * 8 + i % 16) as u8).collect();
    let more = depth(vec![
        (322, vec![16]),
        (323, vec![16]),
        (32998, vec![4]),
        (324, vec![8, 8 + 4 * 256]),
        (325, vec![4 * 256; 2]),
    ]);
    let path = put(folder.path(), &page([3, 2], 8, &tiles, &more));
    let slices = (0..6).flat_map(|z| [0, 1, 2, 8, 9, 10].map(|at| f64::from(z * 32 + at)));
    assert_eq!(values(&path), (vec![3, 2, 6], slices.collect()));
    let (offsets, bytes) = strips(11);
    let more = depth(vec![(278, vec![1]), (273, offsets), (279, bytes)]);
    refused(
        &put(folder.path(), &page([2, 2], 8, &voxels, &more)),
        &["6 slice(s)", "11 strips", "copy or export"],
    );
}

#[test]
fn what_cannot_be_decoded_is_named_with_what_to_save_instead() {
    let folder = tempfile::tempdir().unwrap();
    for (compression, name) in [
        (50000, "ZSTD"),
        (34926, "ZSTD"),
        (6, "old JPEG"),
        (7, "JPEG"),
        (33005, "JPEG 2000"),
        (34712, "JPEG 2000"),
        (34925, "LZMA"),
        (34887, "LERC"),
        (50001, "WebP"),
        (50002, "JPEG XL"),
        (52546, "JPEG XL"),
        (22610, "JPEG XR"),
        (2, "CCITT Huffman"),
        (3, "CCITT Group 3"),
        (4, "CCITT Group 4"),
        (32909, "PixarLog"),
        (4242, "method 4242"),
    ] {
        let path = put(folder.path(), &page([2, 2], 8, &[0; 4], &[(259, vec![compression])]));
        refused(&path, &[&format!("{name}, which is not supported; save it with Deflate, LZW or none")]);
        let message = read_header(&path).unwrap_err().to_string();
        assert!(!message.contains("damaged") && !message.contains("copy"), "{message}");
    }
    for (bits, more, parts) in [
        (24, vec![(339, vec![3])], ["24 bits a voxel of sample format 3", "save it with 8, 16 or 32 bits"]),
        (24, vec![], ["24 bits a voxel", "save it with 8, 16 or 32 bits"]),
        (64, vec![(339, vec![6])], ["complex numbers", "save the magnitude"]),
        (8, vec![(317, vec![3])], ["predictor 3 of 8 bits", "save it without predictor"]),
        (4, vec![(317, vec![2])], ["predictor 2 of 4 bits", "save it without predictor"]),
        (8, vec![(317, vec![34892])], ["predictor 34892", "save it without predictor"]),
        (8, vec![(262, vec![2]), (277, vec![3])], ["has colours (RGB)", "save it as grey"]),
        (8, vec![(262, vec![6]), (277, vec![3])], ["has colours (YCbCr)", "save it as grey"]),
        (8, vec![(277, vec![2])], ["2 values a pixel", "save each channel as a page of its own"]),
        (8, vec![(266, vec![2])], ["FillOrder 2", "save it again"]),
    ] {
        refused(&put(folder.path(), &page([2, 2], bits, &[0; 64], &more)), &parts);
    }
    // What is cut can be copied again.
    let path = put(folder.path(), &page([2, 2], 8, &[0; 4], &[(273, vec![90_000])]));
    refused(&path, &["cut or damaged", "copy or export it again"]);
}

#[test]
fn smaller_copies_are_left_out_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let whole = page([2, 2], 8, &[1, 2, 3, 4], &[(330, vec![0])]);
    let path = put(folder.path(), &whole);
    assert_eq!(values(&path), (vec![2, 2, 1], vec![1.0, 2.0, 3.0, 4.0]));
    assert!(info(&path).contains("left out: smaller copies in sub-pages"), "{}", info(&path));
}
