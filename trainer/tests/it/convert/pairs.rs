//! Which image belongs to which mask: by names, and by a table.

use std::fs;

use super::{FOLDERS, Place, image, json};

/// The data set's cases with their numbers of channels.
fn made(place: &Place) -> Vec<String> {
    place
        .files()
        .into_iter()
        .filter(|name| name != "dataset.json")
        .map(|name| name.replace(".nii.gz", ""))
        .collect()
}

fn mask(i: usize) -> u8 {
    u8::from(i % 7 == 2)
}

#[test]
fn suffixes_of_masks_and_images_are_understood() {
    for (image_name, mask_name) in [
        ("a", "a"),
        ("a", "a_mask"),
        ("a", "a_SEG"),
        ("a", "a_label"),
        ("a", "a-label"),
        ("a", "a.seg"),
        ("a_0000", "a_segmentation"),
        ("a_image", "a_mask"),
        ("a_img_0000", "a_labels"),
    ] {
        let place = Place::new();
        place.put(&format!("images/{image_name}.nii.gz"), image);
        place.put(&format!("masks/{mask_name}.nii"), mask);
        place.converts(&FOLDERS);
        assert_eq!(made(&place), ["imagesTr/a_0000", "labelsTr/a"], "{image_name} and {mask_name}");
    }
    // A name that is the same is the case's, whatever it ends in.
    let place = Place::new();
    place.put("images/a_seg.nii.gz", image);
    place.put("masks/a_seg.nii.gz", mask);
    place.converts(&FOLDERS);
    assert_eq!(made(&place), ["imagesTr/a_seg_0000", "labelsTr/a_seg"]);
}

#[test]
fn numbers_are_channels_unless_masks_have_them() {
    let place = Place::new();
    for name in ["a_0000", "a_0001", "b_0000", "b_0001"] {
        place.put(&format!("images/{name}.nii.gz"), |i| image(i + name.len()));
    }
    place.put("masks/a.nii.gz", mask);
    place.converts(&[&FOLDERS[..], &["--test", "b", "--channel-names", "T1,T2"]].concat());
    let files = ["imagesTr/a_0000", "imagesTr/a_0001", "imagesTs/b_0000", "imagesTs/b_0001", "labelsTr/a"];
    assert_eq!(made(&place), files);
    let made_of = json(&place.path("out/dataset.json"));
    assert_eq!(made_of["channel_names"], serde_json::json!({"0": "T1", "1": "T2"}));
    assert_eq!(made_of["numTraining"], 1);

    let place = Place::new();
    for name in ["img_0000", "img_0001"] {
        place.put(&format!("images/{name}.nii.gz"), image);
        place.put(&format!("masks/{name}_mask.nii.gz"), mask);
    }
    place.converts(&FOLDERS);
    let files =
        ["imagesTr/img_0000_0000", "imagesTr/img_0001_0000", "labelsTr/img_0000", "labelsTr/img_0001"];
    assert_eq!(made(&place), files);
}

#[test]
fn one_folder_may_hold_both_and_what_is_no_volume_is_named() {
    let place = Place::new();
    place.put("all/a.nii.gz", image);
    place.put("all/a_mask.nii.gz", mask);
    place.put("all/b.hdr", image);
    place.put("all/b_mask.img", mask);
    for name in ["a.json", "notes.txt", "deep/x.nii.gz", ".hidden"] {
        place.write(&format!("all/{name}"), "");
    }
    let printed = place.converts(&["--images", "all", "--masks", "all"]);
    assert_eq!(made(&place), ["imagesTr/a_0000", "imagesTr/b_0000", "labelsTr/a", "labelsTr/b"]);
    assert!(printed.contains("all: left out, as no volumes: deep, notes.txt\n"), "{printed}");
}

#[test]
fn a_table_names_cases_channels_and_the_split() {
    let place = Place::new();
    // Quotes, commas and a line's end in a field, as RFC 4180 has them; a byte order mark as Excel has it.
    place.put("set/T1, first/p.nii.gz", image);
    place.put("set/T2/p.nii.gz", |i| image(i + 500));
    place.put("set/q \"2\".nii.gz", image);
    place.put("set/m/1.nii.gz", mask);
    let text = "\u{feff}Case,image_0,image_1,mask,split,age\r\n\
                p,\"T1, first/p.nii.gz\",T2/p.nii.gz,m/1.nii.gz,train,61\r\n\
                \"q\",\"q \"\"2\"\".nii.gz\",T2/p.nii.gz,,TEST,\"a\nb\"\r\n\
                r,T2/p.nii.gz,T2/p.nii.gz,m/1.nii.gz,test,7\r\n";
    place.write("set/pairs.csv", text);
    let printed = place.converts(&["--csv", "set/pairs.csv"]);
    assert!(printed.contains("set/pairs.csv: columns that are not used: age\n"), "{printed}");
    let images = ["Tr/p_0000", "Tr/p_0001", "Ts/q_0000", "Ts/q_0001", "Ts/r_0000", "Ts/r_0001"];
    let images = images.map(|name| format!("images{name}"));
    assert_eq!(made(&place), [&images[..], &["labelsTr/p".into(), "labelsTs/r".into()]].concat());

    // Names come from the first image, without the number of its channel.
    fs::remove_dir_all(place.path("out")).unwrap();
    place.put("set/x_0000.nii.gz", image);
    place.put("set/x_0001.nii.gz", image);
    place.write("set/pairs.csv", "mask,image_1,image_0\nm/1.nii.gz,x_0001.nii.gz,x_0000.nii.gz\n");
    place.converts(&["--csv", "set/pairs.csv"]);
    assert_eq!(made(&place), ["imagesTr/x_0000", "imagesTr/x_0001", "labelsTr/x"]);
}

