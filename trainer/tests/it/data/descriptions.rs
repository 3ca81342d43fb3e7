//! What `dataset.json` may say.

use trainer::dataset::Description;

use super::{ONE_CHANNEL, says};

#[test]
fn descriptions_that_cannot_be_meant_are_refused() {
    let labels = |labels: &str| {
        Description::parse(&format!(r#"{{"channel_names": {{"0": "T1"}}, "labels": {labels}}}"#)).unwrap_err()
    };
    says(
        &labels(r#"{"background": 0, "whole": [1, 2], "core": 2}"#),
        &["\"whole\" is a region", "[1,2]", "one number"],
    );
    says(&labels(r#"{"background": 0, "a": 1, "b": 3}"#), &["must be 2", "\"b\" = 3", "0, 1, 2"]);
    says(&labels(r#"{"a": 1}"#), &["background must be 0", "\"a\" = 1"]);
    says(&labels(r#"{"background": 0, "a": 1, "b": 1}"#), &["\"a\" and \"b\" are both 1"]);
    says(&labels(r#"{"background": 0, "a": 1, "ignore": 1}"#), &["\"ignore\" and \"a\" are both 1"]);
    says(&labels(r#"{"background": 0, "a": 1.5}"#), &["\"a\" is 1.5", "whole number"]);
    says(&labels(r#"{"background": 0}"#), &["no class beside the background"]);
    says(&labels("[1]"), &["labels is [1]", "\"lesion\": 1"]);
    for (text, parts) in [
        ("{", &["not a JSON object", "channel_names"][..]),
        (r#"{"labels": {"background": 0, "a": 1}}"#, &["channel_names is missing", "\"0\": \"T1\""]),
        (r#"{"channel_names": {"1": "T1"}, "labels": {"background": 0, "a": 1}}"#, &["has no \"0\""]),
        (
            r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "a": 1}, "file_ending": ".jpg"}"#,
            &[".jpg", ".nii.gz"],
        ),
    ] {
        says(&Description::parse(text).unwrap_err(), parts);
    }
}

#[test]
fn both_forms_of_labels_are_read_and_neither_hides_a_region() {
    let read = |labels: &str| {
        Description::parse(&format!(r#"{{"channel_names": {{"0": "T1"}}, "labels": {labels}}}"#))
    };
    for labels in [
        r#"{"background": 0, "liver": 1, "tumour": 2, "ignore": 3}"#,
        r#"{"0": "background", "1": "liver", "2": "tumour", "3": "ignore"}"#,
        r#"{"3": "Ignore", "2": "tumour", "1": "liver", "0": "background"}"#,
        r#"{"background": "0", "liver": "1", "tumour": "2", "ignore": "3"}"#,
    ] {
        let found = read(labels).unwrap();
        assert_eq!((found.classes.join(" "), found.ignore), ("background liver tumour".into(), Some(3)));
    }
    for (labels, parts) in [
        (
            r#"{"background": 0, "whole": [1, 2], "core": [2]}"#,
            ["\"core\" is a region, the list [2]", "one number"],
        ),
        (r#"{"0": "background", "1": ["liver", "tumour"]}"#, ["\"1\" is a region", "not supported"]),
        (
            r#"{"background": 0, "liver": 1, "ignore": [3]}"#,
            ["\"ignore\" is a region, the list [3]", "one number"],
        ),
        (
            r#"{"0": "background", "2": "liver"}"#,
            ["must be 1, but the next is \"liver\" = 2", "number the labels"],
        ),
        (r#"{"0": "background", "one": "liver"}"#, ["\"one\" is \"liver\"", "not a whole number"]),
    ] {
        says(&read(labels).unwrap_err(), &parts);
    }
    for (written, read) in [("nii.gz", ".nii.gz"), (".nrrd", ".nrrd"), ("mha", ".mha")] {
        let text = ONE_CHANNEL.replacen('{', &format!(r#"{{"file_ending": "{written}", "#), 1);
        assert_eq!(Description::parse(&text).unwrap().file_ending, read);
    }
    // Some editors begin a file with a byte order mark.
    assert!(Description::parse(&format!("\u{feff}{ONE_CHANNEL}")).is_ok());
}
