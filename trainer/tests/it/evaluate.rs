//! Laws of the evaluation: numbers that a hand can check, undefined values that stay apart, and refusals by name.

mod pairs;

use metrics::{LesionCounts, Mean};
use trainer::evaluate::{Evaluation, Merges, Options, evaluate};
use volumes::nifti::{self, NiftiHeader};

const SHAPE: [usize; 3] = [2, 2, 2];

/// A folder of labels, one of predictions, and maybe a dataset.json above them.
struct Folders(tempfile::TempDir);

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("labels")).unwrap();
        std::fs::create_dir(root.path().join("predictions")).unwrap();
        Self(root)
    }

    fn dataset(self, json: &str) -> Self {
        std::fs::write(self.0.path().join("dataset.json"), json).unwrap();
        self
    }

    fn with(self, folder: &str, file: &str, labels: [u8; 8]) -> Self {
        self.volume(folder, file, &NiftiHeader::new(SHAPE, [1.0, 1.0, 3.0]), &labels);
        self
    }

    fn volume<V: volumes::Voxel>(&self, folder: &str, file: &str, header: &NiftiHeader, labels: &[V]) {
        nifti::write(self.0.path().join(folder).join(file), header, labels).unwrap();
    }

    fn evaluate(&self) -> Result<Evaluation, String> {
        self.evaluate_within(1.0)
    }

    /// Why it fails, or why a case is missing.
    fn refusal(&self) -> String {
        self.evaluate().map_or_else(|error| error, |found| found.complete().unwrap_err().to_string())
    }

    /// With a tolerance in mm.
    fn evaluate_within(&self, tolerance: f64) -> Result<Evaluation, String> {
        let folder = |name: &str| self.0.path().join(name);
        let options = Options { tolerance, ..Options::default() };
        evaluate(folder("predictions"), folder("labels"), &options).map_err(|error| error.to_string())
    }
}

const NAMES: &str = r#"{"labels": {"background": 0, "liver": 1, "tumour": 2}}"#;

/// Two cases: in `b` nobody has a tumour.
fn two_cases() -> Folders {
    Folders::new()
        .dataset(NAMES)
        .with("labels", "a.nii.gz", [0, 0, 1, 1, 1, 1, 2, 2])
        .with("predictions", "a.nii.gz", [0, 1, 1, 1, 1, 2, 2, 0])
        .with("labels", "b.nii", [0, 0, 0, 0, 0, 0, 1, 1])
        .with("predictions", "b.nii.gz", [0, 0, 0, 0, 0, 0, 0, 0])
}

