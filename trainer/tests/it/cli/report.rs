//! Laws of the pages on runs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use trainer::report::{ModelReport, RunLog};

use super::{Place, borrowed, refuses, succeeds};
use crate::support::browser::{browser, shows};
use crate::support::{shared::skipped, small};

/// Three foreground classes, so that charts have several lines.
fn place() -> Place {
    Place::with(small::SHAPE, 1, 3, [4, 0])
}

/// The page without what differs from time to time.
fn timeless(page: &str) -> String {
    let (before, after) = page.split_once("<table id=\"time\">").unwrap();
    before.to_owned() + after.split_once("</table>").unwrap().1
}

#[test]
fn the_page_is_of_the_model_that_predicts_and_can_be_made_anew() {
    let place = place();
    let printed = place.train("run", &["--epochs", "4", "--set", "optimizer.lr=0.02"]);
    let run = place.path("run");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    let report: ModelReport =
        serde_json::from_slice(&fs::read(run.join("checkpoints/best/report.json")).unwrap()).unwrap();
    let log = RunLog::read(&run.join("log.jsonl")).unwrap();
    // The best is the first validation of the highest metric.
    let best = log.validations.iter().map(|v| v.metric.unwrap()).fold(f64::MIN, f64::max);
    let first = log.validations.iter().find(|v| v.metric == Some(best)).unwrap();
    assert_eq!((report.epoch, report.step, report.value), (first.epoch, first.step, Some(best)));
    let sentence =
        format!("Predictions use the model after epoch {} of 4 (step {}, weights ", first.epoch, first.step);
    for text in [&page, &printed] {
        assert!(text.contains(&sentence), "{sentence}\n{text}");
    }
    for (class, logged) in report.classes.iter().zip(&first.classes) {
        assert_eq!((&class.name, class.counts), (&logged.name, logged.counts));
        assert!(page.contains(&format!("{:.4}", class.counts.dice().unwrap())), "{}", class.name);
    }
    // One file, that needs nothing else and runs nothing.
    for (what, times) in
        [("<script", 0), ("src=\"http", 0), ("href=\"http", 0), ("<meta name=\"viewport\"", 1)]
    {
        assert_eq!(page.matches(what).count(), times, "{what}");
    }
    assert!(page.contains("prefers-color-scheme:dark"));
    fs::remove_file(run.join("report.html")).unwrap();
    assert_eq!(
        succeeds(&["report", run.to_str().unwrap()]).trim(),
        run.join("report.html").display().to_string()
    );
    assert_eq!(fs::read_to_string(run.join("report.html")).unwrap(), page);
}

#[test]
fn a_run_that_is_killed_leaves_the_page_of_its_last_validation() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trainer"))
        .args(place.training("run", &["--epochs", "100000"]))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("| epoch   2 |")), "a second epoch begins");
    child.kill().unwrap();
    child.wait().unwrap();
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("Predictions use the model after epoch "), "{page}");
    assert!(page.contains("<table id=\"cases\">"), "{page}");
}

#[test]
fn a_setting_is_said_with_what_set_it() {
    let place = Place::new();
    fs::write(place.path("mine.toml"), "[optimizer]\nweight_decay = 0.01\n").unwrap();
    place
        .train("run", &["--config", &place.text("mine.toml"), "--set", "loss.pos_weight=3", "--epochs", "2"]);
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    let row = |key: &str| {
        let row =
            page.split(&format!("<td class=\"left\">{key}</td>")).nth(1).unwrap_or_else(|| panic!("{key}"));
        row.split("</tr>")
            .next()
            .unwrap()
            .replace("<td class=\"left\">", "")
            .replace("</td>", " ")
            .trim()
            .to_owned()
    };
    assert_eq!(row("optimizer.weight_decay"), format!("0.01 {}", place.text("mine.toml")));
    assert_eq!(row("loss.pos_weight"), "3.0 --set");
    assert_eq!(row("training.epochs"), "2 --epochs");
    assert!(page.contains("pos_weight 3.0000"), "the loss in words");
    // What a run goes on with is said too, and what it began with is not forgotten.
    let (data, run) = (place.text("data"), place.text("run"));
    succeeds(&["train", &data, "--out", &run, "--resume", "--epochs", "3"]);
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("<td class=\"left\">3</td><td class=\"left\">--epochs</td>"), "{page}");
    assert!(page.contains("<td class=\"left\">--set</td>"));
}

