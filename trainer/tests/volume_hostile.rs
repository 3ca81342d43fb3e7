//! Damaged files of every format are refused or read, without a panic and without memory that the file does not warrant.

#[path = "support/volumes.rs"]
mod volumes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;

use proptest::prelude::*;
use trainer::info::Entry;
use trainer::volume::read_header;

/// Counts what a thread holds, and the most it has held.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let held = HELD.get() + bytes;
    HELD.set(held);
    MOST.set(MOST.get().max(held));
}

// SAFETY: every call is handed on to the system's allocator as it came; the counters are plain cells that allocate
// nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Buffers of readers and decoders, whatever the file.
const BUFFERS: usize = 2 << 20;
/// Of each byte of a file: LZW's expansion, the page and the volume, and room to grow by doubling.
const EACH_BYTE: usize = 3 * 2600;

/// One change to a file.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    /// What a parser may choke on, in place of what is there.
    Word(prop::sample::Index, &'static [u8]),
    Number(prop::sample::Index, u32),
    /// A piece is moved to another place.
    Copy(prop::sample::Index, prop::sample::Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let words: Vec<&'static [u8]> = vec![
        b"99999999999999999999",
        b"-1",
        b"nan",
        b"inf",
        b"1e308",
        b"none",
        b"(",
        b")",
        b"\n\n",
        b"\r\n",
        b": ",
        b"=",
        b"%d",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\0\0\0\0",
        b"\xc3\xa9",
        b"'",
        b"4294967295",
        b"65536",
    ];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, byte)| Damage::Set(i, byte)),
        (at(), 0u8..8).prop_map(|(i, bit)| Damage::Flip(i, bit)),
        at().prop_map(Damage::Cut),
        (at(), prop::collection::vec(any::<u8>(), 1..6)).prop_map(|(i, bytes)| Damage::Insert(i, bytes)),
        (at(), prop::sample::select(words)).prop_map(|(i, word)| Damage::Word(i, word)),
        (at(), any::<u32>()).prop_map(|(i, number)| Damage::Number(i, number)),
        (at(), at(), any::<u8>()).prop_map(|(i, j, n)| Damage::Copy(i, j, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let overwrite = |bytes: &mut Vec<u8>, at: usize, new: &[u8]| {
        for (offset, &byte) in new.iter().enumerate() {
            if let Some(slot) = bytes.get_mut(at + offset) {
                *slot = byte;
            }
        }
    };
    if bytes.is_empty() {
        return;
    }
    let n = bytes.len();
    match damage {
        Damage::Set(i, byte) => bytes[i.index(n)] = *byte,
        Damage::Flip(i, bit) => bytes[i.index(n)] ^= 1 << bit,
        Damage::Cut(i) => bytes.truncate(i.index(n)),
        Damage::Insert(i, new) => {
            let at = i.index(n);
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Word(i, word) => overwrite(bytes, i.index(n), word),
        Damage::Number(i, number) => overwrite(bytes, i.index(n), &number.to_le_bytes()),
        Damage::Copy(i, j, length) => {
            let from = i.index(n);
            let piece = bytes[from..(from + usize::from(*length)).min(n)].to_vec();
            overwrite(bytes, j.index(n), &piece);
        }
    }
}

/// Reads a file, with the most memory that was held at a time.
fn read(path: &std::path::Path) -> (Entry, usize) {
    let before = HELD.get();
    MOST.set(before);
    let _ = read_header(path);
    let entry = Entry::of(path);
    (entry, (MOST.get() - before) as usize)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_damaged_file_neither_panics_nor_takes_memory(all in prop::collection::vec(damage(), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        for (name, mut bytes) in volumes::samples(folder.path()) {
            for damage in &all {
                apply(&mut bytes, damage);
            }
            let path = folder.path().join(name);
            fs::write(&path, &bytes).unwrap();
            let (entry, most) = read(&path);
            let bound = BUFFERS + EACH_BYTE * bytes.len();
            prop_assert!(most <= bound, "{name}: {most} bytes of memory, of {bound} at most");
            match entry {
                Entry::Read(info) => prop_assert!(info.shape.iter().all(|&n| n > 0)),
                Entry::Refused { error, .. } => {
                    prop_assert!(error.contains(name) || error.contains("voxels.raw") || error.contains(&*folder.path().to_string_lossy()), "{}", error);
                }
            }
        }
    }

    #[test]
    fn noise_of_any_name_is_refused(noise in prop::collection::vec(any::<u8>(), 1..600)) {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in volumes::samples(folder.path()) {
            // With the first bytes as they should be, so that more than the magic is looked at.
            let start = bytes.len().min(12);
            let path = folder.path().join(name);
            fs::write(&path, [&bytes[..start], &noise].concat()).unwrap();
            let (_, most) = read(&path);
            prop_assert!(most <= BUFFERS + EACH_BYTE * (start + noise.len()), "{name}: {most}");
        }
    }
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
        let data = if deflate { volumes::zlib(&data) } else { data };
        let bytes = tiff_of(&tags, next, &data);
        fs::write(&path, &bytes).unwrap();
        let (_, most) = read(&path);
        prop_assert!(most <= BUFFERS + EACH_BYTE * bytes.len(), "{most} bytes of memory");
    }
}

#[test]
fn undamaged_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in volumes::samples(folder.path()) {
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
        ("a.nrrd", volumes::nrrd("endian: little\nencoding: gzip"), volumes::gzip(&zeros)),
        ("a.mha", volumes::metaimage("CompressedData = True", "LOCAL"), volumes::zlib(&zeros)),
    ] {
        let path = volumes::put(folder.path(), name, &text, &packed);
        let (entry, most) = read(&path);
        assert!(entry.is_read(), "{entry}");
        assert!(most < BUFFERS, "{name}: {most}");
    }
}
