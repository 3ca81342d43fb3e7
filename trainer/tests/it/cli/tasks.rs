//! Every command of the README's tasks runs, in the order in which it stands there.

use std::fs;
use std::process::Command;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tempfile::tempdir;
use volumes::nifti::{self, NiftiHeader};
use volumes::{Header, diagonal};

use crate::support::small;

const README: &str = include_str!("../../../README.md");

/// The commands of all blocks of shell among the tasks, without the program's name.
fn commands() -> Vec<Vec<String>> {
    let tasks = README.split("\n## ").find(|section| section.starts_with("Tasks\n")).unwrap();
    let blocks = tasks.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.trim().is_empty());
    let words = |line: &str| -> Vec<String> {
        let line = line.strip_prefix("trainer ").unwrap_or_else(|| panic!("{line}"));
        // Quotes are around whole words.
        let parts = line.split('"').enumerate();
        parts
            .flat_map(|(i, part)| match i % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
                _ => vec![part.to_owned()],
            })
            .collect()
    };
    lines.map(words).collect()
}

#[test]
fn every_command_of_the_tasks_runs() {
    let place = tempdir().unwrap();
    let (shape, spacing) = (small::SHAPE, [3.0, 1.5, 1.0]);
    let [d, h, w] = shape;
    for folder in ["SCANS", "MASKS", "SPARSE"] {
        fs::create_dir(place.path().join(folder)).unwrap();
    }
    for case in 0..4u64 {
        let (image, truth) = synthetic_case(shape, case);
        let size = [w, h, d];
        let header = Header::new(&size, diagonal([spacing[2], spacing[1], spacing[0]]));
        let write = |folder: &str, voxels: &[u8]| {
            let path = place.path().join(folder).join(format!("scan{case}.nrrd"));
            volumes::write(&path, &header, voxels).unwrap();
        };
        nifti::write(
            place.path().join(format!("SCANS/scan{case}.nii.gz")),
            &NiftiHeader::new(size, [spacing[2], spacing[1], spacing[0]]),
            &image,
        )
        .unwrap();
        let full: Vec<u8> = truth.iter().map(|&label| if label > 0 { 255 } else { 0 }).collect();
        // Of three slices one is annotated.
        let is_annotated = |index: usize| (index / (h * w)).is_multiple_of(3);
        let sparse: Vec<u8> =
            full.iter().enumerate().map(|(i, &label)| if is_annotated(i) { label } else { 2 }).collect();
        write("MASKS", &full);
        write("SPARSE", &sparse);
    }
    for mut words in commands() {
        if words[0] == "train" && !words.contains(&"--resume".to_owned()) {
            for set in small::TINY.iter().filter(|set| !set.starts_with("training.epochs")) {
                words.extend(["--set".to_owned(), (*set).to_owned()]);
            }
        }
        let output = Command::new(env!("CARGO_BIN_EXE_trainer"))
            .args(&words)
            .current_dir(place.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}\n{said}{}", String::from_utf8_lossy(&output.stdout));
    }
    for file in ["RUN/report.html", "PREDICTED/report.html", "FOLDS/report.html", "both.html"] {
        assert!(place.path().join(file).is_file(), "{file}");
    }
}

/// Intensities, and labels of a bright block.
fn synthetic_case([d, h, w]: [usize; 3], case: u64) -> (Vec<f32>, Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(case);
    let truth: Vec<u8> = (0..d * h * w)
        .map(|i| {
            let (z, y, x) = (i / (h * w), i / w % h, i % w);
            u8::from((2..5).contains(&z) && (4..8).contains(&y) && (5..9 + case as usize).contains(&x))
        })
        .collect();
    let image = truth.iter().map(|&label| {
        let noise: f32 = rand::RngExt::random_range(&mut rng, -1.0..1.0);
        f32::from(label) * 5.0 + noise
    });
    (image.collect(), truth)
}
