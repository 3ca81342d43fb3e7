//! The order of pages in OME-TIFF.

use std::fs;

use volumes::{Volume, read_header};

use super::tiff_spacing::stack;

fn ome(order: &str, [slices, channels, times]: [usize; 3], tiff_data: &str) -> String {
    format!(
        r#"<OME><Image><Pixels DimensionOrder="{order}" SizeX="2" SizeY="2" SizeZ="{slices}" SizeC="{channels}" SizeT="{times}"><Channel Name="a > b"/>{tiff_data}</Pixels></Image></OME>"#
    )
}

/// The numbers of the pages, in the order in which the volume has them.
fn pages(volume: &Volume) -> Vec<f32> {
    volume.data.iter().copied().step_by(4).collect()
}

#[test]
fn pages_are_slices_and_channels_in_the_order_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ome.tif");
    for (order, want) in [
        ("XYZCT", [0., 1., 2., 3., 4., 5.]),
        ("XYZTC", [0., 1., 2., 3., 4., 5.]),
        ("XYTZC", [0., 1., 2., 3., 4., 5.]),
        ("XYCZT", [0., 2., 4., 1., 3., 5.]),
        ("XYCTZ", [0., 2., 4., 1., 3., 5.]),
        ("XYTCZ", [0., 2., 4., 1., 3., 5.]),
    ] {
        stack(&path, ome(order, [3, 2, 1], r#"<TiffData IFD="0" PlaneCount="6"/>"#).as_bytes(), 6, None, 1);
        let volume = Volume::read(&path).unwrap();
        assert_eq!(
            (volume.header.shape.as_slice(), pages(&volume).as_slice()),
            ([2, 2, 3, 2].as_slice(), want.as_slice()),
            "{order}"
        );
    }
    // Where one of them is 1, the order is of no matter.
    for (sizes, shape) in [([6, 1, 1], vec![2, 2, 6]), ([1, 6, 1], vec![2, 2, 1, 6])] {
        stack(&path, ome("", sizes, "").as_bytes(), 6, None, 1);
        let volume = Volume::read(&path).unwrap();
        assert_eq!((volume.header.shape.clone(), pages(&volume)), (shape, vec![0., 1., 2., 3., 4., 5.]));
    }
}

#[test]
fn pages_that_are_not_one_volume_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ome.tif");
    let other = r#"<OME><BinaryOnly MetadataFile="set.companion.ome" UUID="x"/></OME>"#.to_owned();
    let two = ome("XYZCT", [2, 1, 1], "").replace("</OME>", r#"<Image><Pixels SizeZ="2"/></Image></OME>"#);
    for (description, parts) in [
        (ome("XYZCT", [2, 1, 2], ""), ["SizeT=2", "each time as a file"]),
        (ome("XYZCT", [2, 3, 1], ""), ["SizeZ=2 x SizeC=3 planes, but it has 4 page(s)", "save it as one"]),
        (ome("XYZCT", [usize::MAX, 3, 1], ""), ["SizeC=3 planes, but it has 4 page(s)", "save it as one"]),
        (two, ["in the first of 2 images", "save it as one"]),
        (other, ["set.companion.ome", "save it as one"]),
        (ome("XYT", [2, 2, 1], ""), ["\"DimensionOrder\" is \"XYT\"", "XYZCT"]),
        (ome("XYZCT", [0, 4, 1], ""), ["\"SizeZ\" is \"0\"", "export it"]),
        (ome("XYZCT", [4, 1, 1], "").replace("SizeT=\"1\"", ""), ["\"SizeT\" is \"\"", "export it"]),
        (
            ome("XYZCT", [2, 2, 1], r#"<TiffData IFD="1" FirstC="1"/>"#),
            ["TiffData IFD=\\\"1\\\" FirstC", "planes in order"],
        ),
    ] {
        stack(&path, description.as_bytes(), 4, None, 1);
        let message = read_header(&path).unwrap_err().to_string();
        assert!(
            message.contains("a.ome.tif") && parts.iter().all(|part| message.contains(part)),
            "{message}\nlacks one of {parts:?}"
        );
    }
    // Each plane named, and in order.
    let each = [(0, 0), (1, 0), (0, 1), (1, 1)];
    let each = each.iter().enumerate().map(|(page, (z, c))| {
        format!(r#"<TiffData FirstC="{c}" FirstT="0" FirstZ="{z}" IFD="{page}" PlaneCount="1"><UUID FileName="a.ome.tif">x</UUID></TiffData>"#)
    });
    stack(&path, ome("XYZCT", [2, 2, 1], &each.collect::<String>()).as_bytes(), 4, None, 1);
    assert_eq!(read_header(&path).unwrap().shape, [2, 2, 2, 2]);
}

/// Whatever is cut from a description, or put into it, the file is read or refused.
#[test]
fn a_damaged_description_is_no_danger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let whole = ome("XYCZT", [2, 2, 1], "<![CDATA[<Pixels]]><!-- > --><TiffData/>");
    let whole = whole.replace("SizeX", "PhysicalSizeX=\"1\" PhysicalSizeXUnit=\"µm\" SizeX");
    for at in 0..whole.len() {
        let mut bytes = whole.clone().into_bytes();
        bytes.truncate(at);
        stack(&path, &bytes, 4, None, 1);
        let _ = read_header(&path);
        for byte in [b'<', b'>', b'"', b'=', b'/', 0xb5] {
            let mut bytes = whole.clone().into_bytes();
            bytes[at] = byte;
            stack(&path, &bytes, 4, None, 1);
            let _ = read_header(&path);
        }
    }
    fs::remove_file(path).unwrap();
}
