//! Laws of `trainer convert`: what it writes is what was there, every fault is listed at once, and a folder appears whole
//! or not at all.

mod contents;
mod faults;
mod formats;
mod ignore;
mod pairs;
mod places;
mod prefixes;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::{TempDir, tempdir};
use trainer::curate::convert::{Conversion, MaskPlacement, Pairs, Stage, Step};
use trainer::dataset::Dataset;
use volumes::Voxel;
use volumes::nifti::{self, NiftiHeader};

use crate::support::{made, small};

/// A folder with images and masks in it.
struct Place(TempDir);

/// What the program said.
struct Said {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Of the folders `images` and `masks` into `out`, with one class.
    fn conversion(&self) -> Conversion {
        Conversion {
            pairs: Pairs::Folders { images: self.path("images"), masks: self.path("masks"), test: vec![] },
            out: self.path("out"),
            labels: vec![],
            names: vec!["x".into()],
            channel_names: vec![],
            spacing: None,
            geometry: MaskPlacement::Agree,
        }
    }

    /// Writes a NIfTI volume of [`SHAPE`].
    fn put<V: Voxel>(&self, name: &str, value: impl Fn(usize) -> V) {
        self.put_at(name, &header(), value);
    }

    fn put_at<V: Voxel>(&self, name: &str, header: &NiftiHeader, value: impl Fn(usize) -> V) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        nifti::write(path, header, &(0..header.len()).map(value).collect::<Vec<V>>()).unwrap();
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Runs the program here.
    fn say(&self, args: &[&str]) -> Said {
        let mut program = assert_cmd::Command::new(env!("CARGO_BIN_EXE_trainer"));
        let output = program.arg("convert").args(args).current_dir(self.0.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said =
            Said { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        let left: Vec<String> = self.names().into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(left.is_empty(), "{left:?} is left");
        said
    }

    /// What it prints where it makes `out` of these arguments; the folder then opens.
    #[track_caller]
    fn converts(&self, args: &[&str]) -> String {
        let said = self.say(&[args, &["--out", "out"]].concat());
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
        Dataset::open(self.path("out")).unwrap();
        said.stdout
    }

    /// What it prints where it refuses; then there is no `out`.
    #[track_caller]
    fn refuses(&self, args: &[&str]) -> (String, String) {
        let said = self.say(&[args, &["--out", "out"]].concat());
        assert_eq!(said.code, Some(1), "{}{}", said.stdout, said.stderr);
        assert!(!self.path("out").exists());
        (said.stdout, said.stderr)
    }

    /// The names in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The files of `out`, sorted.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        for folder in fs::read_dir(self.path("out")).unwrap() {
            let folder = folder.unwrap().path();
            let inside = folder.is_dir().then(|| fs::read_dir(&folder).unwrap()).into_iter().flatten();
            files.extend(inside.map(|entry| entry.unwrap().path()));
            files.extend(Some(folder).filter(|path| path.is_file()));
        }
        let root = self.path("out");
        let short = |path: &PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        let mut files: Vec<String> = files.iter().map(short).collect();
        files.sort();
        files
    }
}

const FOLDERS: [&str; 4] = ["--images", "images", "--masks", "masks"];
const SHAPE: [usize; 3] = [6, 5, 4];

fn header() -> NiftiHeader {
    NiftiHeader::new(SHAPE, [1.0, 1.5, 3.0])
}

