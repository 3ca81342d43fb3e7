//! What every algorithm computes: which inputs go into which outputs.

use autograd::Real;
use autograd::simd::Isa;

use super::geometry::Axis;
use super::shape::{Conv3dShape, Conv3dSpec};

/// A correlation of whole volumes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) isa: Isa,
    pub(crate) n: usize,
    pub(crate) axes: [Axis; 3],
    /// Channels that are read and summed over: ci in the forward pass, co for the gradient of the input.
    pub(crate) k_channels: usize,
    /// Channels that are written: co in the forward pass, ci for the gradient of the input.
    pub(crate) columns: usize,
}

impl Plan {
    /// The convolution itself, from ci to co channels; for the gradient of the weight too.
    pub(crate) fn forward(shape: &Conv3dShape) -> Self {
        let sizes = [shape.input(), shape.output()];
        Self::strided(shape.isa(), shape.n(), shape.spec(), sizes, [shape.ci(), shape.co()])
    }

    /// The correlations of the output's gradient that together are the input's.
    pub(crate) fn backward_input(shape: &Conv3dShape) -> Vec<Self> {
        let sizes = [shape.output(), shape.input()];
        Self::adjoint(shape.isa(), shape.n(), shape.spec(), sizes, [shape.co(), shape.ci()])
    }

    /// The convolution from `input` to `output` voxels, and from `k_channels` to `columns`.
    pub(crate) fn strided(
        isa: Isa,
        n: usize,
        spec: &Conv3dSpec,
        [input, output]: [[usize; 3]; 2],
        [k_channels, columns]: [usize; 2],
    ) -> Self {
        let axes = [0, 1, 2].map(|i| Axis::strided(spec, i, input[i], output[i]));
        Self { isa, n, axes, k_channels, columns }
    }

    /// The correlations that together are the adjoint of the convolution from `output` to `input` voxels: one for each
    /// position modulo the stride.
    pub(crate) fn adjoint(
        isa: Isa,
        n: usize,
        spec: &Conv3dSpec,
        [input, output]: [[usize; 3]; 2],
        [k_channels, columns]: [usize; 2],
    ) -> Vec<Self> {
        let [d, h, w] = [0, 1, 2].map(|i| Axis::adjoint(spec, i, input[i], output[i]));
        let mut all = vec![];
        for d in &d {
            for h in &h {
                let axes = w.iter().map(|w| [d.clone(), h.clone(), w.clone()]);
                all.extend(axes.map(|axes| Self { isa, n, axes, k_channels, columns }));
            }
        }
        all
    }

    /// The same of one sample alone.
    pub(crate) fn of_sample(&self) -> Self {
        Self { n: 1, ..self.clone() }
    }

    /// Numbers of type `T` in a vector.
    pub(crate) fn lanes<T: Real>(&self) -> usize {
        self.isa.lanes::<T>()
    }

    pub(crate) fn taps(&self) -> usize {
        self.axes.iter().map(|axis| axis.taps.len()).product()
    }

    /// The numbers that go into one output.
    pub(crate) fn depth(&self) -> usize {
        self.taps() * self.k_channels
    }
}
