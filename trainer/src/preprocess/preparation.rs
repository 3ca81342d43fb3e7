//! All that is done to a case between its files and the network: it is read and turned, cropped, normalised, resampled.

use serde::{Deserialize, Serialize};
use volumes::AxisOrder;

use super::{Case, CaseReader, ChannelNorm, Normalisation, Preprocessing, Revision};
use crate::Result;
use crate::dataset::{CaseFiles, Description};

/// How files become what a network sees, as it was settled on the training cases; every prediction repeats it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preparation {
    /// How files become cases, and what channels and classes mean.
    pub reader: CaseReader,
    /// How intensities are made comparable.
    pub normalisation: Normalisation,
}

impl Preparation {
    /// Of cases that come from elsewhere than files, ready as they are; files that are predicted are taken as they lie.
    pub fn none(description: Description) -> Self {
        let channels = vec![ChannelNorm::None; description.channel_names.len()];
        let reader = CaseReader { description, order: AxisOrder::ZYX, preprocessing: Preprocessing::NATIVE };
        Self { reader, normalisation: Normalisation { channels } }
    }

    /// A case as the network sees it; `voxel_sizes` are those along x, y, z in mm of files that do not say.
    ///
    /// # Errors
    /// As [`CaseReader::read`] and [`Normalisation::apply`].
    pub fn prepare(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Case> {
        self.finish(self.reader.read_sized(files, voxel_sizes)?)
    }

    /// What is left to do with a case that the reader has read: normalises and resamples it.
    ///
    /// # Errors
    /// As [`Normalisation::apply`].
    pub fn finish(&self, case: Case) -> Result<Case> {
        let name = case.name.clone();
        let finished = memory::within(|| match self.reader.preprocessing.revision {
            Revision::First => self.normalisation.apply(case.resampled()),
            Revision::Second => Ok(self.normalisation.apply(case)?.resampled()),
        });
        finished.map_err(|error| error.of_case(&name))
    }
}
