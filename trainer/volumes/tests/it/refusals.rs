//! Each refusal names the file, the field, its value and the remedy.

use std::fs;
use std::path::Path;

use volumes::{Stored, Volume};

use crate::support::made::{little, metaimage, npy, nrrd, png, put, samples, tiff, values, zip};

fn message(path: &Path) -> String {
    let message = Volume::read(path).unwrap_err().to_string();
    let name = path.file_name().unwrap().to_string_lossy();
    assert!(message.contains(&*name) || message.contains("voxels.raw"), "{message}");
    message
}

#[track_caller]
fn refused(path: &Path, parts: &[&str]) {
    let text = message(path);
    assert!(parts.iter().all(|part| text.contains(part)), "{text}\nlacks one of {parts:?}");
}

#[test]
fn an_nrrd_field_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = nrrd(
        "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nendian: little\nencoding: raw",
    );
    for (from, to, parts) in [
        ("NRRD0004", "NRRX0004", ["NRRD000", "export"]),
        ("type: short", "type: block", ["\"type\" is \"block\"", "save it"]),
        ("type: short\n", "", ["lacks the field \"type\"", "export"]),
        ("dimension: 3", "dimension: 17", ["\"dimension\" is \"17\"", "1 to 16"]),
        ("dimension: 3", "dimension: 4", ["\"sizes\" is \"4 3 2\"", "4 number(s)"]),
        ("sizes: 4 3 2", "sizes: 4 0 2", ["\"sizes\" is \"4 0 2\"", "at least 1"]),
        ("sizes: 4 3 2", "sizes: 4 -3 2", ["\"sizes\" is \"4 -3 2\"", "export"]),
        ("sizes: 4 3 2", "sizes: 4294967296 4294967296 2", ["\"sizes\"", "more than memory"]),
        ("sizes: 4 3 2", "sizes: 40000 30000 2", ["is too short: shape [40000, 30000, 2]", "copy or export"]),
        ("endian: little\n", "", ["\"endian\"", "add endian: little"]),
        ("endian: little", "endian: middle", ["\"endian\" is \"middle\"", "little or big"]),
        ("encoding: raw", "encoding: bzip2", ["\"encoding\" is \"bzip2\"", "gzip"]),
        ("space: LPS", "space: nowhere", ["\"space\" is \"nowhere\"", "left-posterior-superior"]),
        ("(0,1,0)", "(0,1)", ["\"space directions\"", "correct it"]),
        ("(0,1,0)", "(0,nan,0)", ["\"space directions\"", "finite"]),
        ("(0,1,0)", "(0,0,0)", ["\"space directions\"", "0 mm long"]),
        ("(0,1,0) (0,0,1)", "(0,1,0", ["\"space directions\"", "correct it"]),
        ("origin: (0,0,0)", "origin: 0 0 0", ["\"space origin\" is \"0 0 0\"", "(0,0,0)"]),
        ("encoding: raw", "encoding: raw\nbyte skip: -2", ["\"byte skip\" is \"-2\"", "correct"]),
        ("encoding: raw", "encoding: raw\nbyte skip: 10000", ["too short", "10000"]),
        ("encoding: raw", "encoding: raw\nline skip: 99999999999", ["\"line skip\"", "fewer lines"]),
        ("encoding: raw", "encoding: gzip", ["gzip stream is cut or damaged", "export"]),
        ("encoding: raw", "encoding: text", ["number 0 of the voxels", "int16"]),
        ("encoding: raw", "encoding: raw\ndata file: LIST", ["\"data file\" is \"LIST\"", "join them"]),
        ("encoding: raw", "encoding: raw\ndata file: missing.raw", ["missing.raw", "No such file"]),
        ("encoding: raw", "encoding: raw\ndata file: .", ["is not a file", "name a file"]),
        (
            "encoding: raw",
            "encoding: raw\ndata file: /etc/passwd",
            ["\"data file\" is \"/etc/passwd\"", "folder"],
        ),
        (
            "encoding: raw",
            "encoding: raw\ndata file: in/../../a",
            ["\"data file\" is \"in/../../a\"", "folder"],
        ),
    ] {
        assert!(good.contains(from), "{from}");
        let path = put(folder.path(), "a.nrrd", &good.replacen(from, to, 1), &little(&values()));
        let text = Stored::read(&path).unwrap_err().to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{to}: {text}");
    }
    refused(
        &put(folder.path(), "a.nrrd", &good, &little(&values()[1..])),
        &["takes 48 bytes, the file has 46"],
    );
    refused(&put(folder.path(), "a.nrrd", &good, &[]), &["ends behind its header", "data file"]);
    let text = nrrd("kinds: complex domain domain\nendian: little\nencoding: raw");
    refused(&put(folder.path(), "c.nrrd", &text, &little(&values())), &["\"kinds\"", "magnitude"]);
}

