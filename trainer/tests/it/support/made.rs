//! Small volumes of each format, made byte by byte.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

/// int16 values of a volume of 4 x 3 x 2 voxels, x fastest.
pub(crate) const SHAPE: [usize; 3] = [4, 3, 2];

/// −300, −275, …: bytes that differ in both halves.
pub(crate) fn values() -> Vec<i16> {
    (0..24).map(|i| i * 25 - 300).collect()
}

pub(crate) fn little(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub(crate) fn big(values: &[i16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_be_bytes()).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes text and then bytes.
pub(crate) fn put(folder: &Path, name: &str, text: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, [text.as_bytes(), bytes].concat()).unwrap();
    path
}

/// An NRRD header of int16 voxels of [`SHAPE`], with further lines.
pub(crate) fn nrrd(lines: &str) -> String {
    format!("NRRD0004\n# a comment\ntype: short\ndimension: 3\nsizes: 4 3 2\n{lines}\n\n")
}

/// A MetaImage header of int16 voxels of [`SHAPE`], with further lines.
pub(crate) fn metaimage(lines: &str, data_file: &str) -> String {
    format!(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\n{lines}\nElementDataFile = {data_file}\n"
    )
}

/// An `.npy` file.
pub(crate) fn npy(descr: &str, fortran: bool, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut dict = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while (dict.len() + 11) % 64 != 0 {
        dict.push(' ');
    }
    dict.push('\n');
    [b"\x93NUMPY\x01\x00", (dict.len() as u16).to_le_bytes().as_slice(), dict.as_bytes(), bytes].concat()
}

/// A zip archive of the named files.
pub(crate) fn zip(files: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let packed = if deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let mut crc = flate2::Crc::new();
        crc.update(content);
        // Version to extract, flags, method, time, date, checksum, sizes, lengths of name and extra field.
        let mut facts = vec![20, 0, 0, 0, if deflate { 8 } else { 0 }, 0, 0, 0, 0, 0];
        for number in [crc.sum(), packed.len() as u32, content.len() as u32] {
            facts.extend(number.to_le_bytes());
        }
        facts.extend((name.len() as u16).to_le_bytes());
        facts.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&facts);
        directory.extend([0; 10]);
        directory.extend((archive.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&facts);
        archive.extend(name.as_bytes());
        archive.extend(packed);
    }
    let (at, size, count) = (archive.len() as u32, directory.len() as u32, files.len() as u16);
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count.to_le_bytes());
    archive.extend(count.to_le_bytes());
    archive.extend(size.to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

/// A TIFF file of grey pages of `width` x `height` pixels, each one raw strip.
pub(crate) fn tiff(order_big: bool, size: [u32; 2], bits: u16, format: u16, pages: &[Vec<u8>]) -> Vec<u8> {
    let u16s = |v: u16| if order_big { v.to_be_bytes() } else { v.to_le_bytes() };
    let u32s = |v: u32| if order_big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut file: Vec<u8> = if order_big { b"MM\0\x2a".to_vec() } else { b"II\x2a\0".to_vec() };
    file.extend(u32s(8));
    for (index, page) in pages.iter().enumerate() {
        // Tags of one short (3) or long (4) value each, then where the next page is; the strip is behind.
        let tags =
            [(256, 4, size[0]), (257, 4, size[1]), (258, 3, u32::from(bits)), (259, 3, 1), (262, 3, 1)];
        let strip = (file.len() + 2 + 10 * 12 + 4) as u32;
        let more = [(273, 4, strip), (277, 3, 1), (278, 4, size[1]), (279, 4, page.len() as u32)];
        let last = [(339, 3, u32::from(format))];
        file.extend(u16s(10));
        for &(tag, kind, value) in tags.iter().chain(&more).chain(&last) {
            file.extend(u16s(tag));
            file.extend(u16s(kind));
            file.extend(u32s(1));
            if kind == 3 {
                file.extend(u16s(value as u16));
                file.extend([0, 0]);
            } else {
                file.extend(u32s(value));
            }
        }
        let next = if index + 1 < pages.len() { strip + page.len() as u32 } else { 0 };
        file.extend(u32s(next));
        file.extend(page);
    }
    file
}

/// Grey pixels as PNG.
pub(crate) fn png(size: [u32; 2], depth: png::BitDepth, bytes: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size[0], size[1]);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(depth);
    encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    file
}

