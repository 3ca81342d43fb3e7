//! Where a case's files lie by their headers, and what is made of a mask that lies elsewhere.

use std::path::Path;

use clap::ValueEnum;
use volumes::Header;

use crate::dataset::fault::{Fault, Kind};

/// How many names are listed.
const SHOWN: usize = 3;

/// What is made of a mask whose header places it elsewhere than its image.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, ValueEnum)]
pub enum MaskPlacement {
    /// It is refused.
    #[default]
    Agree,
    /// Its voxels are taken as those of the image's grid, in their order, whatever its header says.
    Image,
}

/// How a file lies apart from another one of its case.
#[derive(Debug)]
pub(super) struct Apart {
    /// By how much, in mm.
    by: f64,
    /// Where the axes of the file and of the other lead, where that is not the same.
    axes: Option<[String; 2]>,
}

impl Apart {
    /// `None` where they lie together.
    pub(super) fn of(header: &Header, other: &Header) -> Option<Self> {
        let by = other.apart(header)?;
        let axes = [header.axcodes(), other.axcodes()];
        Some(Self { by, axes: (axes[0] != axes[1]).then_some(axes) })
    }

    pub(super) fn fault(&self, path: &Path, other: &Path, is_mask: bool) -> Fault {
        let axes = self.axes();
        let message = format!(
            "by the headers its voxels lie up to {:.3} mm from those of {}{axes}",
            self.by,
            other.display()
        );
        let remedy = match is_mask {
            true => {
                "check that they belong together, then give both the same affine or resample; --geometry image takes the mask's voxels as the image's, in their order"
            }
            false => "check that they belong together, then give both the same affine or resample",
        };
        Fault::file(Kind::PlaceDiffers, path, message, remedy)
    }

    fn axes(&self) -> String {
        self.axes.as_ref().map_or(String::new(), |[own, other]| format!(" ({own} instead of {other})"))
    }
}

/// Names the cases whose masks are written elsewhere than their headers say.
pub(super) fn note<'a>(moved: impl Iterator<Item = (&'a str, &'a Apart)>) -> Option<String> {
    let mut listed: Vec<String> =
        moved.map(|(case, apart)| format!("{case} up to {:.3} mm{}", apart.by, apart.axes())).collect();
    let masks = crate::dataset::notes::counted(listed.len(), "mask");
    let more = listed.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    listed.truncate(SHOWN);
    let listed = listed.join(", ");
    (!listed.is_empty()).then(|| {
        format!(
            "--geometry image: {masks} taken to lie where the image lies, not by the header: {listed}{more}"
        )
    })
}
