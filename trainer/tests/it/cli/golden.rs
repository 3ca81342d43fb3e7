//! Models that earlier versions of the program wrote are read for ever, and answer as they did.

use std::path::Path;

use super::{refuses, succeeds};

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    folder.join(name).to_str().expect("a path of text").to_owned()
}

fn voxels(path: impl AsRef<Path>) -> Vec<f32> {
    volumes::Stored::read(path).unwrap().to_f32()
}

#[test]
fn runs_of_version_4_give_the_masks_that_they_gave() {
    for run in ["several", "one"] {
        let out = tempfile::tempdir().unwrap();
        let masks = out.path().to_str().unwrap();
        let run = format!("version_4/{run}");
        succeeds(&["predict", &fixture(&run), &fixture("image"), "--out", masks, "--save-probabilities"]);
        let (mask, wanted) =
            (voxels(out.path().join("d.nii.gz")), voxels(fixture(&format!("{run}/d.nii.gz"))));
        // Instruction sets round differently: a voxel at the threshold may fall to the other side.
        let other = mask.iter().zip(&wanted).filter(|(a, b)| a != b).count();
        assert!(other <= 2, "{run}: {other} of {} voxels", mask.len());
        assert!(wanted.iter().any(|&v| v > 0.0));
    }
    let out = tempfile::tempdir().unwrap();
    let masks = out.path().to_str().unwrap();
    succeeds(&[
        "predict",
        &fixture("version_4/one"),
        &fixture("image"),
        "--out",
        masks,
        "--save-probabilities",
    ]);
    let found = voxels(out.path().join("probability/d_first.nii.gz"));
    let wanted = voxels(fixture("version_4/one/d_first.nii.gz"));
    let off = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-4, "probabilities are off by {off}");
}

#[test]
fn a_run_of_version_4_does_not_go_on() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    std::fs::create_dir_all(run.join("checkpoints/last")).unwrap();
    for file in ["state.bin", "weights.safetensors"] {
        let from = fixture(&format!("version_4/one/checkpoints/best/{file}"));
        std::fs::copy(from, run.join("checkpoints/last").join(file)).unwrap();
    }
    let error = refuses(&["train", "anywhere", "--out", run.to_str().unwrap(), "--resume"]);
    assert!(error.contains("written by an earlier version") && error.contains("--init"), "{error}");
}
