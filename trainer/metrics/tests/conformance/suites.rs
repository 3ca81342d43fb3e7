//! The metrics against values of scikit-learn, within 1e-9, and of MedPy, within 1e-6 mm.
//!
//! Reads the small pairs of masks of this crate and `../shared/conformance/metrics`, seen from the workspace; where
//! that is missing, or where a value has no form here, the case is listed by name as ignored.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use metrics::{
    ClassificationReport, ConfusionMatrix, Connectivity, PositiveClass, PrecisionRecallCurve,
    SurfaceDistances, average_precision,
};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/metrics");
/// `make.py` there makes it by MedPy.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/surface");
const TOLERANCE: f64 = 1e-9;
const MILLIMETRES: f64 = 1e-6;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (file, test) in [("classification", classification as fn(&Value) -> Outcome), ("pr_curves", pr_curve)]
    {
        match read(FOLDER, file) {
            None => trials.push(skipped(format!("metrics::{file}"), "file missing")),
            Some(Value::Object(cases)) => trials.extend(
                cases
                    .into_iter()
                    .map(|(name, case)| Trial::test(format!("metrics::{file}/{name}"), move || test(&case))),
            ),
            Some(other) => panic!("{file}.json holds no object: {other}"),
        }
    }
    for (kind, folder) in [("fixture", FIXTURE), ("reference", FOLDER)] {
        match read(folder, "surface") {
            None => trials.push(skipped("metrics::surface".to_owned(), "file missing")),
            Some(surface) => surface["cases"].as_array().into_iter().flatten().for_each(|case| {
                trials.extend(surfaces(kind, folder, case));
            }),
        }
    }
    trials
}

type Outcome = Result<(), Failed>;

fn skipped(name: String, reason: &'static str) -> Trial {
    Trial::test(name, || Ok(())).with_kind(format!("skipped: {reason}")).with_ignored_flag(true)
}

fn read(folder: &str, file: &str) -> Option<Value> {
    let text = std::fs::read_to_string(Path::new(folder).join(file).with_extension("json")).ok()?;
    Some(serde_json::from_str(&text).expect("reference values are JSON"))
}

fn classification(case: &Value) -> Outcome {
    let labels = |key: &str| numbers(&case[key]).into_iter().map(|x| x as i32).collect::<Vec<_>>();
    let (truth, prediction) = (labels("y_true"), labels("y_pred"));
    let confusion = case["confusion"].as_array().ok_or("no confusion matrix")?;
    let mut matrix = ConfusionMatrix::new(confusion.len());
    matrix.update(&truth, &prediction)?;
    for (t, row) in confusion.iter().enumerate() {
        for (p, want) in numbers(row).into_iter().enumerate() {
            near(&format!("confusion[{t}][{p}]"), matrix.get(t, p) as f64, want)?;
        }
    }

    let report = ClassificationReport::new(&matrix);
    if report.to_string() != case["text"].as_str().ok_or("no text")? {
        return Err(format!("text differs:\n{report}").into());
    }
    let want = &case["report"];
    let rows = report.classes.iter().map(|row| (row.name.as_str(), row.precision, row.recall, row.f1_score));
    let (macro_avg, weighted) = (report.macro_avg, report.weighted_avg);
    let averages = [
        ("macro avg", macro_avg.precision, macro_avg.recall, macro_avg.f1_score),
        ("weighted avg", weighted.precision, weighted.recall, weighted.f1_score),
    ];
    for (name, precision, recall, f1_score) in rows.chain(averages) {
        for (key, value) in [("precision", precision), ("recall", recall), ("f1-score", f1_score)] {
            near(&format!("{name} {key}"), value, number(&want[name][key])?)?;
        }
    }
    for row in &report.classes {
        near(&format!("{} support", row.name), row.support as f64, number(&want[&row.name]["support"])?)?;
    }
    near("accuracy", report.accuracy, number(&want["accuracy"])?)?;
    near("matthews", matrix.matthews().unwrap_or(0.0), number(&case["matthews"])?)?;
    let balanced = matrix.balanced_accuracy().value.ok_or("no balanced accuracy")?;
    near("balanced accuracy", balanced, number(&case["balanced_accuracy"])?)?;
    for (class, want) in numbers(&case["jaccard"]).into_iter().enumerate() {
        near(&format!("jaccard {class}"), matrix.iou()[class].unwrap_or(0.0), want)?;
    }
    Ok(())
}

fn pr_curve(case: &Value) -> Outcome {
    let truth: Vec<u8> = numbers(&case["y"]).into_iter().map(|y| y as u8).collect();
    let scores = numbers(&case["score"]);
    let positive = PositiveClass::new(1);
    let curve = PrecisionRecallCurve::new(&scores, &truth, positive)?;
    let parts =
        [("precision", &curve.precision), ("recall", &curve.recall), ("thresholds", &curve.thresholds)];
    for (key, values) in parts {
        let want = numbers(&case[key]);
        if values.len() != want.len() {
            return Err(format!("{key}: {} values, {} wanted", values.len(), want.len()).into());
        }
        for (i, (&value, want)) in values.iter().zip(want).enumerate() {
            near(&format!("{key}[{i}]"), value, want)?;
        }
    }
    let ap = average_precision(&scores, &truth, positive)?.unwrap_or(0.0);
    near("average precision", ap, number(&case["average_precision"])?)
}

