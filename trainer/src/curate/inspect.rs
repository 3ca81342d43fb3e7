//! A data set at a glance: what is in it, how rare its classes are, and what to beware of.

mod page;

use rayon::prelude::*;
use serde::Serialize;

use crate::Result;
use crate::dataset::{CaseFiles, Dataset};
use crate::preprocess::{CaseReader, quantile};

/// Quantiles are exact up to this many voxels per channel, and those of every k-th voxel beyond.
const MOST_SAMPLES: usize = 1 << 24;

/// What [`inspect`] found. Its `Display` is a page for reading.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Inspection {
    /// The data set's name, or its folder's.
    pub name: String,
    /// The channels' names.
    pub channels: Vec<String>,
    /// The classes' names by value.
    pub classes: Vec<String>,
    /// The file's axis (`x`, `y` or `z`) that is d.
    pub depth_axis: char,
    /// The training cases.
    pub training: Side,
    /// The test cases.
    pub test: Side,
    /// What to beware of.
    pub warnings: Vec<String>,
}

/// One side of the data set.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Side {
    /// Its cases by name.
    pub cases: Vec<InspectedCase>,
    /// Per channel, over all voxels of all cases.
    pub intensities: Vec<Intensities>,
    /// Per class, over the labelled voxels that are not ignored.
    pub classes: Vec<ClassCount>,
    /// Voxels that are ignored.
    pub ignored: u64,
    /// The labelled cases without a foreground voxel.
    pub empty_cases: Vec<String>,
    /// Background voxels per foreground voxel; `None` without foreground.
    pub neg_per_pos: Option<f64>,
}

/// One case.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InspectedCase {
    /// Its name.
    pub name: String,
    /// Voxels along d, h, w.
    pub shape: [usize; 3],
    /// Millimetres along d, h, w.
    pub spacing: [f32; 3],
    /// Voxels of each class; `None` without labels.
    pub class_voxels: Option<Vec<u64>>,
}

/// Statistics of one channel.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Intensities {
    pub channel: String,
    pub min: f64,
    /// 0.5 % quantile.
    pub p00_5: f64,
    pub median: f64,
    pub mean: f64,
    /// Standard deviation of the population.
    pub sd: f64,
    /// 99.5 % quantile.
    pub p99_5: f64,
    pub max: f64,
}

/// How often a class occurs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ClassCount {
    /// Its name.
    pub name: String,
    /// Its voxels.
    pub voxels: u64,
    /// Its share of the counted voxels.
    pub fraction: f64,
    /// Voxels of all other classes per voxel of this one, the `pos_weight` that balances them; `None` where the class
    /// does not occur.
    pub neg_per_pos: Option<f64>,
}

/// Reads every case once.
///
/// # Errors
/// As [`crate::preprocess::CaseReader::read`].
pub fn inspect(set: &Dataset) -> Result<Inspection> {
    let order: [usize; 3] = CaseReader::native(set).order.into();
    let folder = set.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let name = if set.description.name.is_empty() { folder } else { set.description.name.clone() };
    let mut found = Inspection {
        name,
        channels: set.description.channel_names.clone(),
        classes: set.description.classes.clone(),
        depth_axis: ['z', 'y', 'x'][order[0]],
        training: side(set, &set.training)?,
        test: side(set, &set.test)?,
        warnings: Vec::new(),
    };
    found.warnings = warnings(set, &found)?;
    Ok(found)
}

/// What one channel of one case adds: count, mean, Σ(x − mean)², extremes and samples.
struct Part {
    n: f64,
    mean: f64,
    m2: f64,
    min: f32,
    max: f32,
    samples: Vec<f32>,
}

fn part(values: impl Iterator<Item = f32> + Clone, stride: usize) -> Part {
    let n = values.clone().count() as f64;
    let (mean, sd) = crate::preprocess::mean_sd(values.clone());
    Part {
        n,
        mean,
        m2: sd * sd * n,
        min: values.clone().fold(f32::INFINITY, f32::min),
        max: values.clone().fold(f32::NEG_INFINITY, f32::max),
        samples: {
            let mut samples = memory::with_capacity((n as usize).div_ceil(stride));
            samples.extend(values.step_by(stride));
            samples
        },
    }
}

fn side(set: &Dataset, files: &[CaseFiles]) -> Result<Side> {
    let channels = &set.description.channel_names;
    let sizes = files
        .iter()
        .map(|f| Ok(volumes::read_header(&f.images[0])?.size().iter().product()))
        .collect::<Result<Vec<usize>>>()?;
    let stride = sizes.iter().sum::<usize>().div_ceil(MOST_SAMPLES).max(1);
    let (classes, reader) = (set.description.num_classes(), CaseReader::native(set));
    let read = |files: &CaseFiles| {
        let case = reader.read(files)?;
        let (counts, ignored) = case.class_counts(classes);
        let parts: Vec<Part> = (0..channels.len())
            .map(|c| part(case.image.iter().skip(c).step_by(channels.len()).copied(), stride))
            .collect();
        let class_voxels = case.labels.is_some().then_some(counts);
        let summary =
            InspectedCase { name: case.name, shape: case.shape, spacing: case.spacing, class_voxels };
        Ok((summary, ignored, parts))
    };
    let read: Vec<_> = files.par_iter().map(read).collect::<Result<_>>()?;
    let mut parts: Vec<Vec<Part>> = channels.iter().map(|_| Vec::new()).collect();
    let (mut cases, mut ignored) = (Vec::new(), 0);
    for (summary, ignored_here, of_case) in read {
        cases.push(summary);
        ignored += ignored_here;
        parts.iter_mut().zip(of_case).for_each(|(all, one)| all.push(one));
    }
    let intensities = match cases.is_empty() {
        true => Vec::new(),
        false => channels.iter().zip(parts).map(|(name, parts)| merge(name, parts)).collect(),
    };
    Ok(count(set, cases, intensities, ignored))
}

