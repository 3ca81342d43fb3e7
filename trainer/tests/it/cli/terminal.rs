//! What is seen on a terminal, which `script` of util-linux makes.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};

use super::{Place, small};

/// The program on a pseudo terminal of a kind.
fn start(term: &str, args: &[String]) -> Child {
    let line = format!("{} {}", env!("CARGO_BIN_EXE_trainer"), args.join(" "));
    Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("TERM", term)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script of util-linux is part of every Linux")
}

/// What it shows to its end, which is a success.
fn shown(mut child: Child) -> String {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{text}");
    text
}

#[test]
fn a_terminal_without_a_cursor_has_the_lines_of_a_pipe() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    let piped = place.train("piped", &["--epochs", "2"]);
    let dumb = shown(start("dumb", &place.training("dumb", &["--epochs", "2"])));
    assert!(!dumb.contains('\u{1b}'), "{dumb}");
    // All but times and the folder.
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.contains("| lr") || line.contains("Dice"));
        lines.map(|line| line.split(" | elapsed").next().unwrap().trim_end().to_owned()).collect()
    };
    let wanted = lines(&piped);
    assert!(wanted.iter().filter(|line| line.starts_with("| epoch")).count() == 6, "{piped}");
    assert_eq!(lines(&dumb), wanted);
}

#[test]
fn a_terminal_has_a_bar_and_keeps_the_reports() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    let text = shown(start("xterm", &place.training("run", &["--epochs", "2"])));
    assert!(text.contains("epoch 2 [") && text.contains("\u{1b}["), "{text}");
    for epoch in 1..=2 {
        assert!(text.contains(&format!("epoch {epoch}, on the validation case case_")), "{text}");
    }
}

#[test]
fn a_run_is_watched_until_it_ends() {
    let place = Place::with(small::SHAPE, 1, 2, [2, 0]);
    place.train("run", &[]);
    let (log, lock) = (place.path("run/log.jsonl"), fs::File::open(place.path("run/.lock")).unwrap());
    let whole = fs::read_to_string(&log).unwrap();
    lock.lock().unwrap();
    let kept: usize = whole.split_inclusive('\n').take(2).map(str::len).sum();
    fs::write(&log, &whole[..kept]).unwrap();
    let mut watching = start("xterm", &["watch".to_owned(), place.text("run")]);
    let mut first = [0; 200];
    watching.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    fs::write(&log, &whole).unwrap();
    drop(lock);
    let text = String::from_utf8_lossy(&first).into_owned() + &shown(watching);
    assert!(text.contains("running, epoch 1 of 1, step 1 of 3"), "{text}");
    let last = text.rsplit("\u{1b}[J").next().unwrap();
    assert!(last.contains("done, epoch 1 of 1, step 3 of 3") && last.contains(" predict "), "{text}");
}
