//! Laws of TensorBoard's event files, by a reader that shares nothing with the writer.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::train::log;
use super::{Place, small, succeeds};

/// CRC-32C bit by bit, masked as TFRecords have it.
fn masked_crc(bytes: &[u8]) -> u32 {
    let crc = !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 * (crc & 1)))
    });
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The fields of a protocol buffer: numbers, and bytes of whatever is longer.
#[derive(Debug, Default)]
struct Fields {
    numbers: BTreeMap<u64, u64>,
    bytes: Vec<(u64, Vec<u8>)>,
}

impl Fields {
    fn of(mut rest: &[u8]) -> Self {
        fn varint(rest: &mut &[u8]) -> u64 {
            let end = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            let (number, after) = rest.split_at(end);
            *rest = after;
            number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
        }
        let mut fields = Self::default();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let mut fixed = |size: usize| {
                let (bytes, after) = rest.split_at(size);
                rest = after;
                bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
            };
            match key & 7 {
                1 => drop(fields.numbers.insert(key >> 3, fixed(8))),
                5 => drop(fields.numbers.insert(key >> 3, fixed(4))),
                0 => drop(fields.numbers.insert(key >> 3, varint(&mut rest))),
                2 => {
                    let length = varint(&mut rest) as usize;
                    fields.bytes.push((key >> 3, rest[..length].to_vec()));
                    rest = &rest[length..];
                }
                kind => panic!("field {} of kind {kind}", key >> 3),
            }
        }
        fields
    }

    fn all(&self, field: u64) -> impl Iterator<Item = &[u8]> {
        self.bytes.iter().filter(move |(number, _)| *number == field).map(|(_, bytes)| bytes.as_slice())
    }

    fn message(&self, field: u64) -> Option<Self> {
        self.all(field).next().map(Self::of)
    }

    fn text(&self, field: u64) -> String {
        String::from_utf8(self.all(field).next().unwrap_or_default().to_vec()).unwrap()
    }

    fn number(&self, field: u64) -> u64 {
        self.numbers.get(&field).copied().unwrap_or(0)
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Version(String),
    Start,
    Scalar(String, f32),
    /// The rows of a precision-recall curve.
    Curve(String, Vec<Vec<f32>>),
}

/// The events of a file with their steps, in order; each has a wall time of this century.
fn events(path: &Path) -> Vec<(u64, Said)> {
    let file = fs::read(path).unwrap();
    let (mut rest, mut events) = (file.as_slice(), Vec::new());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let crc = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let event = &rest[12..12 + length];
        assert_eq!((crc(8), crc(12 + length)), (masked_crc(&rest[..8]), masked_crc(event)));
        rest = &rest[16 + length..];
        let event = Fields::of(event);
        assert!(f64::from_bits(event.number(1)) > 1e9);
        let step = event.number(2);
        if let Some(version) = event.all(3).next() {
            events.push((step, Said::Version(String::from_utf8(version.to_vec()).unwrap())));
        }
        if let Some(session) = event.message(7) {
            assert_eq!(session.number(1), 1);
            events.push((step, Said::Start));
        }
        let summary = event.message(5).unwrap_or_default();
        events.extend(summary.all(1).map(|value| (step, said(&Fields::of(value)))));
    }
    events
}

/// A value of a summary.
fn said(value: &Fields) -> Said {
    let Some(tensor) = value.message(8) else {
        return Said::Scalar(value.text(1), f32::from_bits(value.number(2) as u32));
    };
    let metadata = value.message(9).unwrap();
    let plugin = metadata.message(1).unwrap();
    let thresholds = plugin.message(2).unwrap().number(2);
    let shape = tensor.message(2).unwrap();
    let dims: Vec<u64> = shape.all(2).map(|dim| Fields::of(dim).number(1)).collect();
    assert_eq!((plugin.text(1).as_str(), metadata.number(4), dims), ("pr_curves", 2, vec![6, thresholds]));
    assert_eq!(tensor.number(1), 1, "floats");
    let floats: Vec<f32> =
        tensor.all(4).next().unwrap().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Said::Curve(value.text(1), floats.chunks(thresholds as usize).map(<[f32]>::to_vec).collect())
}

/// The event files of a folder, by name.
fn files(run: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(run).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.to_str().unwrap().contains("tfevents")).collect();
    files.sort();
    files
}

/// The scalars that a log asks for.
fn wanted(run: &Path) -> Vec<(u64, Said)> {
    let mut wanted = Vec::new();
    let mut add = |step: u64, tag: String, value: &Value| {
        wanted.extend(value.as_f64().map(|value| (step, Said::Scalar(tag, value as f32))));
    };
    for line in log(run, "batch") {
        let step = (line["epoch"].as_u64().unwrap() - 1) * line["batches_per_epoch"].as_u64().unwrap()
            + line["batch"].as_u64().unwrap();
        add(step, "loss/batches".into(), &line["loss"]);
        add(step, "lr".into(), &line["lr"]);
    }
    for line in log(run, "patches") {
        let step = line["step"].as_u64().unwrap();
        add(step, "loss/patches".into(), &line["loss"]);
        for class in line["classes"].as_array().unwrap() {
            add(step, format!("patch_dice/{}", class["name"].as_str().unwrap()), &class["patch_dice"]);
        }
    }
    for line in log(run, "validation") {
        for class in line["classes"].as_array().unwrap() {
            let name = class["name"].as_str().unwrap();
            let count = |key: &str| class["counts"][key].as_f64().unwrap();
            let ratio = |other: &str| Value::from(count("tp") / (count("tp") + count(other)));
            let step = line["step"].as_u64().unwrap();
            add(step, format!("dice/{name}"), &class["dice"]);
            add(step, format!("precision/{name}"), &ratio("fp"));
            add(step, format!("recall/{name}"), &ratio("fn"));
            add(step, format!("average_precision/{name}"), &class["average_precision"]);
        }
    }
    wanted
}

