//! The command line: what can be typed, and nothing of what it does.

mod convert;
mod examples;
mod parse;
mod train;
mod values;
mod watch;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::Mirror;
use crate::report::{Console, Verbosity};
use crate::run::folder::Which;
use crate::training::Link;

pub use convert::Convert;
pub use parse::{command, parse};
pub use train::{Loading, Train};
pub use values::{Labels, Share, Spacing};
use values::{labels, number, overlap, share, spacing, whole};
pub use watch::Watch;

/// Trains 3-D segmentation networks on volumes of your own, on the CPU.
#[derive(Debug, Parser)]
#[command(name = "trainer", version = version(), about, max_term_width = 110)]
pub struct Cli {
    /// Print warnings, results and last lines alone.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Printing")]
    pub quiet: bool,
    /// Print a line for each batch, too.
    #[arg(short, long, global = true, help_heading = "Printing")]
    pub verbose: bool,
    /// What to do; without it `demo`, which says what it makes.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// How the program is to print.
    pub fn console(&self) -> Console {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (false, false) => Verbosity::Normal,
            (false, true) => Verbosity::Verbose,
        };
        let json = match &self.command {
            Some(Command::Train(train)) => train.json,
            Some(Command::Explain(explain)) => explain.json.as_deref().is_some_and(is_stdout),
            _ => false,
        };
        Console { verbosity, json, plain: false }
    }
}

/// Whether a file's name stands for standard output.
pub(crate) fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a small data set of volumes with tiny lesions, train on it for about a minute, and show the result.
    Demo(Demo),
    /// Say what a data set holds: shapes, spacings, intensities, and how rare each class is.
    Inspect(Inspect),
    /// List everything that is wrong with a data set, with the remedy; it ends with 1 where training would refuse.
    Verify(Verify),
    /// Make an nnU-Net folder of images and masks in any format; all that is wrong with them is listed before it is made.
    Convert(Box<Convert>),
    /// Say what files hold: shape, type, spacing, affine, orientation, values. NIfTI, NRRD, MetaImage, NumPy, TIFF, PNG.
    Info(Info),
    /// Say what a weight will do to recall and precision, before training: from a data set's labels or from bare counts.
    Explain(Explain),
    /// Say what training would do with a data set, and whether its memory suffices, before anything is trained.
    Plan(Plan),
    /// Train a network on an nnU-Net folder.
    Train(Box<Train>),
    /// Show a run that goes on or has ended: how far it is, its loss, its validations, and what to type next.
    Watch(Watch),
    /// Train arms that differ in the loss alone, and say which differences are more than noise.
    Study(Study),
    /// Write masks for images with a trained network.
    Predict(Predict),
    /// Compare masks with labels: Dice, precision, recall, surface distances and objects for each case and class.
    Evaluate(Evaluate),
    /// Make the page of a run anew, or set several runs side by side.
    Report(Report),
    /// Print the whole default configuration with a comment on every key.
    Config,
    /// Print what makes a shell complete commands and flags.
    Completions(Completions),
}

/// `trainer demo`
#[derive(Clone, Debug, Default, Args)]
pub struct Demo {
    /// The run folder; a new one under ./runs by default.
    #[arg(long, value_name = "RUN")]
    pub out: Option<PathBuf>,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 0, value_parser = whole::<u64>)]
    pub seed: u64,
    /// 0: all that are available.
    #[arg(long, default_value_t = 0, value_parser = whole::<usize>)]
    pub threads: usize,
}

