//! Laws of the program where memory is limited: it does its work or says in a sentence why not.

use std::fs;
use std::time::Duration;

use volumes::nifti::{self, NiftiHeader};

use super::{Place, Said, small};

/// Runs the program with at most so many kilobytes of addresses; it is ended where it hangs.
fn say_within(kilobytes: usize, args: &[String]) -> Said {
    let output = assert_cmd::Command::new("bash")
        .args(["-c", &format!("ulimit -v {kilobytes} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_trainer")])
        .args(args)
        .timeout(Duration::from_secs(300))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A place with a run, and an image whose voxels take 7 MB in its file and twice that when they are read.
fn with_large_image() -> Place {
    let place = Place::with(small::SHAPE, 1, 2, [2, 1]);
    place.train("run", &[]);
    let shape = [192, 192, 100];
    let voxels: Vec<i16> = (0..shape.iter().product::<usize>()).map(|i| (i % 251) as i16).collect();
    for folder in ["large/images", "large/masks"] {
        fs::create_dir_all(place.path(folder)).unwrap();
    }
    nifti::write(place.path("large/images/big.nii.gz"), &NiftiHeader::new(shape, [1.0; 3]), &voxels).unwrap();
    // Two slabs.
    let labels: Vec<u8> = (0..voxels.len()).map(|i| u8::from(i / (192 * 192) % 50 > 45)).collect();
    nifti::write(place.path("large/masks/big.nii.gz"), &NiftiHeader::new(shape, [1.0; 3]), &labels).unwrap();
    place
}

#[test]
fn an_image_for_which_memory_will_not_suffice_is_refused_by_the_limit_s_name() {
    if !cfg!(target_os = "linux") {
        eprintln!(
            "an_image_for_which_memory_will_not_suffice_is_refused_by_the_limit_s_name: skipped, not Linux"
        );
        return;
    }
    let place = with_large_image();
    let args = [
        "predict",
        &place.text("run"),
        &place.text("large/images"),
        "--out",
        &place.text("masks"),
        "--threads",
        "1",
    ];
    let said = say_within(60_000, &args.map(str::to_owned));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    let line = said.stderr.strip_suffix('\n').unwrap();
    assert!(line.starts_with("error: ") && !line.contains('\n'), "{line}");
    assert!(line.contains("big.nii.gz: predicting this image takes about"), "{line}");
    assert!(line.contains("ulimit -v") && line.contains("raise that limit"), "{line}");
}

#[test]
fn no_limit_of_memory_aborts_or_hangs_a_command() {
    if !cfg!(target_os = "linux") {
        eprintln!("no_limit_of_memory_aborts_or_hangs_a_command: skipped, not Linux");
        return;
    }
    let place = with_large_image();
    let [data, run, images, masks] =
        ["data", "run", "large/images", "large/masks"].map(|name| place.text(name));
    let mut commands = vec![
        vec!["info".to_owned(), format!("{images}/big.nii.gz")],
        vec!["inspect".to_owned(), data],
        ["evaluate", "--predictions", &masks, "--labels", &masks].map(str::to_owned).to_vec(),
    ];
    let mut ends = Vec::new();
    for kilobytes in [50_000, 60_000, 80_000, 120_000, 140_000, 250_000] {
        let out = |kind: &str| place.text(&format!("{kind}{kilobytes}"));
        commands.truncate(3);
        commands.push(
            ["convert", "--images", &images, "--masks", &masks, "--out", &out("set")]
                .map(str::to_owned)
                .to_vec(),
        );
        commands.push(place.training(&format!("run{kilobytes}"), &["--threads", "2"]));
        let predict = ["predict", &run, &images, "--out", &out("masks"), "--threads", "1"];
        // Patches are few, for what is found does not matter.
        let flags = ["--mirror", "none", "--overlap", "0"];
        commands.push([&predict[..], &flags].concat().into_iter().map(str::to_owned).collect());
        for args in &commands {
            let Said { code, stderr, .. } = say_within(kilobytes, args);
            ends.push(code);
            let is_told = match code {
                Some(0) => stderr.is_empty(),
                Some(1) => stderr.starts_with("error: ") && stderr.lines().count() == 1,
                _ => false,
            };
            assert!(is_told, "{kilobytes} kB, {}: {code:?}\n{stderr}", args[0]);
        }
    }
    // Both sides were seen.
    assert!(ends.contains(&Some(0)) && ends.contains(&Some(1)), "{ends:?}");
}
