//! NRRD and MetaImage written by hand: where voxels lie, and which order they have.

use std::fs;

use volumes::{Affine, ByteOrder, Stored, Volume, VoxelType};

use crate::support::made::{big, gzip, little, metaimage, nrrd, put, values, zlib};

const LAST: [f64; 4] = [0.0, 0.0, 0.0, 1.0];

fn affine(rows: [[f64; 4]; 3]) -> Affine {
    [rows[0], rows[1], rows[2], LAST]
}

/// x = 2 mm to the left, y = 3 mm to the head, z = 4 mm to the back; LPS, then RAS.
const DIRECTIONS: &str = "(2,0,0) (0,0,3) (0, 4, 0)";

#[test]
fn each_space_is_turned_to_ras() {
    let folder = tempfile::tempdir().unwrap();
    for (space, sx, sy, code) in [
        ("left-posterior-superior", -1.0, -1.0, "LSP"),
        ("LPS", -1.0, -1.0, "LSP"),
        ("left-anterior-superior", -1.0, 1.0, "LSA"),
        ("right-anterior-superior", 1.0, 1.0, "RSA"),
        ("RAS", 1.0, 1.0, "RSA"),
    ] {
        let text = nrrd(&format!(
            "space: {space}\nspace directions: {DIRECTIONS}\nspace origin: (10,20,-30)\nendian: little\nencoding: raw"
        ));
        let stored = Stored::read(put(folder.path(), "a.nrrd", &text, &little(&values()))).unwrap();
        let header = &stored.header;
        let want = affine([
            [2.0 * sx, 0.0, 0.0, 10.0 * sx],
            [0.0, 0.0, 4.0 * sy, 20.0 * sy],
            [0.0, 3.0, 0.0, -30.0],
        ]);
        assert_eq!(header.affine, want, "{space}");
        assert_eq!((header.spacing, header.axcodes().as_str()), ([2.0, 3.0, 4.0], code));
        assert_eq!(header.origin(), [10.0 * sx, 20.0 * sy, -30.0]);
        assert_eq!(header.direction(), [[sx, 0.0, 0.0], [0.0, 0.0, sy], [0.0, 1.0, 0.0]]);
        assert_eq!(stored.stored::<i16>().unwrap(), values());
    }
}