/// `trainer inspect`
#[derive(Clone, Debug, Args)]
pub struct Inspect {
    /// An nnU-Net folder: dataset.json, imagesTr, labelsTr.
    pub dataset: PathBuf,
    /// Also write the figures as JSON; with -, print them instead.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `trainer verify`
#[derive(Clone, Debug, Args)]
pub struct Verify {
    /// An nnU-Net folder: dataset.json, imagesTr, labelsTr.
    pub dataset: PathBuf,
    /// Also write the findings as JSON; with -, print them instead.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `trainer info`
#[derive(Clone, Debug, Args)]
pub struct Info {
    /// Volumes (.nii, .nii.gz, .hdr, .nrrd, .nhdr, .mha, .mhd, .npy, .npz, .tif) or folders of PNG slices.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print a JSON array with one object a file instead.
    #[arg(long)]
    pub json: bool,
}

/// `trainer explain`
#[derive(Clone, Debug, Args)]
#[command(
    override_usage = "trainer explain [OPTIONS] <DATASET>\n       trainer explain [OPTIONS] --positive <N> --negative <N>"
)]
pub struct Explain {
    /// An nnU-Net folder; or give --positive and --negative.
    #[arg(required_unless_present_any = ["positive", "negative"], conflicts_with_all = ["positive", "negative"])]
    pub dataset: Option<PathBuf>,
    /// Positive voxels, instead of a data set.
    #[arg(long, value_name = "N", requires = "negative", value_parser = whole::<u64>)]
    pub positive: Option<u64>,
    /// Negative voxels, instead of a data set.
    #[arg(long, value_name = "N", requires = "positive", value_parser = whole::<u64>)]
    pub negative: Option<u64>,
    /// The loss to explain, as in the configuration: bce, dice_bce, focal, …; auto is what `train` takes by default.
    #[arg(long, default_value = "auto")]
    pub loss: String,
    /// Says what this weight would do.
    #[arg(long, value_name = "P", value_parser = number)]
    pub pos_weight: Option<f64>,
    /// The share of patches that are placed around foreground; data.foreground_share by default.
    #[arg(long, value_name = "F", requires = "dataset", value_parser = number)]
    pub foreground_fraction: Option<f64>,
    /// Also write the numbers as JSON; with -, print them instead.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where cases are kept.
    #[command(flatten)]
    pub loading: Loading,
}

/// `trainer plan`
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// An nnU-Net folder: dataset.json, imagesTr, labelsTr.
    pub dataset: PathBuf,
    /// A TOML file with the keys that differ from `trainer config`.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Sets one key after the file is read.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Reckon with cases in a cache's files, as `trainer train --cache` has them, instead of in memory.
    #[arg(long)]
    pub cached: bool,
    /// Also say what a step takes by up to so many processes, or ranks, that share each batch by MPI, and how many pay.
    #[arg(long, value_name = "K", value_parser = whole::<usize>)]
    pub ranks: Option<usize>,
    /// The link between the machines of ranks.
    #[arg(long, value_enum, default_value = "10GbE", requires = "ranks")]
    pub link: Link,
    /// Print the plan as JSON instead.
    #[arg(long)]
    pub json: bool,
    /// Also write a configuration that holds all that was chosen, to be edited and given to --config.
    #[arg(long, value_name = "FILE.toml")]
    pub write: Option<PathBuf>,
}

/// `trainer study`
#[derive(Clone, Debug, Args)]
pub struct Study {
    /// An nnU-Net folder; all its foreground classes together are called positive.
    pub dataset: PathBuf,
    /// The folder to make; of a study that was stopped, to go on with.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// bce, shares (the class shares handed over as pos_weight), pos_weight, sqrt, dice_bce, focal, cross_entropy; all of
    /// them by default.
    #[arg(long, value_delimiter = ',', value_name = "ARM,…")]
    pub arms: Vec<String>,
    /// Runs of each arm; differences are paired by seed.
    #[arg(long, default_value_t = 2, value_parser = whole::<u64>)]
    pub seeds: u64,
    /// training.epochs
    #[arg(long, value_parser = whole::<usize>)]
    pub epochs: Option<usize>,
    /// The recall that the precise operating point keeps.
    #[arg(long, default_value_t = 0.8, value_name = "R", value_parser = number)]
    pub recall: f64,
    /// A TOML file with the keys that differ from `trainer config`; its loss is replaced by each arm's.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Sets one key after the file is read.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// training.threads; 0: all that are available
    #[arg(long, value_parser = whole::<usize>)]
    pub threads: Option<usize>,
    /// Where cases are kept.
    #[command(flatten)]
    pub loading: Loading,
}