#[test]
fn a_resumed_run_has_the_page_of_one_that_was_not_interrupted() {
    let place = place();
    place.train("whole", &["--epochs", "4"]);
    place.train("parts", &["--epochs", "2"]);
    let (data, parts) = (place.text("data"), place.text("parts"));
    succeeds(&["train", &data, "--out", &parts, "--resume", "--epochs", "4"]);
    let report = |run: &str| fs::read(place.path(run).join("checkpoints/best/report.json")).unwrap();
    // The rate of the shorter run falls earlier, so that the runs are the same only where it is constant.
    place.train("constant", &["--epochs", "4", "--set", "schedule.name=constant"]);
    place.train("two", &["--epochs", "2", "--set", "schedule.name=constant"]);
    succeeds(&["train", &data, "--out", &place.text("two"), "--resume", "--epochs", "4"]);
    assert!(report("constant") == report("two"));
    let page = |run: &str| timeless(&fs::read_to_string(place.path(run).join("report.html")).unwrap());
    let rows = |page: &str, id: &str| {
        page.split(&format!("<table id=\"{id}\">"))
            .nth(1)
            .unwrap()
            .split("</table>")
            .next()
            .unwrap()
            .to_owned()
    };
    for id in ["classes", "cases", "sizes", "voxels"] {
        assert_eq!(rows(&page("constant"), id), rows(&page("two"), id), "{id}");
    }
}

#[test]
fn runs_side_by_side_are_told_apart_and_seeds_have_a_mean() {
    let place = place();
    for (run, seed) in [("a", "0"), ("b", "1")] {
        place.train(run, &["--seed", seed]);
    }
    place.train("c", &["--set", "optimizer.lr=0.001"]);
    let runs = ["a", "b", "c"].map(|run| place.text(run));
    let out = place.text("runs.html");
    let mut args = vec!["report"];
    args.extend(runs.iter().map(String::as_str));
    assert!(refuses(&args).contains("--out FILE.html"));
    args.extend(["--out", &out]);
    assert_eq!(succeeds(&args).trim(), out);
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.contains("<table id=\"seeds\">") && page.contains("a, b"), "{page}");
    assert!(page.contains("<td class=\"left\">optimizer.lr</td>"));
    // Made anew, but not over what is somebody else's.
    succeeds(&args);
    fs::write(&out, "mine").unwrap();
    assert!(refuses(&args).contains("is there and no page of this program"));
    assert_eq!(fs::read_to_string(&out).unwrap(), "mine");
    if let Some(browser) = browser() {
        fs::remove_file(&out).unwrap();
        succeeds(&args);
        shows(&browser, &place.path("runs.html"), &["loss", "dice"], &["runs", "seeds", "settings"]);
    }
}

#[test]
fn a_browser_shows_the_page_of_a_run_without_an_error() {
    let Some(browser) = browser() else {
        return skipped("a_browser_shows_the_page_of_a_run_without_an_error", "no chromium here");
    };
    let place = place();
    let args = place.training("run", &["--epochs", "4", "--set", "optimizer.lr=0.02"]);
    succeeds(&borrowed(&args));
    let charts = ["loss", "rate", "dice", "recall", "pr", "reliability-1", "reliability-2"];
    let tables = ["classes", "cases", "sizes", "divided", "voxels", "files", "settings", "time"];
    let elements = shows(&browser, &place.path("run/report.html"), &charts, &tables);
    assert!(elements.contains("data:image/png;base64,"));
}

#[test]
fn no_page_is_made_of_what_is_no_run() {
    let place = Place::new();
    assert!(refuses(&["report", &place.text("data")]).contains("is no run folder"));
    assert!(refuses(&["report", &place.text("nowhere")]).contains("is no run folder"));
}

#[test]
fn predictions_have_a_page_of_slices_where_it_is_asked_for() {
    let place = Place::new();
    place.train("run", &[]);
    let (run, images, masks) = (place.text("run"), place.text("data/imagesTs"), place.text("masks"));
    let args = ["predict", &run, &images, "--out", &masks, "--report"];
    let printed = succeeds(&args);
    let path = place.path("masks/report.html");
    assert!(printed.contains(&format!("slices of 2 masks: {}", path.display())), "{printed}");
    let page = fs::read_to_string(&path).unwrap();
    assert_eq!(page.matches("data:image/png;base64,").count(), 2);
    // It takes the place of nothing unasked.
    for mask in fs::read_dir(place.path("masks")).unwrap().map(|entry| entry.unwrap().path()) {
        if mask != path {
            fs::remove_file(mask).unwrap();
        }
    }
    assert!(refuses(&args).contains("report.html exists already"));
}
