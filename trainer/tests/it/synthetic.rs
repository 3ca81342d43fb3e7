//! Laws of the demonstration data.

use trainer::curate::inspect::inspect;
use trainer::dataset::Dataset;
use trainer::dataset::synthetic::Synthetic;

/// The best F1 of any threshold, for scores of one or more volumes.
fn best_f1(scores: &[f32], labels: &[u8]) -> f64 {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let positives = labels.iter().filter(|&&l| l == 1).count() as f64;
    let mut hits = 0.0;
    let mut best = 0.0f64;
    for (taken, &at) in order.iter().enumerate() {
        hits += f64::from(labels[at]);
        best = best.max(2.0 * hits / (positives + taken as f64 + 1.0));
    }
    best
}

/// The dimmest of three short lines through a voxel, one along each axis: high only inside compact bright things.
fn compactness(image: &[f32], [sd, sh, sw]: [usize; 3]) -> Vec<f32> {
    let at = |d: usize, h: usize, w: usize| image[(d * sh + h) * sw + w];
    let mut out = vec![f32::NEG_INFINITY; image.len()];
    for d in 1..sd - 1 {
        for h in 2..sh - 2 {
            for w in 2..sw - 2 {
                let sides = [
                    at(d - 1, h, w) + at(d, h, w) + at(d + 1, h, w),
                    at(d, h - 2, w).min(at(d, h - 1, w)) + at(d, h, w) + at(d, h + 1, w).min(at(d, h + 2, w)),
                    at(d, h, w - 2).min(at(d, h, w - 1)) + at(d, h, w) + at(d, h, w + 1).min(at(d, h, w + 2)),
                ];
                out[(d * sh + h) * sw + w] = sides.into_iter().fold(f32::INFINITY, f32::min);
            }
        }
    }
    out
}

#[test]
fn the_default_set_has_rare_lesions_and_one_case_without() {
    let folder = tempfile::tempdir().unwrap();
    let made = Synthetic::default();
    made.write(folder.path()).unwrap();
    let set = Dataset::open(folder.path()).unwrap();
    assert_eq!((set.training.len(), set.test.len()), (8, 2));
    let found = inspect(&set).unwrap();
    assert_eq!(found.training.cases[0].shape, made.shape);
    assert_eq!(found.training.cases[0].spacing, made.spacing);
    assert_eq!(found.training.empty_cases, ["demo_007"]);
    assert!(found.test.empty_cases.is_empty());
    for side in [&found.training, &found.test] {
        let share = 100.0 * side.classes[1].fraction;
        assert!((0.2..0.8).contains(&share), "{share} %");
        for counts in side.cases.iter().filter_map(|c| c.class_voxels.as_ref()).filter(|c| c[1] > 0) {
            let share = 100.0 * counts[1] as f64 / (counts[0] + counts[1]) as f64;
            assert!((0.2..0.8).contains(&share), "{share} %");
        }
    }
    let error = made.write(folder.path()).unwrap_err().to_string();
    assert!(error.contains("holds a data set already"), "{error}");
    let error = Synthetic { shape: [8, 64, 64], ..made }.write(folder.path()).unwrap_err().to_string();
    assert!(error.contains("[8, 64, 64]") && error.contains("16x24x24"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_case_and_another_seed_another() {
    let made = Synthetic { shape: [16, 24, 24], ..Synthetic::default() };
    assert_eq!(made.case(3), made.case(3));
    assert_ne!(made.case(3).0, made.case(4).0);
    assert_ne!(made.case(3).0, Synthetic { seed: 2, ..made }.case(3).0);
}

#[test]
fn brightness_alone_does_not_find_the_lesions_and_shape_does_better() {
    let made = Synthetic::default();
    let (mut bright, mut compact, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..3 {
        let (image, labels) = made.case(index);
        let image: Vec<f32> = image.into_iter().map(f32::from).collect();
        compact.extend(compactness(&image, made.shape));
        bright.extend(image);
        all.extend(labels);
    }
    let (bright, compact) = (best_f1(&bright, &all), best_f1(&compact, &all));
    assert!(bright < 0.5, "F1 by brightness {bright}");
    assert!(compact > bright + 0.15, "F1 by shape {compact}, by brightness {bright}");
}
