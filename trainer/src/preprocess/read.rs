//! From files to cases: values are checked here, so that what comes after can rely on them.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use volumes::{
    Alignment, AxisOrder, Format, Frame, Grid, Header, Role, Stored, dicom_instead, split_channel,
    split_ending,
};

use super::crop::{background, content, cut};
use super::{Case, CaseSummary, Geometry, Grids, LostForeground, PackedLabels, Preprocessing, Revision};
use crate::config::{Auto, Data, Word};
use crate::dataset::folder::check_headers;
use crate::dataset::listing::{Volumes, folder_of_volumes};
use crate::dataset::names::group;
use crate::dataset::notes::Note;
use crate::dataset::survey::{labels, not_finite};
use crate::dataset::{CaseFiles, Dataset, Description, IGNORE};
use crate::preprocess::common_spacing;
use crate::words::counted;
use crate::{Error, Result};

/// A case may be resampled to this many times its file's voxels; slices a hundred times as thick as pixels stay below.
const MOST_GROWTH: usize = 1000;
/// And smaller files as if they had so many.
const SMALL: usize = 1 << 14;

/// What is needed to read a case as the training cases were read; a checkpoint keeps it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CaseReader {
    /// What channels and labels mean.
    pub description: Description,
    /// Which axis is d.
    pub order: AxisOrder,
    /// What is done before intensities are normalised.
    pub preprocessing: Preprocessing,
}

impl CaseReader {
    /// What reads cases of a data set as they lie in their files, but turned.
    pub fn native(dataset: &Dataset) -> Self {
        Self::on(dataset, Preprocessing::NATIVE)
    }

    /// What reads cases of a data set, and of others with the same meaning, as a configuration wants them.
    pub fn new(dataset: &Dataset, data: &Data) -> Self {
        let native = Self::on(
            dataset,
            Preprocessing { reorient: data.reorient, crop: data.crop, ..Preprocessing::NATIVE },
        );
        let spacing = match data.spacing {
            Auto::Value(spacing) => Some(spacing),
            Auto::Word(Word::None) => None,
            Auto::Word(Word::Auto) => Some(common_spacing(&native.grids(dataset))),
        };
        Self { preprocessing: Preprocessing { spacing, ..native.preprocessing }, ..native }
    }

    fn on(dataset: &Dataset, preprocessing: Preprocessing) -> Self {
        // Along z, y, x of space or of the files.
        let unordered =
            Self { description: dataset.description.clone(), order: AxisOrder::ZYX, preprocessing };
        let order = AxisOrder::for_grids(&unordered.grids(dataset));
        Self { order, ..unordered }
    }

    /// Where d, h and w begin and where they end, a letter each of left, right, posterior, anterior, inferior, superior; `None`
    /// where axes are as in the files.
    pub fn ends(&self) -> Option<[[char; 2]; 3]> {
        const OF_SPACE: [[char; 2]; 3] = [['I', 'S'], ['P', 'A'], ['L', 'R']];
        let order: [usize; 3] = self.order.into();
        self.preprocessing.reorient.then(|| order.map(|axis| OF_SPACE[axis]))
    }

    fn grids(&self, dataset: &Dataset) -> Vec<Grid> {
        dataset.headers.iter().map(|header| self.frame(header).grid(header)).collect()
    }

    /// Reads a case's images and, where it has them, its labels: turned, and without empty borders, but on the voxels and with
    /// the intensities of its files. [`Preparation::finish`](super::Preparation::finish) makes of it what a network sees.
    ///
    /// # Errors
    /// Files that do not fit together; voxels that are NaN or infinite; labels that are no whole number or are not in
    /// `dataset.json`.
    pub fn read(&self, files: &CaseFiles) -> Result<Case> {
        self.read_sized(files, None)
    }

