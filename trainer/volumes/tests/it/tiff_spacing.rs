//! Voxel sizes of TIFF stacks: nnU-Net's text beside them, OME-XML, and ImageJ's description.

use std::fs;
use std::path::Path;

use ::tiff::encoder::{Rational, TiffEncoder, colortype};
use ::tiff::tags::Tag;
use volumes::{Volume, read_header};

/// A stack of pages of 2 x 2 pixels; `resolution` is that along x and y, and its unit.
pub(crate) fn stack(
    path: &Path,
    description: &[u8],
    pages: u8,
    resolution: Option<[(u32, u32); 2]>,
    unit: u16,
) {
    let mut encoder = TiffEncoder::new(fs::File::create(path).unwrap()).unwrap();
    for page in 0..pages {
        let mut image = encoder.new_image::<colortype::Gray8>(2, 2).unwrap();
        let tags = image.encoder();
        if page == 0 {
            tags.write_tag(Tag::ImageDescription, description).unwrap();
            if let Some(resolution) = resolution {
                let [x, y] = resolution.map(|(n, d)| Rational { n, d });
                tags.write_tag(Tag::XResolution, x).unwrap();
                tags.write_tag(Tag::YResolution, y).unwrap();
                tags.write_tag(Tag::ResolutionUnit, unit).unwrap();
            }
        }
        image.write_data(&[page; 4]).unwrap();
    }
}

#[track_caller]
fn near(found: [f64; 3], want: [f64; 3]) {
    let close = (0..3).all(|axis| (found[axis] - want[axis]).abs() <= 1e-12 * want[axis]);
    assert!(close, "{found:?}, not {want:?}");
}

#[track_caller]
fn refused(path: &Path, parts: &[&str]) {
    let message = read_header(path).unwrap_err().to_string();
    assert!(parts.iter().all(|part| message.contains(part)), "{message}\nlacks one of {parts:?}");
}

fn ome(attributes: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><!-- <Pixels SizeZ="9"/> --><ome:OME xmlns:ome="x"><ome:Image><ome:Pixels DimensionOrder="XYZCT" SizeX="2" SizeY="2" SizeZ="3" SizeC="1" SizeT="1" {attributes}><ome:TiffData/></ome:Pixels></ome:Image></ome:OME>"#
    )
}

