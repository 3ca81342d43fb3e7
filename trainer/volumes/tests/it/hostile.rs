//! Volumes made to be too much: tags that do not fit together, streams that expand without end. None panics or takes memory
//! that the file does not warrant. Damage to files of every format is in `fuzz_smoke.rs`.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use volumes::info::Entry;
use volumes::read_header;

use crate::support::{counting, made};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

/// Buffers of readers and decoders, whatever the file.
const BUFFERS: usize = 2 << 20;
/// Of each byte of a file: LZW's expansion, the page and the volume, and room to grow by doubling.
const EACH_BYTE: usize = 3 * 2600;

/// Reads a file, with the most memory that was held at a time.
fn read(path: &Path) -> (Entry, usize) {
    counting::most_held(|| {
        let _ = read_header(path);
        Entry::of(path)
    })
}

/// Stand for where the strip begins, and for its length.
const STRIP: u32 = 0xfffe_0000;
const STRIP_LENGTH: u32 = 0xfffe_0001;

/// A TIFF file of one page whose tags need not fit together: tag, type, count, value.
fn tiff_of(tags: &[(u16, u16, u32, u32)], next: u32, strip: &[u8]) -> Vec<u8> {
    let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
    file.extend((tags.len() as u16).to_le_bytes());
    for &(tag, kind, count, value) in tags {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        let value = match value {
            STRIP => 14 + 12 * tags.len() as u32,
            STRIP_LENGTH => strip.len() as u32,
            other => other,
        };
        file.extend(value.to_le_bytes());
    }
    file.extend(next.to_le_bytes());
    file.extend(strip);
    file
}

/// Tags in the order that TIFF wants, each mostly with the first of its values.
fn tiff_tags() -> impl Strategy<Value = Vec<(u16, u16, u32, u32)>> {
    let choices: Vec<(u16, Vec<u32>)> = vec![
        (254, vec![0, 1]),
        (256, vec![4, 1, 5, 17, 0, 70000]),
        (257, vec![3, 1, 16, 0, 70000]),
        (258, vec![8, 16, 32, 64, 1, 12, 24, 0]),
        (259, vec![1, 5, 8, 32773, 32946, 7, 2]),
        (262, vec![1, 0, 2, 3, 6]),
        (273, vec![STRIP, 8, 100_000]),
        (277, vec![1, 2, 3, 0]),
        (278, vec![3, 1, 2, 16, 0, u32::MAX]),
        (279, vec![STRIP_LENGTH, 12, 24, 0, u32::MAX]),
        (284, vec![1, 2]),
        (317, vec![1, 2, 3, 9]),
        (322, vec![16, 4, 1, 0, 70000]),
        (323, vec![16, 4, 1, 0, 70000]),
        (324, vec![STRIP, 8]),
        (325, vec![STRIP_LENGTH, 12, 0]),
        (338, vec![0, 1, 2]),
        (339, vec![1, 2, 3, 4]),
    ];
    let page = move |tiled: bool| {
        let tags = choices.clone().into_iter().map(move |(tag, values)| {
            let usual = match tag {
                273 | 278 | 279 => !tiled,
                322..=325 => tiled,
                338 => false,
                _ => true,
            };
            let first = values[0];
            let often = prop::sample::select(values);
            let value = prop_oneof![80 => Just(first), 20 => often, 1 => any::<u32>()];
            let kind = prop_oneof![100 => Just(4u16), 20 => Just(3), 1 => 0..19u16];
            let kind = kind.prop_map(move |kind| if first >= STRIP { 4 } else { kind });
            let count = prop_oneof![200 => Just(1u32), 1 => 0..9u32, 1 => any::<u32>()];
            prop::option::weighted(if usual { 0.99 } else { 0.01 }, (Just(tag), kind, count, value))
        });
        tags.collect::<Vec<_>>().prop_map(|tags| tags.into_iter().flatten().collect())
    };
    any::<bool>().prop_flat_map(page)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(2048) })]

    #[test]
    fn tags_of_a_tiff_need_not_fit_together(
        tags in tiff_tags(),
        next in prop_oneof![30 => Just(0u32), 1 => 0..400u32],
        data in prop::collection::vec(any::<u8>(), 0..1000),
        deflate in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        let data = if deflate { made::zlib(&data) } else { data };
        let bytes = tiff_of(&tags, next, &data);
        fs::write(&path, &bytes).unwrap();
        let (_, most) = read(&path);
        prop_assert!(most <= BUFFERS + EACH_BYTE * bytes.len(), "{most} bytes of memory");
    }
}

/// Else a file of a few megabytes could name millions of pages of thousands of tags each.
#[test]
fn lists_of_tags_that_lie_over_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
    // A page of one tag, whose number is taken for the next page's number of tags.
    file.extend([1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0]);
    file.resize(40, 0);
    fs::write(&path, file).unwrap();
    let (Entry::Refused { error, .. }, _) = read(&path) else { panic!("is read") };
    assert!(error.contains("lie over each other"), "{error}");
}

#[test]
fn undamaged_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in made::samples(folder.path()) {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        let (entry, _) = read(&path);
        let Entry::Read(info) = entry else { panic!("{entry}") };
        assert_eq!(info.shape.iter().product::<usize>(), 24, "{name}");
        if !name.ends_with(".png") {
            assert_eq!((info.min, info.max, info.mean), (Some(-300.0), Some(275.0), Some(-12.5)), "{name}");
            assert_eq!(info.labels.map(|labels| labels.len()), Some(24), "{name}");
        }
    }
}

#[test]
fn a_stream_that_expands_without_end_is_followed_as_far_as_the_header_says() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = vec![0; 32 << 20];
    for (name, text, packed) in [
        ("a.nrrd", made::nrrd("endian: little\nencoding: gzip"), made::gzip(&zeros)),
        ("a.mha", made::metaimage("CompressedData = True", "LOCAL"), made::zlib(&zeros)),
    ] {
        let path = made::put(folder.path(), name, &text, &packed);
        let (entry, most) = read(&path);
        assert!(entry.is_read(), "{entry}");
        assert!(most < BUFFERS, "{name}: {most}");
    }
}
