//! NumPy arrays, TIFF stacks and PNG slices written by hand.

use std::fs;

use volumes::{ByteOrder, Format, Stored, Volume, VoxelType};

use crate::support::made::{big, little, npy, png, tiff, values, zip};

#[test]
fn arrays_in_c_and_fortran_order_are_the_same_volume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    // The value of voxel (z, y, x) in Fortran's order: z fastest.
    let turned: Vec<i16> = (0..24).map(|i| values()[i % 2 * 12 + i / 2 % 3 * 4 + i / 6]).collect();
    for (descr, fortran, bytes, order) in [
        ("<i2", false, little(&values()), ByteOrder::Little),
        (">i2", false, big(&values()), ByteOrder::Big),
        ("<i2", true, little(&turned), ByteOrder::Little),
        (">i2", true, big(&turned), ByteOrder::Big),
    ] {
        fs::write(&path, npy(descr, fortran, "(2, 3, 4)", &bytes)).unwrap();
        let stored = Stored::read(&path).unwrap();
        assert_eq!(stored.stored::<i16>().unwrap(), values(), "{descr} {fortran}");
        assert_eq!((stored.header.shape.as_slice(), stored.header.byte_order), ([4, 3, 2].as_slice(), order));
        assert_eq!(stored.header.axcodes(), "RAS");
    }
    // Channels come first and are the slowest.
    fs::write(&path, npy("|b1", false, "(2, 1, 1, 2)", &[1, 0, 0, 1])).unwrap();
    let volume = Volume::read(&path).unwrap();
    assert_eq!((volume.header.shape.as_slice(), volume.header.channels()), ([2, 1, 1, 2].as_slice(), 2));
    assert_eq!(volume.data, [1.0, 0.0, 0.0, 1.0]);
}

#[test]
fn an_archive_gives_its_only_or_its_preferred_array() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    let array = npy("<i2", false, "(2, 3, 4)", &little(&values()));
    let other = npy("|u1", false, "(1, 1, 1)", &[1]);
    for deflate in [false, true] {
        for files in [
            vec![("anything.npy", array.as_slice())],
            vec![("seg.npy", other.as_slice()), ("data.npy", array.as_slice()), ("notes.txt", b"x")],
            vec![("arr_1.npy", other.as_slice()), ("arr_0.npy", array.as_slice())],
        ] {
            fs::write(&path, zip(&files, deflate)).unwrap();
            let stored = Stored::read(&path).unwrap();
            assert_eq!(stored.stored::<i16>().unwrap(), values());
            assert_eq!((stored.header.format, stored.header.shape.len()), (Format::Npz, 3));
            assert_eq!(volumes::read_header(&path).unwrap(), stored.header);
        }
    }
}

#[test]
fn a_page_of_a_tiff_is_a_slice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    for order_big in [false, true] {
        let bytes = if order_big { big(&values()) } else { little(&values()) };
        let pages: Vec<Vec<u8>> = bytes.chunks(24).map(<[u8]>::to_vec).collect();
        fs::write(&path, tiff(order_big, [4, 3], 16, 2, &pages)).unwrap();
        let stored = Stored::read(&path).unwrap();
        assert_eq!(stored.stored::<i16>().unwrap(), values());
        let order = if order_big { ByteOrder::Big } else { ByteOrder::Little };
        assert_eq!((stored.header.shape.as_slice(), stored.header.byte_order), ([4, 3, 2].as_slice(), order));
        assert_eq!((stored.header.axcodes().as_str(), stored.header.spacing), ("RAS", [1.0; 3]));
        assert_eq!(volumes::read_header(&path).unwrap(), stored.header);
    }
    for (bits, format, kind, bytes, want) in [
        (8, 1, VoxelType::U8, vec![200], 200.0),
        (8, 2, VoxelType::I8, vec![0xff], -1.0),
        (16, 1, VoxelType::U16, vec![0, 1], 256.0),
        (32, 1, VoxelType::U32, vec![0, 0, 1, 0], 65536.0),
        (32, 2, VoxelType::I32, vec![0xff; 4], -1.0),
        (32, 3, VoxelType::F32, 1.5f32.to_le_bytes().to_vec(), 1.5),
        (64, 3, VoxelType::F64, 2.5f64.to_le_bytes().to_vec(), 2.5),
    ] {
        fs::write(&path, tiff(false, [1, 1], bits, format, &[bytes])).unwrap();
        let stored = Stored::read(&path).unwrap();
        assert_eq!((stored.header.voxel_type, stored.to_f64()), (kind, vec![want]));
    }
}