/// One case of two volumes: a trial for each connectivity, and one for what both have in common.
fn surfaces(kind: &str, folder: &'static str, case: &Value) -> Vec<Trial> {
    let name = format!("{kind}/{}", case["name"].as_str().unwrap_or("unnamed"));
    let connectivities = [("conn1", Connectivity::Six), ("conn3", Connectivity::TwentySix)];
    let mut trials: Vec<_> = connectivities
        .into_iter()
        .map(|(key, connectivity)| {
            let case = case.clone();
            Trial::test(format!("metrics::surface/{name}/medpy/{key}"), move || {
                medpy(folder, &case, key, connectivity)
            })
        })
        .collect();
    let counted = case.clone();
    trials.push(Trial::test(format!("metrics::surface/{name}/voxels"), move || voxels(folder, &counted)));
    if !case["surface_distance"].is_null() {
        let reason = "surface-distance weighs surfaces by their area, another definition";
        trials.push(skipped(format!("metrics::surface/{name}/surface_distance"), reason));
    }
    trials
}

/// The two masks of a case, with shape and spacing along d, h and w.
struct Masks {
    truth: Vec<bool>,
    prediction: Vec<bool>,
    shape: [usize; 3],
    spacing: [f64; 3],
}

fn masks(folder: &str, case: &Value) -> Result<Masks, Failed> {
    let name = case["name"].as_str().ok_or("no name")?;
    let [truth, prediction] = ["gt", "pred"]
        .map(|side| volumes::Stored::read(Path::new(folder).join(format!("{name}_{side}.nii.gz"))));
    let (truth, prediction) = (truth?, prediction?);
    let [w, h, d] = truth.header.size();
    // The reference's spacing is that of numpy's first, second and last axis: x, y, z.
    let spacing = numbers(&case["spacing"]);
    for (axis, (stored, want)) in truth.header.spacing.into_iter().zip(&spacing).enumerate() {
        // Headers keep f32.
        if (stored - want).abs() > f64::from(f32::EPSILON) * want {
            return Err(format!("spacing of axis {axis} is {stored}, {want} wanted").into());
        }
    }
    let mask = |image: &volumes::Stored| image.to_f64().into_iter().map(|x| x > 0.0).collect();
    Ok(Masks {
        truth: mask(&truth),
        prediction: mask(&prediction),
        shape: [d, h, w],
        spacing: [spacing[2], spacing[1], spacing[0]],
    })
}

fn medpy(folder: &str, case: &Value, key: &str, connectivity: Connectivity) -> Outcome {
    let Masks { truth, prediction, shape, spacing } = masks(folder, case)?;
    let found = SurfaceDistances::new(&truth, &prediction, shape, spacing, connectivity)?;
    let values = [
        ("hd", found.hd()),
        ("hd95", found.hd95()),
        ("assd", found.assd()),
        ("asd_pred_to_gt", found.asd_to_truth()),
        ("asd_gt_to_pred", found.asd_to_prediction()),
    ];
    let want = &case["medpy"];
    if want.is_null() {
        // MedPy raises where a mask is empty.
        let empty = case["gt"] == 0 || case["pred"] == 0;
        let undefined = values.iter().all(|(_, value)| value.is_none());
        return if empty && undefined { Ok(()) } else { Err(format!("{values:?} are undefined").into()) };
    }
    for (name, value) in values {
        let (value, want) = (value.ok_or_else(|| format!("no {name}"))?, number(&want[key][name])?);
        // Written so that NaN fails.
        let near = (value - want).abs() <= MILLIMETRES;
        if !near {
            return Err(format!("{name} is {value} mm, {want} wanted").into());
        }
    }
    Ok(())
}

fn voxels(folder: &str, case: &Value) -> Outcome {
    let Masks { truth, prediction, .. } = masks(folder, case)?;
    let mut matrix = ConfusionMatrix::new(2);
    let labels = |mask: &[bool]| mask.iter().map(|&set| u8::from(set)).collect::<Vec<_>>();
    matrix.update(&labels(&truth), &labels(&prediction))?;
    let counts = matrix.binary(1);
    near("gt", counts.support() as f64, number(&case["gt"])?)?;
    near("pred", (counts.true_positives + counts.false_positives) as f64, number(&case["pred"])?)?;
    near("dice", counts.dice().ok_or("no dice")?, number(&case["dice"])?)
}

fn number(value: &Value) -> Result<f64, Failed> {
    value.as_f64().ok_or_else(|| format!("{value} is no number").into())
}

fn numbers(value: &Value) -> Vec<f64> {
    let values = value.as_array().expect("reference values are lists");
    values.iter().map(|x| x.as_f64().expect("of numbers")).collect()
}

fn near(what: &str, value: f64, want: f64) -> Outcome {
    let difference = (value - want).abs();
    // Written so that NaN fails.
    if difference <= TOLERANCE * want.abs().max(1.0) {
        return Ok(());
    }
    Err(format!("{what} is {value}, {want} wanted, off by {difference:e}").into())
}