fn count(set: &Dataset, cases: Vec<InspectedCase>, intensities: Vec<Intensities>, ignored: u64) -> Side {
    let labelled = || cases.iter().filter_map(|c| Some((c, c.class_voxels.as_ref()?)));
    let total: u64 = labelled().flat_map(|(_, counts)| counts).sum();
    let per = |rest: u64, n: u64| (n > 0).then(|| rest as f64 / n as f64);
    let class = |(value, name): (usize, &String)| {
        let voxels = labelled().map(|(_, counts)| counts[value]).sum();
        let fraction = if total == 0 { 0.0 } else { voxels as f64 / total as f64 };
        ClassCount { name: name.clone(), voxels, fraction, neg_per_pos: per(total - voxels, voxels) }
    };
    let classes: Vec<ClassCount> = set.description.classes.iter().enumerate().map(class).collect();
    let empty = labelled().filter(|(_, counts)| counts[1..].iter().all(|&n| n == 0));
    Side {
        empty_cases: empty.map(|(case, _)| case.name.clone()).collect(),
        neg_per_pos: per(classes[0].voxels, total - classes[0].voxels),
        cases,
        intensities,
        classes,
        ignored,
    }
}

/// Means and deviations are merged by Chan's formula, in the cases' order.
fn merge(channel: &str, parts: Vec<Part>) -> Intensities {
    let (mut n, mut mean, mut m2) = (0.0, 0.0, 0.0);
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    let mut samples = memory::with_capacity(parts.iter().map(|p| p.samples.len()).sum());
    for part in parts {
        let (delta, together) = (part.mean - mean, n + part.n);
        m2 += part.m2 + delta * delta * n * part.n / together;
        mean += delta * part.n / together;
        n = together;
        min = min.min(part.min);
        max = max.max(part.max);
        samples.extend(part.samples);
    }
    samples.par_sort_unstable_by(f32::total_cmp);
    Intensities {
        channel: channel.to_owned(),
        min: f64::from(min),
        p00_5: quantile(&samples, 0.005),
        median: quantile(&samples, 0.5),
        mean,
        sd: (m2 / n).sqrt(),
        p99_5: quantile(&samples, 0.995),
        max: f64::from(max),
    }
}

fn warnings(set: &Dataset, found: &Inspection) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let training = &found.training;
    match training.cases.len() {
        1 => warnings.push(
            "one training case: nothing is left to validate on, and scores on it say nothing of others"
                .into(),
        ),
        n @ 2..=9 => {
            warnings.push(format!("only {n} training cases: scores will vary much from case to case"));
        }
        _ => {}
    }
    for axis in 0..3 {
        let along = training.cases.iter().map(|c| c.spacing[axis]);
        let (low, high) = along.fold((f32::INFINITY, 0.0f32), |(l, h), s| (l.min(s), h.max(s)));
        if high > 1.1 * low {
            let name = ["d", "h", "w"][axis];
            warnings.push(format!("spacings along {name} range from {low} to {high} mm: the cases are resampled to one spacing (data.spacing)"));
        }
    }
    let ratio = |c: &InspectedCase| c.spacing[0] / c.spacing[1].min(c.spacing[2]);
    let coarsest = training.cases.iter().map(ratio).fold(0.0, f32::max);
    if coarsest >= 2.0 {
        warnings.push(format!("voxels are up to {coarsest:.1} times as long along d as within a plane: pool and convolve less along d in the first levels"));
    }
    for class in training.classes.iter().skip(1).filter(|c| c.voxels == 0) {
        warnings.push(format!(
            "class {:?} does not occur in training: neg/pos is undefined and nothing can be learnt of it",
            class.name
        ));
    }
    let foreground: f64 = training.classes.iter().skip(1).map(|c| c.fraction).sum();
    if foreground > 0.0 && foreground < 0.01 {
        warnings.push(format!(
            "foreground is {:.3} % of the training voxels: weigh it, or sample patches that hold some",
            100.0 * foreground
        ));
    }
    for channel in training.intensities.iter().filter(|i| i.min == i.max) {
        warnings
            .push(format!("channel {:?} is constant ({}): it carries nothing", channel.channel, channel.min));
    }
    warnings.extend(set.notes.iter().cloned());
    Ok(warnings)
}