#[test]
fn merged_labels_are_one_class() {
    let folders = two_cases();
    let merged = |groups: &[&[i32]]| -> Result<Evaluation, String> {
        let merges = Merges::new(groups.iter().map(|group| group.to_vec()).collect());
        let options = Options { merges: merges.map_err(|error| error.to_string())?, ..Options::default() };
        let folder = |name: &str| folders.0.path().join(name);
        evaluate(folder("predictions"), folder("labels"), &options).map_err(|error| error.to_string())
    };
    let found = merged(&[&[1, 2]]).unwrap();
    assert_eq!(found.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>(), ["liver + tumour"]);
    // Of a and b, whichever of the two labels a voxel has.
    let counts = |case: usize| {
        let c = found.cases[case].classes[0].counts;
        [c.true_positives, c.false_positives, c.false_negatives, c.true_negatives]
    };
    assert_eq!((counts(0), counts(1)), ([5, 1, 1, 1], [0, 0, 2, 6]));
    assert_eq!(merged(&[]).unwrap(), folders.evaluate().unwrap());
    for (groups, words) in [
        (&[&[1, 3][..]][..], "--merge: dataset.json does not name the label 3"),
        (&[&[1]], "two labels or more"),
        (&[&[0, 1]], "0 is the background"),
        (&[&[1, 2], &[2, 1]], "2 is named twice"),
    ] {
        let error = merged(groups).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn counts_and_ratios_are_those_of_a_hand_count() {
    let evaluation = two_cases().evaluate().unwrap();
    let [a, b] = &evaluation.cases[..] else { panic!("two cases") };
    assert_eq!((a.case.as_str(), b.case.as_str()), ("a", "b"));
    let counts = |row: usize| {
        let c = a.classes[row].counts;
        [c.true_positives, c.false_positives, c.false_negatives, c.true_negatives]
    };
    assert_eq!((counts(0), counts(1)), ([3, 1, 1, 3], [1, 1, 1, 5]));
    assert_eq!((a.classes[0].dice, a.classes[0].iou), (Some(0.75), Some(0.6)));
    // Nothing predicted: precision is undefined, recall and Dice are zero.
    let liver = &b.classes[0];
    assert_eq!(
        (liver.precision, liver.recall, liver.f1, liver.dice),
        (None, Some(0.0), Some(0.0), Some(0.0))
    );
    // Absent from both: all are undefined, and the mean is over one case.
    let tumour = &b.classes[1];
    assert_eq!((tumour.precision, tumour.recall, tumour.dice, tumour.iou), (None, None, None, None));
    assert_eq!(evaluation.classes[0].dice, Mean { value: Some(0.375), n: 2, undefined: 0 });
    assert_eq!(evaluation.classes[0].precision, Mean { value: Some(0.75), n: 1, undefined: 1 });
    assert_eq!(evaluation.classes[1].dice, Mean { value: Some(0.5), n: 1, undefined: 1 });
    assert_eq!(evaluation.foreground_dice, Mean { value: Some(0.4375), n: 2, undefined: 0 });
    // The pooled report has the background and all sixteen voxels.
    assert_eq!(evaluation.report.support, 16);
    assert_eq!(evaluation.report.classes[0].name, "background");
    assert_eq!(evaluation.report.accuracy, 11.0 / 16.0);
    assert_eq!(evaluation.warnings, []);
}

#[test]
fn the_table_prints_undefined_as_a_dash_and_json_as_null() {
    let evaluation = two_cases().evaluate().unwrap();
    let expected = "\
case  class   tp  fp  fn  tn  precision  recall      f1    dice     iou
a     liver    3   1   1   3     0.7500  0.7500  0.7500  0.7500  0.6000
a     tumour   1   1   1   5     0.5000  0.5000  0.5000  0.5000  0.3333
b     liver    0   0   2   6          -  0.0000  0.0000  0.0000  0.0000
b     tumour   0   0   0   8          -       -       -       -       -

surfaces in mm (surface dice within 1 mm; distances need the class on both sides), and objects: voxels of a class that touch, by a face, an edge or a corner, are one

case  class    hd95   assd  surface dice  objects found  false positive objects
a     liver   1.000  0.250        1.0000         1 of 1                  0 of 1
a     tumour  1.000  0.500        1.0000         1 of 1                  0 of 1
b     liver       -      -        0.0000         0 of 1                  0 of 0
b     tumour      -      -             -         0 of 0                  0 of 0

means over cases (how many have the value, in how many it is undefined)

class       precision         recall             f1           dice            iou
liver   0.7500 (1, 1)  0.3750 (2, 0)  0.3750 (2, 0)  0.3750 (2, 0)  0.3000 (2, 0)
tumour  0.5000 (1, 1)  0.5000 (1, 1)  0.5000 (1, 1)  0.5000 (1, 1)  0.3333 (1, 1)

class           hd95          assd   surface dice  object recall  false positive objects
liver   1.000 (1, 1)  0.250 (1, 1)  0.5000 (2, 0)  0.5000 (2, 0)             0.00 (2, 0)
tumour  1.000 (1, 1)  0.500 (1, 1)  1.0000 (1, 1)  1.0000 (1, 1)             0.00 (2, 0)

objects of all cases

class   objects found  false positive objects
liver          1 of 2                  0 of 1
tumour         1 of 1                  0 of 1

mean dice of 2 foreground classes (0 undefined): 0.4375

all voxels of all cases

              precision    recall  f1-score   support

  background     0.7000    0.8750";
    let text = evaluation.to_string();
    assert!(text.starts_with(expected), "{text}");
    let json = serde_json::to_value(&evaluation).unwrap();
    assert_eq!(json["cases"][1]["classes"][1]["dice"], serde_json::Value::Null);
    assert_eq!(json["cases"][0]["classes"][0]["fn"], 1);
    assert_eq!(json["cases"][0]["classes"][0]["assd"], 0.25);
    assert_eq!(json["cases"][1]["classes"][0]["lesions"]["found"], 0);
    assert_eq!(json["classes"][0]["hd95"], serde_json::json!({"value": 1.0, "n": 1, "undefined": 1}));
    assert_eq!(json["worst"][0], serde_json::json!({"case": "b", "label": 1, "name": "liver", "dice": 0.0}));
    assert_eq!(serde_json::from_value::<Evaluation>(json).unwrap(), evaluation);
}

#[test]
fn distances_are_in_millimetres_along_each_axis() {
    // One voxel, moved along x, y and z, whose spacings a header keeps as the f32 next to them.
    for (axis, spacing) in [(0, 0.7), (1, 1.1), (2, 2.6)] {
        let header = NiftiHeader::new(SHAPE, [0.7, 1.1, 2.6]);
        let mut moved = [0u8; 8];
        moved[1 << axis] = 1;
        let folders = Folders::new();
        folders.volume("labels", "a.nii.gz", &header, &[1u8, 0, 0, 0, 0, 0, 0, 0]);
        folders.volume("predictions", "a.nii.gz", &header, &moved);
        let found = |tolerance: f64| {
            let evaluation = folders.evaluate_within(tolerance).unwrap();
            assert_eq!(evaluation.tolerance, tolerance);
            evaluation.cases[0].classes[0].clone()
        };
        let hd95 = found(1.0).surface.hd95.unwrap();
        assert!((hd95 - spacing).abs() <= f64::from(f32::EPSILON) * spacing, "{hd95} along axis {axis}");
        assert_eq!(found(1.0).surface.assd, Some(hd95));
        assert_eq!(found(spacing).surface.surface_dice, Some(1.0));
        assert_eq!(found(0.999 * spacing).surface.surface_dice, Some(0.0));
    }
}

#[test]
fn lesions_are_found_missed_and_invented_within_each_class() {
    // In `a` the voxels of class 1 meet at a corner and are one lesion; class 2 is predicted in its place.
    let folders = Folders::new().with("labels", "a.nii.gz", [1, 0, 0, 2, 0, 0, 0, 1]).with(
        "predictions",
        "a.nii.gz",
        [0, 0, 0, 0, 0, 0, 0, 2],
    );
    folders.volume("labels", "b.nii.gz", &NiftiHeader::new([5, 1, 1], [1.0; 3]), &[1u8, 0, 1, 0, 0]);
    folders.volume("predictions", "b.nii.gz", &NiftiHeader::new([5, 1, 1], [1.0; 3]), &[1u8, 0, 0, 0, 1]);
    let evaluation = folders.evaluate().unwrap();
    let lesions = |case: usize, class: usize| evaluation.cases[case].classes[class].lesions;
    let counts = |lesions, found, predicted, false_positives| LesionCounts {
        lesions,
        found,
        predicted,
        false_positives,
    };
    assert_eq!((lesions(0, 0), lesions(0, 1)), (counts(1, 0, 0, 0), counts(1, 0, 1, 1)));
    assert_eq!((lesions(1, 0), lesions(1, 1)), (counts(2, 1, 2, 1), counts(0, 0, 0, 0)));
    let means = &evaluation.classes;
    assert_eq!((means[0].lesions, means[1].lesions), (counts(3, 1, 2, 1), counts(1, 0, 1, 1)));
    assert_eq!(means[0].lesion_recall, Mean { value: Some(0.25), n: 2, undefined: 0 });
    assert_eq!(means[1].lesion_recall, Mean { value: Some(0.0), n: 1, undefined: 1 });
    assert_eq!(means[1].false_positive_lesions, Mean { value: Some(0.5), n: 2, undefined: 0 });
}

#[test]
fn a_missed_case_lowers_dice_and_is_counted_where_it_has_no_distance() {
    let folders = two_cases().with("predictions", "b.nii.gz", [0, 0, 0, 0, 0, 0, 1, 1]);
    let (missed, hit) = (two_cases().evaluate().unwrap(), folders.evaluate().unwrap());
    let liver = |evaluation: &Evaluation| evaluation.classes[0].clone();
    assert_eq!(liver(&missed).hd95, Mean { value: Some(1.0), n: 1, undefined: 1 });
    assert_eq!(liver(&hit).hd95, Mean { value: Some(0.5), n: 2, undefined: 0 });
    assert_eq!((liver(&missed).dice.value, liver(&hit).dice.value), (Some(0.375), Some(0.875)));
    assert_eq!(liver(&missed).surface_dice, Mean { value: Some(0.5), n: 2, undefined: 0 });
}

#[test]
fn the_worst_of_many_cases_are_listed_lowest_first() {
    let mut folders = Folders::new();
    // So many of 7 voxels are found; one more case has nothing to find and no Dice.
    for (case, found) in [("g", 1), ("c", 5), ("a", 7), ("e", 3), ("d", 4), ("b", 6), ("f", 2)] {
        let labels = |voxels: usize| std::array::from_fn(|i| u8::from(i < voxels));
        folders = folders.with("labels", &format!("{case}.nii.gz"), labels(7)).with(
            "predictions",
            &format!("{case}.nii.gz"),
            labels(found),
        );
    }
    folders = folders.with("labels", "none.nii.gz", [0; 8]).with("predictions", "none.nii.gz", [0; 8]);
    let evaluation = folders.evaluate().unwrap();
    let worst: Vec<_> = evaluation.worst.iter().map(|worst| (worst.case.as_str(), worst.dice)).collect();
    let dice = |found: f64| 2.0 * found / (7.0 + found);
    assert_eq!(
        worst,
        [("g", dice(1.0)), ("f", dice(2.0)), ("e", dice(3.0)), ("d", dice(4.0)), ("c", dice(5.0))]
    );
    let expected = "\
lowest dice

case  class    dice
g     1      0.2500
f     1      0.4444
e     1      0.6000
d     1      0.7273
c     1      0.8333
";
    assert!(evaluation.to_string().contains(expected), "{evaluation}");
    // A handful needs no list.
    assert!(!two_cases().evaluate().unwrap().to_string().contains("lowest dice"));
}

#[test]
fn voxels_without_size_are_compared_with_nothing() {
    let folders = two_cases();
    let mut header = NiftiHeader { qform_code: 0, ..NiftiHeader::new(SHAPE, [1.0; 3]) };
    header.srow.iter_mut().for_each(|row| row[1] = 0.0);
    folders.volume("labels", "z.nii.gz", &header, &[1u8, 1, 0, 0, 0, 0, 0, 0]);
    folders.volume(
        "predictions",
        "z.nii.gz",
        &NiftiHeader::new(SHAPE, [1.0; 3]),
        &[1u8, 1, 0, 0, 0, 0, 0, 0],
    );
    let evaluation = folders.evaluate().unwrap();
    let refused = evaluation.complete().unwrap_err().to_string();
    assert!(refused.contains("labels/z.nii.gz") && refused.contains("along y is"), "{refused}");
}

#[test]
fn without_dataset_json_classes_are_the_labels_that_occur() {
    let folders = Folders::new()
        .with("labels", "a.nii.gz", [0, 0, 4, 4, 0, 0, 0, 0])
        .with("predictions", "a.nii.gz", [0, 0, 4, 0, 0, 0, 0, 0])
        .with("labels", "b.nii.gz", [0; 8])
        .with("predictions", "b.nii.gz", [9, 0, 0, 0, 0, 0, 0, 0]);
    let evaluation = folders.evaluate().unwrap();
    let names: Vec<_> = evaluation.classes.iter().map(|class| (class.label, class.name.as_str())).collect();
    assert_eq!(names, [(4, "4"), (9, "9")]);
    assert_eq!(evaluation.classes[0].dice, Mean { value: Some(2.0 / 3.0), n: 1, undefined: 1 });
    assert_eq!(evaluation.classes[1].dice, Mean { value: Some(0.0), n: 1, undefined: 1 });
}

#[test]
fn ignored_voxels_count_nowhere() {
    let json = r#"{"labels": {"background": 0, "liver": 1, "ignore": 2}}"#;
    let folders = || Folders::new().dataset(json).with("labels", "a.nii.gz", [0, 0, 1, 1, 2, 2, 2, 2]);
    let evaluation = folders().with("predictions", "a.nii.gz", [0, 0, 1, 1, 1, 1, 0, 2]).evaluate().unwrap();
    assert_eq!(evaluation.classes.len(), 1);
    let class = &evaluation.cases[0].classes[0];
    assert_eq!((class.dice, class.surface.hd95), (Some(1.0), Some(0.0)));
    assert_eq!(class.lesions, LesionCounts { lesions: 1, found: 1, predicted: 1, false_positives: 0 });
    assert_eq!(evaluation.report.support, 4);
    let error = folders().with("predictions", "a.nii.gz", [2, 0, 1, 1, 1, 1, 0, 0]).evaluate().unwrap_err();
    assert!(error.contains("case a: the prediction holds the ignore label 2"), "{error}");
}