fn image(voxel: usize) -> i16 {
    (small::noise(voxel) * 500.0) as i16
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Two cases, whose masks hold 0 and 1.
fn good() -> Place {
    let place = Place::new();
    for (case, name) in ["a", "b"].into_iter().enumerate() {
        place.put(&format!("images/{name}.nii.gz"), |i| image(i + 1000 * case));
        place.put(&format!("masks/{name}.nii.gz"), |i| u8::from(i % 7 == case));
    }
    place
}

#[test]
fn it_ends_with_what_to_type_next() {
    let place = good();
    let printed = place.converts(&FOLDERS);
    for line in ["read a (1 of 2)", "read b (2 of 2)", "wrote b (2 of 2)", "0 errors, 0 warnings"] {
        assert!(printed.lines().any(|l| l == line), "{line} is missing:\n{printed}");
    }
    assert!(
        printed.contains(" inspect out\n") && printed.ends_with(" train out --out MY_RUN\n"),
        "{printed}"
    );
    let files = ["imagesTr/a_0000", "imagesTr/b_0000", "labelsTr/a", "labelsTr/b"];
    let files = files.map(|name| format!("{name}.nii.gz"));
    assert_eq!(place.files(), [&["dataset.json".to_owned()][..], &files].concat());
    let made = json(&place.path("out/dataset.json"));
    let want = serde_json::json!({
        "name": "out", "channel_names": {"0": "channel_0"}, "labels": {"background": 0, "foreground": 1},
        "file_ending": ".nii.gz", "numTraining": 2,
    });
    assert_eq!(made, want);
    // The same folders give the same bytes.
    let first: Vec<Vec<u8>> =
        place.files().iter().map(|f| fs::read(place.path("out").join(f)).unwrap()).collect();
    fs::remove_dir_all(place.path("out")).unwrap();
    place.converts(&FOLDERS);
    let second: Vec<Vec<u8>> =
        place.files().iter().map(|f| fs::read(place.path("out").join(f)).unwrap()).collect();
    assert_eq!(first, second);
}

#[test]
fn a_dry_run_lists_the_files_and_writes_none() {
    let place = good();
    let said = place.say(&[&FOLDERS[..], &["--out", "out", "--dry-run"]].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let listed = "imagesTr/a_0000.nii.gz  <- images/a.nii.gz  (int16, 6x5x4 voxels of 1x1.5x3 mm)";
    assert!(said.stdout.lines().any(|line| line == listed), "{}", said.stdout);
    let names = |text: &str| -> Vec<String> {
        let files = text.lines().skip_while(|line| *line != "dataset.json");
        files
            .filter(|line| line.contains("<-"))
            .map(|line| line.split_once(' ').unwrap().0.to_owned())
            .collect()
    };
    assert!(!place.path("out").exists());
    place.converts(&FOLDERS);
    let mut planned = [vec!["dataset.json".to_owned()], names(&said.stdout)].concat();
    planned.sort();
    assert_eq!(planned, place.files());
}

#[test]
fn a_folder_that_exists_is_refused_and_kept() {
    let place = good();
    place.write("out/kept.txt", "kept");
    let said = place.say(&[&FOLDERS[..], &["--out", "out"]].concat());
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""));
    assert_eq!(said.stderr, "error: out: exists already; name a new folder, or take it away\n");
    assert_eq!(place.files(), ["kept.txt"]);
    assert_eq!(fs::read_to_string(place.path("out/kept.txt")).unwrap(), "kept");
}

/// The conversion of the folders of [`good`].
fn conversion(place: &Place) -> Conversion {
    Conversion {
        pairs: Pairs::Folders { images: place.path("images"), masks: place.path("masks"), test: vec![] },
        out: place.path("out"),
        labels: vec![],
        names: vec![],
        channel_names: vec![],
        spacing: None,
        geometry: MaskPlacement::Agree,
    }
}

#[test]
fn work_that_is_ended_or_fails_half_way_leaves_nothing() {
    let place = good();
    let conversion = conversion(&place);
    let checked = conversion.check(&mut |_| true).unwrap().unwrap();
    for last in ["a", "b"] {
        let mut seen = Vec::new();
        let written = checked.write(&mut |step: Step<'_>| {
            assert_eq!((step.stage, step.total), (Stage::Write, 2));
            seen.push(step.case.to_owned());
            step.case != last
        });
        assert!(written.unwrap().is_none());
        assert_eq!(seen.last().unwrap(), last);
        assert_eq!(place.names().len(), 2, "{:?}", place.names());
    }
    // A file that is another one than was checked.
    place.put("masks/b.nii.gz", |_| 9u8);
    let error = checked.write(&mut |_| true).unwrap_err().to_string();
    assert!(error.ends_with("masks/b.nii.gz: changed while it was converted; convert again"), "{error}");
    place.put_at("images/a.nii.gz", &NiftiHeader::new([6, 5, 3], [1.0; 3]), image);
    let error = checked.write(&mut |_| true).unwrap_err().to_string();
    assert!(error.ends_with("images/a.nii.gz: changed while it was converted; convert again"), "{error}");
    assert_eq!(place.names().len(), 2, "{:?}", place.names());
    // What was found wrong is not written by whoever tries.
    let checked = conversion.check(&mut |_| true).unwrap().unwrap();
    let error = checked.write(&mut |_| true).unwrap_err().to_string();
    assert!(error.contains("out: cannot be written for 2 errors; the first is"), "{error}");
    assert_eq!(place.names().len(), 2, "{:?}", place.names());
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing() {
    let place = good();
    // More lines than a pipe holds, so that the program cannot be through when the signal comes.
    let rows: String = (0..6000).map(|i| format!("images/a.nii.gz,masks/a.nii.gz,case_{i}\n")).collect();
    place.write("pairs.csv", format!("image,mask,case\n{rows}"));
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(["convert", "--csv", "pairs.csv", "--out", "out"])
        .current_dir(place.0.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "read case_0 (1 of 6000)");
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while line.matches('\n').count() < 2 {
        assert!(said.read_line(&mut line).unwrap() > 0, "{line}");
    }
    assert_eq!(line, "\nstopping after the current step; once more to stop at once\n");
    assert_eq!(lines.map(Result::unwrap).last().unwrap(), "stopped; nothing is written");
    said.read_to_string(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{line}");
    let mut names = place.names();
    names.sort();
    assert_eq!(names, ["images", "masks", "pairs.csv"]);
}
