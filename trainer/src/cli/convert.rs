//! `trainer convert`.

use std::path::PathBuf;

use clap::Args;

use super::Spacing;
use super::values::spacing;
use crate::curate::convert::{MaskPlacement, Relabel};

/// `trainer convert`
#[derive(Clone, Debug, Args)]
pub struct Convert {
    /// A folder of images: volumes in any format that `info` reads, or folders of PNG slices; several channels by suffix
    /// _0000, _0001, …, or as a further axis.
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "csv",
        requires = "masks",
        conflicts_with = "csv"
    )]
    pub images: Option<PathBuf>,
    /// A folder of masks, named as the images, with a suffix such as _mask, _seg or -label if they like, or with a first
    /// word such as label, mask or seg in place of the images' img, volume or case: img0001 and label0001.
    #[arg(long, value_name = "DIR", requires = "images", conflicts_with = "csv")]
    pub masks: Option<PathBuf>,
    /// A table instead, separated by commas, semicolons or tabs: columns image (image_0, image_1, … for channels) and mask
    /// (or label, labels, segmentation), and perhaps case, and split with train or test; paths are relative to its folder.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// The folder to make, such as Dataset001_Name.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The class of a value in the masks, such as 255=1; can be given several times, then for every value but 0. 255=ignore
    /// leaves voxels out of training and figures; given alone, all other values are classes as they are.
    #[arg(long = "label", value_name = "VALUE=CLASS", allow_hyphen_values = true)]
    pub labels: Vec<Relabel>,
    /// The foreground classes' names, from class 1 on.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub names: Vec<String>,
    /// What each channel is; CT asks for CT normalisation.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    pub channel_names: Vec<String>,
    /// Voxel sizes in mm of files that do not say (.npy, .npz, .tif, .png).
    #[arg(long, value_name = "X,Y,Z", value_parser = spacing, allow_hyphen_values = true)]
    pub spacing: Option<Spacing>,
    /// Where a mask of the image's shape lies elsewhere by its header.
    #[arg(long, value_enum, default_value_t)]
    pub geometry: MaskPlacement,
    /// Cases for testing; they need no mask.
    #[arg(long, value_delimiter = ',', value_name = "CASE,…", conflicts_with = "csv")]
    pub test: Vec<String>,
    /// Check everything and list the files, but write none.
    #[arg(long)]
    pub dry_run: bool,
}