/// One valid file of each format, and of each way to store it: the name of what is opened, and what is in the file that
/// may be damaged. A detached header's voxels are in `voxels.raw`, which is there, too.
pub(crate) fn samples(folder: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let (le, be) = (little(&values()), big(&values()));
    fs::write(folder.join("voxels.raw"), &be).unwrap();
    let geometry =
        "space: left-posterior-superior\nspace directions: (2,0,0) (0,2,0) (0,0,3)\nspace origin: (1,2,3)\n";
    let raw = nrrd(&format!("{geometry}endian: little\nencoding: raw"));
    let text = nrrd("spacings: 1 1 2\nkinds: domain domain domain\nencoding: text");
    let numbers: String = values().iter().map(|v| format!("{v} ")).collect();
    let apart = nrrd("endian: big\nencoding: raw\nbyte skip: -1\ndata file: voxels.raw");
    let meta =
        metaimage("ElementByteOrderMSB = True\nOffset = 1 2 3\nTransformMatrix = 1 0 0 0 1 0 0 0 1", "LOCAL");
    let packed = metaimage("CompressedData = True\nElementSpacing = 1 1 2", "LOCAL");
    let meta_apart = metaimage("ElementByteOrderMSB = True\nHeaderSize = -1", "voxels.raw");
    let array = npy("<i2", false, "(2, 3, 4)", &le);
    let deflated = {
        let mut file = std::io::Cursor::new(Vec::new());
        let encoder = tiff::encoder::TiffEncoder::new(&mut file).unwrap();
        let mut encoder = encoder.with_compression(tiff::encoder::Compression::Lzw);
        encoder.write_image::<tiff::encoder::colortype::GrayI16>(4, 6, &values()).unwrap();
        file.into_inner()
    };
    let page = |half: usize| le[24 * half..24 * (half + 1)].to_vec();
    let nifti = folder.join("made.nii");
    volumes::nifti::write(&nifti, &volumes::nifti::NiftiHeader::new(SHAPE, [1.0; 3]), &values()).unwrap();
    let nifti = fs::read(nifti).unwrap();
    vec![
        ("a.nii.gz", gzip(&nifti)),
        ("a.nii", nifti),
        ("a.nrrd", [raw.as_bytes(), &le].concat()),
        ("zipped.nrrd", [nrrd("endian: big\nencoding: gzip").as_bytes(), &gzip(&be)].concat()),
        ("text.nrrd", [text.as_bytes(), numbers.as_bytes()].concat()),
        ("a.nhdr", apart.into_bytes()),
        ("a.mha", [meta.as_bytes(), &be].concat()),
        ("packed.mha", [packed.as_bytes(), &zlib(&le)].concat()),
        ("a.mhd", meta_apart.into_bytes()),
        ("a.npz", zip(&[("data.npy", &array), ("other.npy", &array)], true)),
        ("stored.npz", zip(&[("volume.npy", &array)], false)),
        ("a.npy", array),
        ("a.tif", tiff(false, [4, 3], 16, 2, &[page(0), page(1)])),
        ("lzw.tif", deflated),
        ("a.png", png([4, 6], png::BitDepth::Sixteen, &be)),
    ]
}

/// A little-endian TIFF file of one page: the voxels from byte 8 on, then the tags, each of whole numbers of 4 bytes, and
/// a description.
pub(crate) fn directory(tags: &[(u16, Vec<u32>)], description: &str, voxels: &[u8]) -> Vec<u8> {
    let mut tags: Vec<(u16, u16, u32, Vec<u8>)> = tags
        .iter()
        .map(|(tag, values)| {
            (*tag, 4, values.len() as u32, values.iter().flat_map(|v| v.to_le_bytes()).collect())
        })
        .collect();
    if !description.is_empty() {
        let text = [description.as_bytes(), &[0]].concat();
        tags.push((270, 2, text.len() as u32, text));
    }
    tags.sort_by_key(|(tag, ..)| *tag);
    let at = 8 + voxels.len();
    let mut lists = at + 2 + 12 * tags.len() + 4;
    let mut file = [b"II\x2a\0", (at as u32).to_le_bytes().as_slice(), voxels].concat();
    file.extend((tags.len() as u16).to_le_bytes());
    let mut behind = Vec::new();
    for (tag, kind, count, mut bytes) in tags {
        file.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        file.extend(count.to_le_bytes());
        if bytes.len() <= 4 {
            bytes.resize(4, 0);
            file.extend(bytes);
        } else {
            file.extend((lists as u32).to_le_bytes());
            lists += bytes.len();
            behind.extend(bytes);
        }
    }
    file.extend([0; 4]);
    file.extend(behind);
    file
}