#[test]
fn a_metaimage_field_that_cannot_be_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = metaimage(
        "Offset = 0 0 0\nElementSpacing = 1 1 1\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nCompressedData = False",
        "LOCAL",
    );
    for (from, to, parts) in [
        ("ObjectType = Image", "ObjectType = Mesh", ["\"ObjectType\" is \"Mesh\"", "export"]),
        ("NDims = 3", "NDims = 0", ["\"NDims\" is \"0\"", "1 to 7"]),
        ("NDims = 3", "NDims = 4", ["\"DimSize\" is \"4 3 2\"", "4 number(s)"]),
        ("DimSize = 4 3 2", "DimSize = 4 3 -2", ["\"DimSize\" is \"4 3 -2\"", "export"]),
        ("DimSize = 4 3 2", "DimSize = 4000 3000 2000", ["is too short", "copy or export"]),
        ("MET_SHORT", "MET_STRING", ["\"ElementType\" is \"MET_STRING\"", "save it"]),
        ("Offset = 0 0 0", "Offset = 0 0 inf", ["\"Offset\" is \"0 0 inf\"", "finite"]),
        ("ElementSpacing = 1 1 1", "ElementSpacing = 1 0 1", ["\"ElementSpacing\"", "must not be 0"]),
        ("1 0 0 0 1 0", "1 0 0 0 0 0", ["\"TransformMatrix\"", "along y is 0 mm long"]),
        ("CompressedData = False", "CompressedData = x", ["\"CompressedData\" is \"x\"", "True or False"]),
        ("LOCAL", "/etc/passwd", ["\"ElementDataFile\" is \"/etc/passwd\"", "folder"]),
        ("CompressedData = False", "CompressedData = True", ["cut or damaged", "export"]),
        (
            "CompressedData = False",
            "ElementNumberOfChannels = 0",
            ["\"ElementNumberOfChannels\" is \"0\"", "at least 1"],
        ),
        ("CompressedData = False", "HeaderSize = -7", ["\"HeaderSize\" is \"-7\"", "correct"]),
        ("LOCAL", "slice%03d.raw 1 2 1", ["\"ElementDataFile\"", "join them"]),
        ("ElementDataFile = LOCAL\n", "", ["lacks the field \"ElementDataFile\"", "export"]),
    ] {
        assert!(good.contains(from), "{from}");
        let path = put(folder.path(), "a.mha", &good.replacen(from, to, 1), &little(&values()));
        let text = message(&path);
        assert!(parts.iter().all(|part| text.contains(part)), "{to}: {text}");
    }
    refused(&put(folder.path(), "b.mha", "no header", &[]), &["is not a MetaImage", "ObjectType"]);
}