    /// As [`read`](Self::read); `voxel_sizes` are those along x, y, z in mm of files that do not say.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_sized(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Case> {
        memory::within(|| self.load(files, voxel_sizes)).map_err(|error| error.of_case(&files.name))
    }

    /// What is known of a case without its voxels, when it is prepared.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn summary(&self, files: &CaseFiles) -> Result<CaseSummary> {
        let mut case = self.read(files)?;
        // Its intensities need not be resampled.
        case.image = Vec::new();
        memory::within(|| Ok(CaseSummary::of(&case.resampled())))
            .map_err(|error: Error| error.of_case(&files.name))
    }

    /// What is to be said of how a case's files are taken.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit together.
    pub(crate) fn notes(&self, files: &CaseFiles) -> Result<Vec<Note>> {
        Ok(check_headers(files, self.description.channel_names.len())?.notes)
    }

    /// Where a case lies by the headers of its files: as a whole, for what is to be cut off only its voxels say.
    pub(crate) fn geometry(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Geometry> {
        let whole = self.native_geometry(files, voxel_sizes)?;
        let all = whole.grids.whole_shape().map(|n| 0..n);
        let geometry = whole.cropped(all, self.preprocessing.spacing);
        check_growth(&files.name, geometry.grids.whole_shape(), &geometry)?;
        Ok(geometry)
    }

    /// As [`geometry`](Self::geometry), with the file's voxels.
    fn native_geometry(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Geometry> {
        let channels = self.description.channel_names.len();
        if ![1, channels].contains(&files.images.len()) {
            let message = format!(
                "has {}, but there are {}",
                counted(files.images.len(), "image"),
                counted(channels, "channel")
            );
            return Err(Error::case(&files.name, message));
        }
        let header = check_headers(files, channels)?.header;
        let header = match voxel_sizes {
            Some(sizes) if !header.spacing_known => header.with_spacing(sizes),
            _ => header,
        };
        Ok(Geometry::new(header, self.order, self.preprocessing))
    }

    /// See [`read`](Self::read).
    fn load(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Case> {
        let channels = self.description.channel_names.len();
        let Preprocessing { crop, spacing, revision, .. } = self.preprocessing;
        let geometry = self.native_geometry(files, voxel_sizes)?;
        let (frame, whole) = (geometry.frame(), geometry.grids.whole_shape());
        let mut image = Vec::new();
        let mut channel = 0;
        for path in &files.images {
            let stored = Stored::read(path)?;
            let alignment = Alignment::of(geometry.header(), &stored.header);
            let (values, count) = (finite(&stored, &files.name)?, stored.header.channels());
            // Or they would lie in memory twice while they are turned.
            drop(stored);
            for values in volumes_of(values, count) {
                let values = frame.to_volume(alignment.in_order(values), whole);
                if channels == 1 {
                    image = values;
                    continue;
                }
                if channel == 0 {
                    image = memory::filled(0.0, values.len() * channels);
                }
                for (voxel, value) in image.chunks_exact_mut(channels).zip(values) {
                    voxel[channel] = value;
                }
                channel += 1;
            }
        }
        let labels = match &files.label {
            Some(path) => {
                let stored = Stored::read_as(path, Role::Mask)?;
                let labels = labels(&stored, &files.name, &self.description)?;
                let labels = Alignment::of(geometry.header(), &stored.header).in_order(labels);
                Some(frame.to_volume(labels, whole))
            }
            None => None,
        };
        let background = match revision {
            Revision::First => Some(vec![0.0; channels]),
            Revision::Second => background(&image, channels, whole),
        };
        let part = match &background {
            Some(background) if crop => content(&image, background, whole),
            _ => whole.map(|n| 0..n),
        };
        let geometry = geometry.cropped(part.clone(), spacing);
        check_growth(&files.name, whole, &geometry)?;
        if labels.is_some() {
            check_labelled(&files.name, geometry.grids.shape())?;
        }
        let file_labels = labels.as_deref().filter(|_| !geometry.grids.is_whole()).map(PackedLabels::new);
        let image = cut(image, whole, channels, &part);
        let all = foreground(labels.as_deref());
        let labels = labels.map(|labels| cut(labels, whole, 1, &part));
        let cut_off = all - foreground(labels.as_deref());
        Ok(Case {
            name: files.name.clone(),
            image,
            shape: geometry.grids.part_shape(),
            channels,
            spacing: geometry.grids.spacing_of_file().map(|s| s as f32),
            labels,
            file_labels,
            background,
            lost: LostForeground { cut_off, ..Default::default() },
            geometry,
        })
    }

    /// The grids of a case by the headers of its files: what they are where no border is cut off.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit together.
    pub fn largest_grids(&self, files: &CaseFiles) -> Result<Grids> {
        Ok(self.geometry(files, None)?.grids)
    }

    /// How the axes of a file lie to those of its case.
    pub(crate) fn frame(&self, header: &Header) -> Frame {
        self.preprocessing.frame(header, self.order)
    }

    /// Reads several cases, in parallel, in their order.
    ///
    /// # Errors
    /// As [`CaseReader::read`], for the first case that fails.
    pub fn read_all(&self, files: &[CaseFiles]) -> Result<Vec<Case>> {
        // Collected whole, so that the error is that of the first case for any number of threads.
        let cases: Vec<Result<Case>> = files.par_iter().map(|f| self.read(f)).collect();
        cases.into_iter().collect()
    }

    /// The cases of a plain folder of images, or of one image: `CASE_0000.nii.gz` and its further channels, or
    /// `CASE.nii.gz` where there is one channel; the same with the endings of other formats, and with folders of PNG slices
    /// in place of files. A folder that holds nothing but PNG files is one volume, unless the data set's own files are PNG.
    /// No labels.
    ///
    /// # Errors
    /// A path that does not exist, a folder without images, a missing channel.
    pub fn inputs(&self, path: impl AsRef<Path>) -> Result<Vec<CaseFiles>> {
        let path = path.as_ref();
        let channels = self.description.channel_names.len();
        // `.` has a name, too.
        let named = if path.file_name().is_some() { None } else { path.canonicalize().ok() };
        let name = named.as_deref().unwrap_or(path).file_name().map(|n| n.to_string_lossy().into_owned());
        if path.is_dir() {
            let found = Volumes::of(path)?;
            let is_data_set = path.join("dataset.json").is_file() && path.join("imagesTr").is_dir();
            if found.volumes.is_empty() || is_data_set {
                if let Some(message) = dicom_instead(path) {
                    return Err(Error::file(path, message));
                }
                let hint = match (path.join("dataset.json").is_file(), folder_of_volumes(path)) {
                    (true, _) => "; name its imagesTs".into(),
                    (_, Some(inner)) => format!(" but folders of them, such as {inner}; name these, or the images"),
                    _ => "; name a folder with .nii.gz, .nrrd, .mha, .npy, .npz or .tif files, or folders of .png slices".into(),
                };
                return Err(Error::file(path, format!("holds no images{hint}")));
            }
            let is_slice = |(_, file): &(String, PathBuf)| {
                !file.is_dir() && Format::of(file).is_ok_and(|format| format == Format::Png)
            };
            let own_are_png = self.description.file_ending == ".png";
            return match name {
                Some(name) if !own_are_png && found.volumes.iter().all(is_slice) => {
                    group(&[(name, path.to_path_buf())], channels)
                }
                _ => group(&found.by_stem(), channels),
            };
        }
        let (Some(name), true) = (name, path.is_file()) else {
            return Err(Error::file(path, "does not exist; name an image or a folder of them"));
        };
        let Some((stem, _)) = split_ending(&name) else {
            let message = dicom_instead(path);
            let message = message.unwrap_or("is not named as a volume; convert it to .nii.gz".into());
            return Err(Error::file(path, message));
        };
        match split_channel(stem) {
            Some((case, channel)) if channel < channels => {
                let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let of_case = |(stem, _): &(String, PathBuf)| {
                    split_channel(stem).is_some_and(|(other, c)| other == case && c < channels)
                };
                group(
                    &Volumes::of(folder)?.by_stem().into_iter().filter(of_case).collect::<Vec<_>>(),
                    channels,
                )
            }
            _ => group(&[(stem.to_owned(), path.to_path_buf())], channels),
        }
    }
}

/// How many voxels are foreground.
fn foreground(labels: Option<&[u8]>) -> u64 {
    labels.into_iter().flatten().filter(|&&label| label != 0 && label != IGNORE).count() as u64
}

/// Refuses voxel sizes so far apart that resampling would take memory that the file does not warrant.
fn check_growth(case: &str, whole: [usize; 3], geometry: &Geometry) -> Result<()> {
    let shape = geometry.grids.shape();
    let voxels = |shape: [usize; 3]| shape.into_iter().fold(1usize, usize::saturating_mul);
    if voxels(shape) <= voxels(whole).max(SMALL).saturating_mul(MOST_GROWTH) {
        return Ok(());
    }
    let [d, h, w] = geometry.grids.spacing_of_file();
    let message = format!(
        "has {whole:?} voxels of {d} x {h} x {w} mm and would be resampled to {shape:?}; correct its voxel sizes, or give data.spacing"
    );
    Err(Error::case(case, message))
}

/// Refuses a case with so many voxels that the places of its foreground cannot be listed.
fn check_labelled(case: &str, shape: [usize; 3]) -> Result<()> {
    let voxels = shape.into_iter().fold(1usize, usize::saturating_mul);
    if u32::try_from(voxels).is_ok() {
        return Ok(());
    }
    let message = format!(
        "comes to {shape:?} voxels with labels, and fewer than 2^32 can be trained on: give larger voxels by data.spacing, or divide it into cases"
    );
    Err(Error::case(case, message))
}

/// The volumes of a file, one after another.
fn volumes_of(values: Vec<f32>, count: usize) -> Vec<Vec<f32>> {
    if count == 1 {
        return vec![values];
    }
    values.chunks_exact(values.len() / count).map(|one| memory::collected(one.iter().copied())).collect()
}

fn finite(image: &Stored, case: &str) -> Result<Vec<f32>> {
    let values = image.to_f32();
    match not_finite(image, &values, case) {
        Some(fault) => Err(fault.into()),
        None => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_labelled_voxels_than_can_be_listed_are_refused_with_a_remedy() {
        check_labelled("a", [1 << 16, 1 << 8, (1 << 8) - 1]).unwrap();
        for shape in [[1 << 16, 1 << 8, 1 << 8], [usize::MAX; 3]] {
            let error = check_labelled("a", shape).unwrap_err().to_string();
            assert!(error.contains("case a: comes to [") && error.contains("data.spacing"), "{error}");
        }
    }
}