/// `trainer predict`
#[derive(Clone, Debug, Args)]
pub struct Predict {
    /// The run folder of `trainer train`; of --all-folds, whose folds then predict together; or a model.safetensors by
    /// itself.
    pub run: PathBuf,
    /// Images in any format that `info` reads (.nii, .nii.gz, .hdr, .nrrd, .nhdr, .mha, .mhd, .npy, .npz, .tif), folders of PNG
    /// slices, or folders of either; several channels by suffix _0000, _0001, …, or as a fourth axis.
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// The folder for the masks; none that an image lies in. NRRD images have masks in NRRD, NumPy's in .npy, all others in
    /// .nii.gz.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Write over files of the masks' names.
    #[arg(long)]
    pub force: bool,
    /// Voxel sizes in mm of images that do not say (.npy, .npz, .tif, .png); their x, y and z are taken to run to the right,
    /// front and head.
    #[arg(long, value_name = "X,Y,Z", value_parser = spacing, allow_hyphen_values = true)]
    pub spacing: Option<Spacing>,
    /// Predict this share of the images alone, such as 0/4, the first of four: for tasks that share them out. An image is in
    /// the same share whatever the others are, as long as all are named.
    #[arg(long, value_name = "K/N", value_parser = share)]
    pub share: Option<Share>,
    /// A further run to predict with: probabilities are averaged over all runs. Can be given several times.
    #[arg(long, value_name = "RUN")]
    pub ensemble: Vec<PathBuf>,
    /// Average over the mirror images along these axes: none, all, or some of d,h,w; inference.mirror by default. Each axis
    /// doubles the work.
    #[arg(long, value_name = "AXES")]
    pub mirror: Option<Mirror>,
    /// The overlap of neighbouring patches as a share of the patch, from 0 to below 0.95; inference.overlap by default.
    #[arg(long, value_name = "F", value_parser = overlap, allow_hyphen_values = true)]
    pub overlap: Option<f64>,
    /// A voxel is foreground above this calibrated probability; one foreground class only.
    #[arg(long, value_name = "T", value_parser = number)]
    pub threshold: Option<f64>,
    /// Drop connected components of fewer voxels, of each foreground class; inference.min_component by default.
    #[arg(long, value_name = "VOXELS", value_parser = whole::<usize>)]
    pub min_component: Option<usize>,
    /// Keep only the largest connected component of each foreground class; inference.keep_largest by default.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub keep_largest: Option<bool>,
    /// Fill background that one class encloses; inference.fill_holes by default.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub fill_holes: Option<bool>,
    /// Also write the probability of the foreground class, or of each of several classes.
    #[arg(long)]
    pub save_probabilities: bool,
    /// Also write the logits.
    #[arg(long)]
    pub save_logits: bool,
    /// Also write report.html, a page with slices of each image and its mask.
    #[arg(long)]
    pub report: bool,
    /// Which weights; by default the best if there was validation, else the last.
    #[arg(long, value_enum)]
    pub checkpoint: Option<Which>,
    /// 0: all that are available.
    #[arg(long, default_value_t = 0, value_parser = whole::<usize>)]
    pub threads: usize,
}

/// `trainer evaluate`
#[derive(Clone, Debug, Args)]
pub struct Evaluate {
    /// The folder of masks.
    #[arg(long, value_name = "DIR")]
    pub predictions: PathBuf,
    /// The folder of labels with the same names.
    #[arg(long, value_name = "DIR")]
    pub labels: PathBuf,
    /// Count these labels as one class, such as all parts of a tumour. Can be given several times, for other labels.
    #[arg(long, value_name = "A,B,…", value_parser = labels)]
    pub merge: Vec<Labels>,
    /// How far a surface may lie from the other for the surface Dice.
    #[arg(long, value_name = "MM", default_value_t = 1.0, value_parser = number)]
    pub tolerance: f64,
    /// Also write the figures as JSON; with -, print them instead.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `trainer report`
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Run folders of `trainer train`; of --all-folds, the folds side by side.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The page of several runs.
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
}

/// How the program was called, for commands that can be typed next.
pub(crate) fn called() -> String {
    // What `cargo run` says to the programs that it starts.
    if std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == env!("CARGO_PKG_NAME")) {
        return "cargo run -p trainer --".to_owned();
    }
    std::env::args_os().next().map_or_else(|| "trainer".to_owned(), |name| quoted(Path::new(&name)))
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// `trainer completions`
#[derive(Clone, Debug, Args)]
pub struct Completions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Version and instruction set: what a result depends on.
pub fn version() -> String {
    format!("{}, instruction set {}", env!("CARGO_PKG_VERSION"), autograd::simd::active())
}