/// The rows of a table as text, with fields in quotes where they hold the separator.
fn table(rows: &[[&str; 3]], separator: char) -> String {
    let field = |f: &&str| if f.contains(separator) { format!("\"{f}\"") } else { (*f).to_owned() };
    let line = |row: &[&str; 3]| row.iter().map(field).collect::<Vec<_>>().join(&separator.to_string());
    rows.iter().map(|row| line(row) + "\r\n").collect()
}

#[test]
fn a_table_is_the_same_whatever_separates_it_and_masks_are_called() {
    let place = Place::new();
    // Names that hold the separators of other tables.
    place.put("T1, first/a;1.nii.gz", image);
    place.put("m.nii.gz", mask);
    place.put("n.nii.gz", |i| mask(i + 1));
    let (first, second) = (["T1, first/a;1.nii.gz", "m.nii.gz", "x, y"], ["m.nii.gz", "n.nii.gz", "z"]);
    let mut made_first: Option<Vec<Vec<u8>>> = None;
    for separator in [',', ';', '\t'] {
        for name in ["mask", "label", "labels", "segmentation", "Label"] {
            for start in ["", "\u{feff}", "\r\n"] {
                let text = table(&[["image", name, "case"], first, second], separator);
                place.write("pairs.csv", format!("{start}{text}"));
                place.converts(&["--csv", "pairs.csv"]);
                let files = ["imagesTr/x, y_0000", "imagesTr/z_0000", "labelsTr/x, y", "labelsTr/z"];
                assert_eq!(made(&place), files, "{separator:?} {name}");
                let bytes: Vec<Vec<u8>> =
                    place.files().iter().map(|f| fs::read(place.path("out").join(f)).unwrap()).collect();
                assert!(*made_first.get_or_insert(bytes.clone()) == bytes, "{separator:?} {name}");
                fs::remove_dir_all(place.path("out")).unwrap();
            }
        }
    }
    // Where there is a column mask, the others are not looked at.
    place.write("pairs.csv", "label,image,mask\nbenign,m.nii.gz,n.nii.gz\n");
    let printed = place.converts(&["--csv", "pairs.csv"]);
    assert!(printed.contains("pairs.csv: columns that are not used: label\n"), "{printed}");
}

#[test]
fn a_table_that_cannot_be_used_is_refused_with_what_it_lacks() {
    for (text, want) in [
        (
            "picture,mask\na,b\n",
            "has no column image: its columns are picture, mask; the first line is such as",
        ),
        ("image,truth\na,b\n", "has no column mask: its columns are image, truth"),
        ("image;truth\na;b\n", "has no column mask: its columns are image, truth"),
        ("image;mask,split\na;b,test\n", "has no column image: its columns are image;mask, split"),
        ("image,labels,label\na,b,c\n", "has no column mask, but several that may be meant: its columns are"),
        ("image,image_0,mask\na,b,c\n", "of which one is meant"),
        ("image_0,image_2,mask\na,b,c\n", "has a column image_2, but not those before it"),
        ("image,mask,mask\na,b,c\n", "has two columns \"mask\""),
        ("", "has no column image"),
    ] {
        let place = Place::new();
        place.write("pairs.csv", text);
        let (printed, error) = place.refuses(&["--csv", "pairs.csv"]);
        assert_eq!(printed, "");
        assert!(error.starts_with("error: pairs.csv: ") && error.contains(want), "{error}");
    }
    let (_, error) = Place::new().refuses(&["--csv", "nowhere.csv"]);
    assert!(error.contains("nowhere.csv: cannot be read"), "{error}");
}

#[test]
fn every_line_with_a_fault_is_named() {
    let place = Place::new();
    place.put("a.nii.gz", image);
    place.put("m.nii.gz", mask);
    let text = "image,mask,case,split\n\
                a.nii.gz,m.nii.gz,x,train\n\
                b.nii.gz,m.nii.gz,y,train\n\
                a.nii.gz,,z,train\n\
                a.nii.gz,m.nii.gz\n\
                a.nii.gz,m.nii.gz,x,later\n\
                a.nii.gz,m.nii.gz,../up,test\n";
    place.write("pairs.csv", text);
    let (page, error) = place.refuses(&["--csv", "pairs.csv"]);
    for want in [
        "pairs.csv: line 3: b.nii.gz does not exist\n      -> correct the path, which is relative",
        "pairs.csv: line 4: names no mask\n",
        "found record with 2 fields, but the previous record has 4 fields\n      -> give each line",
        "pairs.csv: line 6: split is \"later\"\n      -> write train or test",
        "case x: is the name of both a.nii.gz and a.nii.gz\n      -> give each its own name",
        "case ../up: \"../up\" cannot be the name of a file",
    ] {
        assert!(page.contains(want), "{want} is missing:\n{page}");
    }
    assert_eq!(error, "error: out: is not written: correct the 6 errors above and convert again\n");
}
