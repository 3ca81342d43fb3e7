//! What every algorithm computes: which inputs go into which outputs.

use autograd::Real;

use super::fuse::Source;
use super::geometry::Axis;

/// A correlation of whole volumes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) n: usize,
    pub(crate) axes: [Axis; 3],
    /// Channels of x.
    pub(crate) k_channels: usize,
    /// Channels of y.
    pub(crate) columns: usize,
}

impl Plan {
    pub(crate) fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.taps.len()).product()
    }

    /// Makes sure that the sources together are the input.
    #[track_caller]
    pub(crate) fn check_sources<T: Real>(&self, sources: &[Source<'_, T>]) {
        let voxels = self.axes.iter().map(|axis| axis.input).product();
        let channels: usize = sources.iter().map(|source| source.channels).sum();
        assert_eq!(channels, self.k_channels, "channels of the input");
        sources.iter().for_each(|source| source.check(self.n, voxels));
    }

    /// The numbers that go into one output.
    pub(crate) fn depth(&self) -> usize {
        self.taps() * self.k_channels
    }
}