#[test]
fn compressed_tiff_pages_are_read() {
    use ::tiff::encoder::{Compression, DeflateLevel, TiffEncoder, colortype};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tiff");
    let compressions = [
        Compression::Lzw,
        Compression::Deflate(DeflateLevel::Balanced),
        Compression::Packbits,
        Compression::Uncompressed,
    ];
    for compression in compressions {
        let file = fs::File::create(&path).unwrap();
        let mut encoder = TiffEncoder::new(file).unwrap().with_compression(compression);
        for slice in 0..3 {
            let pixels: Vec<f32> = (0..20).map(|i| (i / 4 + slice) as f32).collect();
            encoder.write_image::<colortype::Gray32Float>(5, 4, &pixels).unwrap();
        }
        drop(encoder);
        let volume = Volume::read(&path).unwrap();
        assert_eq!(volume.header.shape, [5, 4, 3]);
        let want: Vec<f32> = (0..3).flat_map(|s| (0..20).map(move |i| (i / 4 + s) as f32)).collect();
        assert_eq!(volume.data, want);
    }
}

#[test]
fn pages_of_an_imagej_stack_are_channels_slices_and_times() {
    use ::tiff::encoder::{TiffEncoder, colortype};
    use ::tiff::tags::Tag;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tif");
    let write = |description: &str, pages: u8| {
        let mut encoder = TiffEncoder::new(fs::File::create(&path).unwrap()).unwrap();
        for page in 0..pages {
            let mut image = encoder.new_image::<colortype::Gray8>(2, 1).unwrap();
            image.encoder().write_tag(Tag::ImageDescription, description).unwrap();
            image.write_data(&[10 * page, 10 * page + 1]).unwrap();
        }
    };
    // Two channels, three slices, no time: pages are c0 z0, c1 z0, c0 z1, …
    write("ImageJ=1.54f\nimages=6\nchannels=2\nslices=3\nhyperstack=true\n", 6);
    let volume = Volume::read(&path).unwrap();
    assert_eq!(volume.header.shape, [2, 1, 3, 2]);
    assert_eq!(volume.data, [0., 1., 20., 21., 40., 41., 10., 11., 30., 31., 50., 51.]);
    write("ImageJ=1.54f\nimages=4\nslices=2\nframes=2\n", 4);
    let volume = Volume::read(&path).unwrap();
    assert_eq!(volume.header.shape, [2, 1, 2, 2]);
    assert_eq!(volume.data, [0., 1., 10., 11., 20., 21., 30., 31.]);
    write("ImageJ=1.54f\nimages=3\nslices=3\n", 3);
    assert_eq!(Volume::read(&path).unwrap().header.shape, [2, 1, 3]);
    // All voxels behind one page's: the others would be lost.
    write("ImageJ=1.54f\nimages=500\nslices=500\n", 1);
    let message = Volume::read(&path).unwrap_err().to_string();
    assert!(
        message.contains("a.tif") && message.contains("images=500") && message.contains("save it"),
        "{message}"
    );
}

#[test]
fn a_folder_of_png_slices_is_ordered_by_the_numbers_in_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("slice_10.png", 3), ("slice_9.png", 2), ("slice_1.png", 1)] {
        let bytes: Vec<u8> = (0..6).map(|i| value * 10 + i).collect();
        fs::write(folder.path().join(name), png([3, 2], ::png::BitDepth::Eight, &bytes)).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "not a slice").unwrap();
    let volume = Volume::read(folder.path()).unwrap();
    assert_eq!(volume.header.shape, [3, 2, 3]);
    let want: Vec<f32> = (1..4).flat_map(|value| (0..6).map(move |i| (value * 10 + i) as f32)).collect();
    assert_eq!(volume.data, want);
    assert_eq!(volume.header.axcodes(), "RAS");
}

#[test]
fn grey_of_16_bits_and_of_few_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let wide: Vec<u8> = [0u16, 1, 256, 65535].iter().flat_map(|v| v.to_be_bytes()).collect();
    fs::write(&path, png([2, 2], ::png::BitDepth::Sixteen, &wide)).unwrap();
    let stored = Stored::read(&path).unwrap();
    assert_eq!(stored.stored::<u16>().unwrap(), [0, 1, 256, 65535]);
    assert_eq!(stored.header.shape, [2, 2, 1]);
    // Ten pixels of one bit a row: two bytes.
    fs::write(&path, png([10, 2], ::png::BitDepth::One, &[0b1010_0000, 0b0100_0000, 0, 0b1000_0000]))
        .unwrap();
    let values = Stored::read(&path).unwrap().to_f64();
    let ones: Vec<usize> = (0..20).filter(|&i| values[i] == 1.0).collect();
    assert_eq!((ones, values.iter().sum::<f64>()), (vec![0, 2, 9, 18], 4.0));
    fs::write(&path, png([3, 1], ::png::BitDepth::Four, &[0x1f, 0x70])).unwrap();
    assert_eq!(Stored::read(&path).unwrap().to_f64(), [1.0, 15.0, 7.0]);
}
