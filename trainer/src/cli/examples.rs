//! What `--help` shows of each command in use.

/// Of each command that has any, lines to type and what they are for.
pub(super) const EXAMPLES: [(&str, &[(&str, &str)]); 14] = [
    (
        "demo",
        &[
            ("trainer demo", "into a new folder below ./runs"),
            ("trainer demo --out RUN --seed 1", "into RUN, with other volumes"),
        ],
    ),
    (
        "inspect",
        &[
            ("trainer inspect DATA", "tables of cases and classes"),
            ("trainer inspect DATA --json FOUND.json", "and for a program"),
        ],
    ),
    (
        "verify",
        &[("trainer verify DATA", "every fault with its remedy; exit code 1 where training would refuse")],
    ),
    (
        "convert",
        &[
            (
                "trainer convert --images SCANS --masks MASKS --out Dataset001_Name",
                "two folders, paired by name",
            ),
            (
                "trainer convert --images SCANS --masks MASKS --out Dataset001_Name --label 255=1 --names lesion",
                "masks of 0 and 255",
            ),
            ("trainer convert --csv PAIRS.csv --out Dataset001_Name --dry-run", "a table; only looks"),
        ],
    ),
    (
        "info",
        &[("trainer info SCAN.nii.gz", "of one file"), ("trainer info A.nrrd B.tif --json", "of several")],
    ),
    (
        "explain",
        &[
            ("trainer explain DATA", "by the labels of a data set"),
            ("trainer explain DATA --pos-weight 0.8", "what this weight would do"),
            ("trainer explain --positive 3932 --negative 1962148", "by bare counts"),
        ],
    ),
    (
        "plan",
        &[
            ("trainer plan DATA", "patch, network, memory and time"),
            ("trainer plan DATA --set model.base_channels=32", "with another setting"),
            ("trainer plan DATA --ranks 8 --link 100GbE", "what it pays to share each batch by MPI"),
            ("trainer plan DATA --write MY.toml", "all choices, to be edited and given to --config"),
        ],
    ),
    (
        "train",
        &[
            ("trainer train DATA --out RUN", "the defaults"),
            ("trainer train DATA --out RUN --time 2h", "as long as there is time for"),
            (
                "trainer train DATA --out RUN --set loss.name=dice_bce --set optimizer.lr=0.001",
                "other settings",
            ),
            ("trainer train DATA --out RUN --all-folds", "a cross-validation, with few cases"),
            ("trainer train DATA --out RUN --resume", "go on where it was stopped"),
            (
                "trainer train DATA --fold 0 --out RUNS/fold_0 --continue",
                "begin or go on: for a job that is started again",
            ),
            ("trainer train DATA --out RUN --resume --epochs 16", "more epochs for a run that has ended"),
            ("trainer train DATA --out RUN2 --init RUN/model.safetensors", "fine-tune"),
        ],
    ),
    (
        "watch",
        &[
            ("trainer watch RUN", "until it ends, or once where it has"),
            ("trainer watch runs", "every run below the folder runs"),
            ("trainer watch RUN --json", "for a program"),
        ],
    ),
    (
        "study",
        &[
            ("trainer study DATA --out STUDY", "all arms, two seeds each"),
            ("trainer study DATA --out STUDY --arms bce,dice_bce --seeds 3 --epochs 4", "two arms"),
        ],
    ),
    (
        "predict",
        &[
            ("trainer predict RUN IMAGES --out MASKS", "a folder of images"),
            ("trainer predict RUN/model.safetensors SCAN.nii.gz --out MASKS", "a model by itself, one image"),
            (
                "trainer predict RUN IMAGES --out MASKS --threshold 0.3 --save-probabilities",
                "more foreground",
            ),
            ("trainer predict RUN IMAGES --out MASKS --ensemble RUN2", "two runs together"),
            (
                "trainer predict RUN IMAGES --out MASKS --share 0/4",
                "the first of four tasks that share them out",
            ),
        ],
    ),
    (
        "evaluate",
        &[
            ("trainer evaluate --predictions MASKS --labels LABELS", "tables"),
            (
                "trainer evaluate --predictions MASKS --labels LABELS --merge 1,2 --json FOUND.json",
                "1 and 2 as one",
            ),
        ],
    ),
    (
        "report",
        &[
            ("trainer report RUN", "the page of a run anew"),
            ("trainer report RUN RUN2 --out BOTH.html", "two runs side by side"),
        ],
    ),
    (
        "completions",
        &[
            ("trainer completions bash > ~/.local/share/bash-completion/completions/trainer", "for bash"),
            ("trainer completions fish > ~/.config/fish/completions/trainer.fish", "for fish"),
        ],
    ),
];

/// From files to masks, for `trainer --help`.
pub(super) const FIRST_STEPS: &str = "\
First steps with images of your own:
  trainer convert --images SCANS --masks MASKS --out Dataset001_Name
  trainer verify Dataset001_Name
  trainer train Dataset001_Name --out RUN
  trainer predict RUN IMAGES --out PREDICTED
  trainer evaluate --predictions PREDICTED --labels LABELS
`trainer COMMAND --help` shows each command with examples.";

/// The examples of a command as its help shows them, each below what it is for.
pub(super) fn of(command: &str) -> Option<String> {
    let (_, examples) = EXAMPLES.iter().find(|(name, _)| *name == command)?;
    let lines = examples.iter().map(|(line, what)| format!("  # {what}\n  {line}"));
    Some(format!("Examples:\n{}", lines.collect::<Vec<_>>().join("\n")))
}
