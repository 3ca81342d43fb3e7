//! All that is done to a case between its files and the network.

use serde::{Deserialize, Serialize};

use super::{Case, CaseReader, Normalisation};
use crate::Result;
use crate::dataset::CaseFiles;

/// How files become what a network sees, as it was settled on the training cases; every prediction repeats it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preparation {
    /// How files become cases, and what channels and classes mean.
    pub reader: CaseReader,
    /// How intensities are made comparable.
    pub normalisation: Normalisation,
}

impl Preparation {
    /// A case as the network sees it; `voxel_sizes` are those along x, y, z in mm of files that do not say.
    ///
    /// # Errors
    /// As [`CaseReader::read`] and [`Normalisation::apply`].
    pub fn prepare(&self, files: &CaseFiles, voxel_sizes: Option<[f64; 3]>) -> Result<Case> {
        let mut case = self.reader.read_sized(files, voxel_sizes)?;
        self.normalisation.apply(&mut case)?;
        Ok(case)
    }
}