#[test]
fn the_text_beside_a_stack_goes_before_what_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let own = ome(r#"PhysicalSizeX="1" PhysicalSizeY="2" PhysicalSizeZ="3""#);
    for name in ["c1_0000.tif", "c1_0001.TIFF", "c1.tif", "c2_0000.tif"] {
        stack(&at(name), own.as_bytes(), 3, None, 1);
    }
    fs::write(at("c1.json"), r#" {"unit": "mm", "spacing": [4, 0.5, 0.25]}"#).unwrap();
    fs::write(at("c2.json"), r#"{"PixelSize": [1, 2], "PixelSizeUnits": "um"}"#).unwrap();
    for name in ["c1_0000.tif", "c1_0001.TIFF", "c1.tif"] {
        let header = read_header(at(name)).unwrap();
        // Slices come first in the text, and last in a header.
        assert_eq!((header.spacing, header.spacing_known), ([0.25, 0.5, 4.0], true), "{name}");
        assert_eq!([0, 1, 2].map(|axis| header.affine[axis][axis]), header.spacing);
        assert_eq!(Volume::read(at(name)).unwrap().header, header);
    }
    near(read_header(at("c2_0000.tif")).unwrap().spacing, [1e-3, 2e-3, 3e-3]);
    fs::remove_file(at("c1.json")).unwrap();
    near(read_header(at("c1.tif")).unwrap().spacing, [1e-3, 2e-3, 3e-3]);
}

#[test]
fn a_text_that_names_no_sizes_is_refused_by_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let (path, beside) = (folder.path().join("c1_0000.tif"), folder.path().join("c1.json"));
    stack(&path, b"", 3, None, 1);
    for (text, part) in [
        (r#"{"spacing": [1, 1]}"#, "invalid length 2"),
        (r#"{"spacing": [1, 1, 1, 1]}"#, "three numbers"),
        (r#"{"spacing": ["1", "1", "1"]}"#, "three numbers"),
        (r#"{"spacing": 1}"#, "three numbers"),
        (r#"{"spacing": [1, 0, 1]}"#, "[1.0, 0.0, 1.0], but 0 is no size"),
        (r#"{"spacing": [1, -2, 1]}"#, "-2 is no size"),
        (r#"{"spacing": [1, 1e-300, 1]}"#, "is no size"),
        (r#"{"spacing": [1e30, 1, 1]}"#, "is no size"),
        (r#"{"spacing": [NaN, 1, 1]}"#, "three numbers"),
        (r#"[[1, 1, 1]]"#, "no JSON object"),
        ("", "no JSON object"),
    ] {
        fs::write(&beside, text).unwrap();
        refused(&path, &["c1.json", "\"spacing\"", "[z, y, x]", part]);
    }
    fs::write(&beside, [0xff, 0xfe]).unwrap();
    refused(&path, &["c1.json", "UTF-8"]);
    // Longer than any text: a file of zeros that takes no room.
    fs::File::create(&beside).unwrap().set_len(1 << 30).unwrap();
    refused(&path, &["c1.json", "1073741824 bytes"]);
    fs::remove_file(&beside).unwrap();
    fs::create_dir(&beside).unwrap();
    assert!(!read_header(&path).unwrap().spacing_known);
}

#[test]
fn sizes_of_imagej_are_by_its_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let resolution = Some([(5_000_000, 1_000_000), (4, 1)]);
    let spacing = |lines: &[u8], pages: u8, resolution, unit| {
        let description =
            [format!("ImageJ=1.54f\nimages={pages}\nslices={pages}\n").as_bytes(), lines].concat();
        stack(&path, &description, pages, resolution, unit);
        let header = read_header(&path).unwrap();
        header.spacing_known.then_some(header.spacing)
    };
    for (unit, mm) in [
        ("unit=mm\n", 1.0),
        ("unit=micron\n", 1e-3),
        ("unit=um\n", 1e-3),
        ("unit=µm\n", 1e-3),
        ("unit=\\u00B5m\n", 1e-3),
        ("unit=nm\n", 1e-6),
        ("unit=cm\n", 10.0),
        ("unit=inch\n", 25.4),
    ] {
        let lines = format!("spacing=-3.0\n{unit}");
        near(spacing(lines.as_bytes(), 3, resolution, 1).unwrap(), [0.2, 0.25, 3.0].map(|size| size * mm));
        // ImageJ leaves a thickness of 1 unit out.
        near(spacing(unit.as_bytes(), 3, resolution, 1).unwrap(), [0.2, 0.25, 1.0].map(|size| size * mm));
        near(spacing(unit.as_bytes(), 1, resolution, 1).unwrap(), [0.2, 0.25, 0.25].map(|size| size * mm));
        near(spacing(lines.as_bytes(), 3, None, 1).unwrap(), [1.0, 1.0, 3.0].map(|size| size * mm));
        // The encoder writes a resolution of one pixel a unit where it is given none.
        near(spacing(unit.as_bytes(), 3, None, 1).unwrap(), [mm; 3]);
    }
    stack(&path, b"ImageJ=1.54f\nimages=3\nslices=3\nspacing=3\nunit=pixel\n", 3, resolution, 1);
    let notes = read_header(&path).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("\"pixel\", which is no unit of length")), "{notes:?}");
    // µ in Latin-1, and a unit of its own for slices.
    near(spacing(b"spacing=3\nunit=\xb5m\n", 3, resolution, 1).unwrap(), [2e-4, 2.5e-4, 3e-3]);
    near(spacing(b"spacing=3\nunit=mm\nzunit=cm\n", 3, resolution, 1).unwrap(), [0.2, 0.25, 30.0]);
    // Without a unit of length the ratios are right; a resolution of print alone is none of voxels.
    near(spacing(b"spacing=3\nunit=pixel\n", 3, resolution, 1).unwrap(), [0.2, 0.25, 3.0]);
    near(spacing(b"spacing=3\n", 3, None, 1).unwrap(), [1.0, 1.0, 3.0]);
    near(spacing(b"spacing=3\n", 3, Some([(72, 1), (72, 1)]), 2).unwrap(), [1.0, 1.0, 3.0]);
    assert_eq!(spacing(b"unit=pixel\n", 3, resolution, 1), None);
    assert_eq!(spacing(b"", 3, Some([(72, 1), (72, 1)]), 2), None);
    // What is 0 or infinite is as good as missing.
    near(spacing(b"spacing=3\nunit=mm\n", 3, Some([(0, 1), (1, 0)]), 1).unwrap(), [1.0, 1.0, 3.0]);
}

#[test]
fn a_resolution_without_a_description_is_one_of_print() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    stack(&path, b"", 3, Some([(300, 1), (300, 1)]), 2);
    let header = read_header(&path).unwrap();
    assert_eq!((header.spacing, header.spacing_known), ([1.0; 3], false));
}

#[test]
fn sizes_of_imagej_that_cannot_be_are_refused_by_their_field() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    for (lines, resolution, parts) in [
        ("spacing=wide\nunit=mm\n", (1, 1), ["\"spacing\" is \"wide\"", "beside it"]),
        ("spacing=0\nunit=mm\n", (1, 1), ["\"spacing\" is \"0\"", "beside it"]),
        ("spacing=NaN\n", (1, 1), ["\"spacing\" is \"NaN\"", "beside it"]),
        ("spacing=1e300\nunit=mm\n", (1, 1), ["\"spacing\"", "1e300 mm"]),
        ("spacing=1\nunit=nm\n", (u32::MAX, 1), ["\"XResolution\"", "beside it"]),
    ] {
        let description = format!("ImageJ=1.54f\nimages=3\nslices=3\n{lines}");
        stack(&path, description.as_bytes(), 3, Some([resolution; 2]), 1);
        refused(&path, &["a.tif", parts[0], parts[1]]);
    }
    // What is beside the file helps.
    fs::write(folder.path().join("a.json"), r#"{"spacing": [3, 2, 1]}"#).unwrap();
    assert_eq!(read_header(&path).unwrap().spacing, [1.0, 2.0, 3.0]);
}

#[test]
fn sizes_of_ome_are_micrometres_unless_it_names_a_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ome.tif");
    let spacing = |attributes: &str| {
        // A resolution is there, too, and not looked at.
        stack(&path, ome(attributes).as_bytes(), 3, Some([(300, 1), (300, 1)]), 2);
        let header = read_header(&path).unwrap();
        header.spacing_known.then_some(header.spacing)
    };
    let sizes = r#"PhysicalSizeX="0.5" PhysicalSizeY = '0.25' PhysicalSizeZ="2""#;
    near(spacing(sizes).unwrap(), [5e-4, 2.5e-4, 2e-3]);
    for (unit, mm) in [("µm", 1e-3), ("&#181;m", 1e-3), ("nm", 1e-6), ("mm", 1.0), ("cm", 10.0), ("in", 25.4)]
    {
        let units = ["X", "Y", "Z"].map(|axis| format!(r#" PhysicalSize{axis}Unit="{unit}""#)).concat();
        near(spacing(&format!("{sizes}{units}")).unwrap(), [0.5, 0.25, 2.0].map(|size| size * mm));
    }
    near(spacing(&format!(r#"{sizes} PhysicalSizeZUnit="mm""#)).unwrap(), [5e-4, 2.5e-4, 2.0]);
    // Of pixels the ratios are right; of pixels and micrometres nothing is.
    let pixels = ["X", "Y", "Z"].map(|axis| format!(r#" PhysicalSize{axis}Unit="pixel""#)).concat();
    near(spacing(&format!("{sizes}{pixels}")).unwrap(), [0.5, 0.25, 2.0]);
    assert_eq!(spacing(&format!(r#"{sizes} PhysicalSizeZUnit="pixel""#)), None);
    // Nor where the slices' thickness is missing.
    assert_eq!(spacing(r#"PhysicalSizeX="0.5" PhysicalSizeY="0.5""#), None);
    assert_eq!(spacing(""), None);
    for (attributes, parts) in [
        (sizes.replace("\"2\"", "\"-2\""), ["\"PhysicalSizeZ\" is \"-2\"", "beside it"]),
        (sizes.replace("\"0.5\"", "\"0\""), ["\"PhysicalSizeX\" is \"0\"", "beside it"]),
        (sizes.replace("'0.25'", "'NaN'"), ["\"PhysicalSizeY\" is \"NaN\"", "beside it"]),
        (sizes.replace("'0.25'", "'thin'"), ["\"PhysicalSizeY\" is \"thin\"", "beside it"]),
        (sizes.replace("\"0.5\"", "\"1e200\""), ["\"PhysicalSizeX\"", "1e197 mm"]),
    ] {
        stack(&path, ome(&attributes).as_bytes(), 3, None, 1);
        refused(&path, &["a.ome.tif", parts[0], parts[1]]);
    }
}

#[test]
fn info_tells_the_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c1_0000.tif");
    stack(&path, b"", 3, None, 1);
    fs::write(folder.path().join("c1.json"), r#"{"spacing": [3.0, 0.5, 0.25]}"#).unwrap();
    let text = volumes::info::Info::read(&path).unwrap().to_string();
    assert!(text.contains("  spacing      0.25 x 0.5 x 3 mm\n"), "{text}");
}