#[test]
fn lengths_in_other_units_become_millimetres() {
    let folder = tempfile::tempdir().unwrap();
    let raw = "endian: little\nencoding: raw";
    let directions = "space: RAS\nspace directions: (2,0,0) (0,3,0) (0,0,4)\nspace origin: (10,20,-30)";
    for (units, [x, y, z]) in [
        (r#"space units: "mm" "mm" "mm""#, [1.0; 3]),
        (r#"space units: "m" "m" "m""#, [1e3; 3]),
        (r#"space units: "um" "µm" "microns""#, [1e-3; 3]),
        (r#"space units: "mm" "mm" "cm""#, [1.0, 1.0, 10.0]),
        (r#"space units: "" "" """#, [1.0; 3]),
    ] {
        let text = nrrd(&format!("{directions}\n{units}\n{raw}"));
        let header = Stored::read(put(folder.path(), "a.nrrd", &text, &little(&values()))).unwrap().header;
        let want = affine([
            [2.0 * x, 0.0, 0.0, 10.0 * x],
            [0.0, 3.0 * y, 0.0, 20.0 * y],
            [0.0, 0.0, 4.0 * z, -30.0 * z],
        ]);
        assert_eq!(header.affine, want, "{units}");
        assert_eq!(header.notes.len(), usize::from([x, y, z] != [1.0; 3]), "{units}: {:?}", header.notes);
        assert!(header.place_known);
        // A mask beside it is written in the image's own unit, as ITK reads none.
        let mask = folder.path().join("mask.nrrd");
        volumes::write(&mask, &header, &values()).unwrap();
        assert_eq!(Stored::read(&mask).unwrap().header.affine, header.affine, "{units}");
        let bytes = fs::read(&mask).unwrap();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
        let unit =
            header.unit.as_ref().map(|(unit, _)| format!("space units: \"{unit}\" \"{unit}\" \"{unit}\"\n"));
        assert!(unit.is_none_or(|line| text.contains(&line) && text.contains("(-2,0,0)")), "{text}");
    }
    // Without directions a unit stands for each axis of the file.
    let text = nrrd(&format!("spacings: 500 500 2\nunits: \"um\" \"um\" \"mm\"\n{raw}"));
    let header = Stored::read(put(folder.path(), "a.nrrd", &text, &little(&values()))).unwrap().header;
    assert_eq!((header.spacing, header.place_known), ([0.5, 0.5, 2.0], false));
    let text = metaimage(
        "Offset = 1 2 3\nElementSpacing = 500 500 2000\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nDistanceUnits = um",
        "LOCAL",
    );
    let header = Stored::read(put(folder.path(), "a.mha", &text, &little(&values()))).unwrap().header;
    assert_eq!((header.spacing, header.origin()), ([0.5, 0.5, 2.0], [-0.001, -0.002, 0.003]));
    assert!(header.notes[0].contains("um, and converted"), "{:?}", header.notes);
    let text = metaimage("TransformMatrix = 0 0 0 0 0 0 0 0 0", "LOCAL");
    let header = Stored::read(put(folder.path(), "a.mha", &text, &little(&values()))).unwrap().header;
    assert!(header.notes[0].contains("directions are all 0"), "{:?}", header.notes);
}

#[test]
fn axes_in_one_plane_are_refused_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for flat in ["(1,0,0) (0,1,0) (1,1,0)", "(1,0,0) (2,0,0) (0,0,1)", "(1,0,0) (1,0.0000001,0) (0,0,1)"] {
        let text = nrrd(&format!("space: RAS\nspace directions: {flat}\nendian: little\nencoding: raw"));
        let error =
            Stored::read(put(folder.path(), "a.nrrd", &text, &little(&values()))).unwrap_err().to_string();
        assert!(error.contains("space directions") && error.contains("in one plane"), "{error}");
        let matrix = flat.replace(['(', ')'], "").replace(',', " ");
        let text = metaimage(&format!("TransformMatrix = {matrix}"), "LOCAL");
        let error =
            Stored::read(put(folder.path(), "a.mha", &text, &little(&values()))).unwrap_err().to_string();
        assert!(error.contains("TransformMatrix") && error.contains("in one plane"), "{error}");
    }
}

#[test]
fn every_encoding_order_and_place_of_an_nrrd_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let f = folder.path();
    let (le, be) = (little(&values()), big(&values()));
    let numbers: String = values().iter().map(|v| format!("{v}\n")).collect();
    fs::write(f.join("be.raw"), &be).unwrap();
    fs::write(f.join("headed.raw"), [b"a line\nanother\nxyz", le.as_slice()].concat()).unwrap();
    fs::write(f.join("le.gz"), gzip(&le)).unwrap();
    fs::write(f.join("le.txt"), &numbers).unwrap();
    for (name, lines, bytes) in [
        ("raw.nrrd", "endian: little\nencoding: raw", le.clone()),
        ("big.nrrd", "endian: big\nencoding: raw\nkey:=value: of no meaning", be.clone()),
        ("gzip.nrrd", "endian: big\nencoding: gz", gzip(&be)),
        ("skip.nrrd", "endian: big\nencoding: gzip\nbyte skip: 3", gzip(&[b"xyz", be.as_slice()].concat())),
        ("text.nrrd", "encoding: ascii", numbers.clone().into_bytes()),
        ("a.nhdr", "endian: big\nencoding: raw\ndata file: be.raw", vec![]),
        (
            "b.nhdr",
            "endian: little\nencoding: raw\nline skip: 2\nbyteskip: 3\ndatafile: ./headed.raw",
            vec![],
        ),
        ("c.nhdr", "endian: little\nencoding: raw\nbyte skip: -1\ndata file: headed.raw", vec![]),
        ("d.nhdr", "endian: little\nencoding: gzip\ndata file: le.gz", vec![]),
        ("e.nhdr", "encoding: text\ndata file: le.txt", vec![]),
    ] {
        let text = nrrd(&format!("spacings: 0.5 1 nan\n{lines}"));
        let stored = Stored::read(put(f, name, &text, &bytes)).unwrap();
        assert_eq!(stored.stored::<i16>().unwrap(), values(), "{name}");
        // Without a space's name numbers are LPS, as ITK has it.
        let want = affine([[-0.5, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]);
        assert_eq!(stored.header.affine, want, "{name}");
    }
    // Lines that end as on Windows.
    let text = nrrd("endian: little\nencoding: raw").replace('\n', "\r\n");
    let stored = Stored::read(put(f, "crlf.nrrd", &text, &le)).unwrap();
    assert_eq!(stored.stored::<i16>().unwrap(), values());
}

#[test]
fn a_vector_axis_becomes_the_last() {
    let folder = tempfile::tempdir().unwrap();
    // Two channels of 3 x 2 voxels in two slices; the channels lie together.
    let bytes: Vec<u8> = (0..24).collect();
    let want: Vec<f32> =
        (0..24).map(|i| if i < 12 { 2.0 * i as f32 } else { 2.0 * (i - 12) as f32 + 1.0 }).collect();
    for lines in [
        "space: RAS\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\nkinds: vector domain domain domain",
        "kinds: 2-vector space space space\nspacings: nan 1 1 1",
    ] {
        let text = format!("NRRD0005\ntype: uchar\ndimension: 4\nsizes: 2 3 2 2\n{lines}\nencoding: raw\n\n");
        let volume = Volume::read(put(folder.path(), "v.nrrd", &text, &bytes)).unwrap();
        assert_eq!(volume.header.shape, [3, 2, 2, 2]);
        assert_eq!((volume.header.size(), volume.header.channels()), ([3, 2, 2], 2));
        assert_eq!(volume.data, want);
    }
    // MetaImage stores channels in the same way.
    let text = "ObjectType = Image\nNDims = 3\nDimSize = 3 2 2\nElementNumberOfChannels = 2\nElementType = MET_UCHAR_ARRAY\nElementDataFile = LOCAL\n";
    let volume = Volume::read(put(folder.path(), "v.mha", text, &bytes)).unwrap();
    assert_eq!((volume.header.shape, volume.data), (vec![3, 2, 2, 2], want));
    // Time behind z stays where it is.
    let text = "NRRD0005\ntype: uchar\ndimension: 4\nsizes: 3 2 2 2\nkinds: domain domain domain time\nencoding: raw\n\n";
    let volume = Volume::read(put(folder.path(), "t.nrrd", text, &bytes)).unwrap();
    assert_eq!(volume.header.shape, [3, 2, 2, 2]);
    assert_eq!(volume.data, (0..24).map(|i| i as f32).collect::<Vec<_>>());
}

#[test]
fn a_slice_in_space_gets_its_normal() {
    let folder = tempfile::tempdir().unwrap();
    let text = "NRRD0004\ntype: uint8\ndimension: 2\nspace: RAS\nsizes: 3 2\nspace directions: (0,2,0) (0,0,2)\nspace origin: (1,2,3)\nencoding: raw\n\n";
    let stored = Stored::read(put(folder.path(), "s.nrrd", text, &[1; 6])).unwrap();
    assert_eq!(stored.header.shape, [3, 2]);
    assert_eq!(
        stored.header.affine,
        affine([[0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 0.0, 2.0], [0.0, 2.0, 0.0, 3.0]])
    );
    assert_eq!(stored.header.axcodes(), "ASR");
}

#[test]
fn every_form_of_a_metaimage_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let f = folder.path();
    let (le, be) = (little(&values()), big(&values()));
    let numbers: String = values().iter().map(|v| format!("{v} ")).collect();
    fs::write(f.join("be.raw"), &be).unwrap();
    fs::write(f.join("headed.raw"), [b"xyz", le.as_slice()].concat()).unwrap();
    fs::write(f.join("le.zraw"), zlib(&le)).unwrap();
    // Row a of the matrix is the direction of axis a: x to the left, y to the feet, z to the front; in LPS.
    let geometry = "TransformMatrix = 1 0 0 0 0 -1 0 -1 0\nOffset = 10 20 -30\nElementSpacing = 2 3 4\nAnatomicalOrientation = RAI\n";
    let want = affine([[-2.0, 0.0, 0.0, -10.0], [0.0, 0.0, 4.0, -20.0], [0.0, -3.0, 0.0, -30.0]]);
    for (name, lines, data_file, bytes) in [
        ("a.mha", "BinaryData = True\nBinaryDataByteOrderMSB = False", "LOCAL", le.clone()),
        ("b.mha", "ElementByteOrderMSB = True", "LOCAL", be.clone()),
        ("c.mha", "CompressedData = True\nCompressedDataSize = 40", "LOCAL", zlib(&le)),
        ("d.mha", "CompressedData = True", "LOCAL", gzip(&le)),
        ("e.mha", "BinaryData = False", "LOCAL", numbers.into_bytes()),
        ("a.mhd", "BinaryDataByteOrderMSB = True", "be.raw", vec![]),
        ("b.mhd", "HeaderSize = 3", "headed.raw", vec![]),
        ("c.mhd", "HeaderSize = -1", "headed.raw", vec![]),
        ("d.mhd", "CompressedData = True", "le.zraw", vec![]),
    ] {
        let text = metaimage(&format!("{geometry}{lines}"), data_file);
        let stored = Stored::read(put(f, name, &text, &bytes)).unwrap();
        assert_eq!(stored.stored::<i16>().unwrap(), values(), "{name}");
        assert_eq!(stored.header.affine, want, "{name}");
        assert_eq!(
            (stored.header.spacing, stored.header.axcodes().as_str()),
            ([2.0, 3.0, 4.0], "LIA"),
            "{name}"
        );
    }
}

#[test]
fn every_type_of_a_metaimage_has_its_size() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind, bytes) in [
        ("MET_CHAR", VoxelType::I8, vec![0xff]),
        ("MET_UCHAR", VoxelType::U8, vec![0xff]),
        ("MET_SHORT", VoxelType::I16, vec![0xfe, 0xff]),
        ("MET_USHORT", VoxelType::U16, vec![1, 2]),
        ("MET_INT", VoxelType::I32, vec![1, 0, 0, 0]),
        ("MET_LONG", VoxelType::I32, vec![1, 0, 0, 0]),
        ("MET_UINT", VoxelType::U32, vec![1, 0, 0, 0]),
        ("MET_LONG_LONG", VoxelType::I64, vec![1, 0, 0, 0, 0, 0, 0, 0]),
        ("MET_ULONG_LONG", VoxelType::U64, vec![1, 0, 0, 0, 0, 0, 0, 0]),
        ("MET_FLOAT", VoxelType::F32, 1.5f32.to_le_bytes().to_vec()),
        ("MET_DOUBLE", VoxelType::F64, 1.5f64.to_le_bytes().to_vec()),
    ] {
        let text = format!("NDims = 2\nDimSize = 1 1\nElementType = {name}\nElementDataFile = LOCAL\n");
        let stored = Stored::read(put(folder.path(), "a.mha", &text, &bytes)).unwrap();
        assert_eq!((stored.header.voxel_type, stored.header.byte_order), (kind, ByteOrder::Little), "{name}");
    }
}