fn sorted(mut events: Vec<(u64, Said)>) -> Vec<(u64, Said)> {
    events.sort_by_key(|(step, said)| (*step, format!("{said:?}")));
    events
}

#[test]
fn events_are_the_numbers_of_the_log_and_curves_of_counts() {
    let place = Place::with(small::SHAPE, 1, 3, [4, 0]);
    let twice = ["run", "again"].map(|run| {
        place.train(run, &["--epochs", "2"]);
        let [file] = &files(&place.path(run))[..] else { panic!("one file for one run") };
        events(file)
    });
    // All but the wall time follows from the seed.
    assert_eq!(twice[0], twice[1]);
    let (begin, events) = twice[0].split_at(2);
    assert_eq!(begin, [(0, Said::Version("brain.Event:2".into())), (1, Said::Start)]);
    let (curves, scalars): (Vec<_>, Vec<_>) =
        events.iter().cloned().partition(|(_, said)| matches!(said, Said::Curve(..)));
    assert_eq!(sorted(scalars), sorted(wanted(&place.path("run"))));

    let validations = log(&place.path("run"), "validation");
    assert_eq!(curves.len(), validations.len() * 2);
    for (step, curve) in curves {
        let Said::Curve(tag, rows) = curve else { unreachable!() };
        let class = validations
            .iter()
            .filter(|line| line["step"] == step)
            .flat_map(|line| line["classes"].as_array().unwrap())
            .find(|class| tag == format!("pr_curve/{}", class["name"].as_str().unwrap()))
            .unwrap_or_else(|| panic!("{tag} at step {step}"));
        let [tp, fp, tn, fn_, precision, recall] = &rows[..] else { panic!("{} rows", rows.len()) };
        let at_half = |key: &str| class["at_half"][key].as_f64().unwrap() as f32;
        let (positives, negatives) = (at_half("tp") + at_half("fn"), at_half("fp") + at_half("tn"));
        assert_eq!(
            (tp[0], fp[0], recall[0]),
            (positives, negatives, 1.0),
            "all are at least as probable as 0"
        );
        // The middle of 201 thresholds is 1/2; voxels of the narrow bin at 1/2 lie on its other side in the log.
        for (row, count) in [tp, fp, tn, fn_].into_iter().zip(["tp", "fp", "tn", "fn"].map(at_half)) {
            assert!((row[100] - count).abs() <= 4.0, "{} for {count}", row[100]);
        }
        for i in 0..tp.len() {
            assert_eq!((tp[i] + fn_[i], fp[i] + tn[i]), (positives, negatives));
            let of = |part: f32, all: f32, none: f32| if all > 0.0 { part / all } else { none };
            assert!((precision[i] - of(tp[i], tp[i] + fp[i], 1.0)).abs() <= f32::EPSILON);
            assert!((recall[i] - of(tp[i], positives, 0.0)).abs() <= f32::EPSILON);
            assert!(i == 0 || recall[i] <= recall[i - 1]);
        }
    }
}

#[test]
fn a_run_that_goes_on_purges_what_it_repeats() {
    let place = Place::new();
    place.train("run", &[]);
    let before = files(&place.path("run"));
    succeeds(&["train", &place.text("data"), "--out", &place.text("run"), "--resume", "--epochs", "2"]);
    let after = files(&place.path("run"));
    assert_eq!((before.len(), after.len(), &after[0]), (1, 2, &before[0]), "the new file is read last");
    let (old, new) = (events(&after[0]), events(&after[1]));
    assert_eq!(new[..2], [(0, Said::Version("brain.Event:2".into())), (4, Said::Start)]);
    let scalars: Vec<_> =
        [old, new].concat().into_iter().filter(|(_, said)| matches!(said, Said::Scalar(..))).collect();
    assert_eq!(sorted(scalars), sorted(wanted(&place.path("run"))));
}

#[test]
fn figures_of_training_cases_are_named_so_and_a_key_turns_all_off() {
    let place = Place::with(small::SHAPE, 1, 2, [1, 0]);
    place.train("run", &[]);
    let events = events(&files(&place.path("run"))[0]);
    let tags: Vec<&str> = events
        .iter()
        .filter_map(|(_, said)| match said {
            Said::Scalar(tag, _) | Said::Curve(tag, _) => Some(tag.as_str()),
            Said::Version(_) | Said::Start => None,
        })
        .collect();
    assert!(tags.contains(&"pr_curve_of_training_cases/lesion"), "{tags:?}");
    assert!(
        tags.contains(&"recall_of_training_cases/lesion") && !tags.contains(&"recall/lesion"),
        "{tags:?}"
    );
    place.train("silent", &["--set", "training.tensorboard=false"]);
    assert_eq!(files(&place.path("silent")), [] as [PathBuf; 0]);
}