#[test]
fn an_array_that_cannot_be_a_volume_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let le = little(&values());
    for (bytes, parts) in [
        (npy("<f2", false, "(2, 3, 4)", &le), ["\"descr\" '<f2'", "astype"]),
        (npy("<c8", false, "(2, 3, 4)", &le), ["\"descr\" '<c8'", "astype"]),
        (npy("<i2", false, "(24,)", &le), ["\"shape\" [24]", "reshape"]),
        (npy("<i2", false, "(1, 1, 2, 3, 4)", &le), ["\"shape\"", "reshape"]),
        (npy("<i2", false, "(2, 0, 4)", &le), ["\"shape\"", "at least 1"]),
        (npy("<i2", false, "(2, x, 4)", &le), ["\"shape\"", "numpy.save"]),
        (npy("<i2", false, "(9999999999, 9999999999, 4)", &le), ["\"shape\"", "more than memory"]),
        (npy("<i2", false, "(2, 3, 5)", &le), ["is too short", "copy or export"]),
        (b"\x93NUMPY\x01\x00".to_vec(), ["ends inside the header", "copy"]),
        (b"\x93NUMPY\x09\x00\x00\x00\x00".to_vec(), ["version 9", "numpy.save"]),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), ["4294967295 bytes", "numpy.save"]),
        (b"an array of numbers".to_vec(), ["magic", "numpy.save"]),
    ] {
        fs::write(&path, bytes).unwrap();
        refused(&path, &parts);
    }
    let path = folder.path().join("a.npz");
    let array = npy("<i2", false, "(2, 3, 4)", &le);
    fs::write(&path, zip(&[("x.npy", &array), ("y.npy", &array)], true)).unwrap();
    refused(
        &path,
        &["2 arrays (x, y), of which it is not clear which is the image", "save the image by itself"],
    );
    fs::write(&path, zip(&[("x.txt", b"x")], true)).unwrap();
    refused(&path, &["holds no array", "savez"]);
    let mut damaged = zip(&[("x.npy", &array)], false);
    let at = damaged.windows(2).position(|w| w == little(&values()[..1])).unwrap();
    damaged[at] ^= 1;
    fs::write(&path, damaged).unwrap();
    refused(&path, &["x.npy is damaged", "checksum"]);
    let mut damaged = zip(&[("x.npy", &array)], true);
    // A block of a kind that deflate does not have, right behind the local header.
    damaged[30 + "x.npy".len()] = 0xff;
    fs::write(&path, damaged).unwrap();
    refused(&path, &["x.npy is damaged", "copy or save"]);
}

#[test]
fn pages_and_slices_that_differ_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let mut two = tiff(false, [2, 1], 8, 1, &[vec![1, 2], vec![3, 4]]);
    // The second page's width.
    let second = two.windows(4).rposition(|w| w == [0, 1, 4, 0]).unwrap();
    two[second + 8] = 1;
    fs::write(&path, two).unwrap();
    refused(&path, &["page 1 is 1 x 1 uint8", "the first is 2 x 1 uint8"]);
    fs::write(&path, tiff(false, [60000, 60000], 8, 1, &[vec![1, 2]])).unwrap();
    refused(&path, &["60000 x 60000", "copy or export"]);
    fs::write(&path, tiff(false, [1, 1], 24, 3, &[vec![1, 2, 3]])).unwrap();
    refused(&path, &["24 bits", "sample format 3", "save it"]);

    let slices = folder.path().join("slices");
    fs::create_dir(&slices).unwrap();
    refused(&slices, &["holds no PNG slices", "name a volume"]);
    fs::write(slices.join("1.png"), png([2, 1], ::png::BitDepth::Eight, &[1, 2])).unwrap();
    fs::write(slices.join("2.png"), png([1, 2], ::png::BitDepth::Eight, &[1, 2])).unwrap();
    let text = Volume::read(&slices).unwrap_err().to_string();
    assert!(text.contains("2.png: has 1 x 2 pixels") && text.contains("1.png has 2 x 1"), "{text}");
    let mut colour = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut colour, 1, 1);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[1, 2, 3]).unwrap();
    let path = folder.path().join("c.png");
    fs::write(&path, colour).unwrap();
    refused(&path, &["colours (Rgb)", "save it as 8 or 16 bit grey"]);
}

#[test]
fn an_empty_file_a_missing_one_and_a_strange_ending_are_refused_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in samples(folder.path()) {
        let path = folder.path().join(name);
        refused(&path, &["No such file"]);
        fs::write(&path, []).unwrap();
        refused(&path, &["is empty (0 bytes)", "copy or export"]);
    }
    let path = folder.path().join("a.jpg");
    fs::write(&path, [0; 10]).unwrap();
    refused(&path, &["no ending of a volume", ".nii.gz"]);
}
