//! The sizes of a transposed convolution, checked once.

use crate::kernels::conv3d::shape::{Conv3dSpec, ConvShape, SpecError};

/// Kernel size, stride, padding, output padding and dilation, each for d, h, w.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose3dSpec {
    /// Taps.
    pub kernel: [usize; 3],
    /// Output voxels between the windows of neighbouring inputs.
    pub stride: [usize; 3],
    /// Output voxels cut away on each side.
    pub padding: [usize; 3],
    /// Output voxels added at the far end, which the rounding of the convolution's size had lost.
    pub output_padding: [usize; 3],
    /// Output voxels between neighbouring taps.
    pub dilation: [usize; 3],
}

impl ConvTranspose3dSpec {
    /// Stride 1, paddings 0, dilation 1.
    pub const fn new(kernel: [usize; 3]) -> Self {
        Self { kernel, stride: [1; 3], padding: [0; 3], output_padding: [0; 3], dilation: [1; 3] }
    }

    /// The output's d, h, w for an input's.
    ///
    /// # Errors
    ///
    /// If a size is 0, if no output is left, or if an output padding is neither below its stride nor below
    /// its dilation.
    pub fn output(&self, input: [usize; 3]) -> Result<[usize; 3], SpecError> {
        let mut output = [0; 3];
        for (i, axis) in ["d", "h", "w"].into_iter().enumerate() {
            self.convolution().check(i, axis, input[i])?;
            let (stride, dilation, output_padding) =
                (self.stride[i], self.dilation[i], self.output_padding[i]);
            if output_padding >= stride.max(dilation) {
                return Err(SpecError::OutputPadding { axis, output_padding, stride, dilation });
            }
            // What is too large for a number is so for memory: see `ConvShape::checked`.
            let steps = (input[i] - 1).saturating_mul(stride);
            let window = dilation.saturating_mul(self.kernel[i] - 1).saturating_add(1);
            let full = steps.saturating_add(window).saturating_add(output_padding);
            let taken = self.padding[i].saturating_mul(2);
            if full <= taken {
                let size = isize::try_from(taken - full).map_or(isize::MIN, |short| -short);
                return Err(SpecError::NoOutput { axis, size });
            }
            output[i] = full - taken;
        }
        Ok(output)
    }

    /// The convolution whose adjoint this is.
    pub(crate) fn convolution(&self) -> Conv3dSpec {
        let &Self { kernel, stride, padding, dilation, .. } = self;
        Conv3dSpec { kernel, stride, padding, dilation }
    }
}

/// All sizes of one transposed convolution; a value of this type is possible.
pub type ConvTranspose3dShape = ConvShape<ConvTranspose3dSpec>;

impl ConvTranspose3dShape {
    /// `n` volumes of `input` d, h, w voxels, from `ci` to `co` channels.
    ///
    /// # Errors
    ///
    /// See [`ConvTranspose3dSpec::output`]; also if `ci` or `co` is 0, or a tensor is larger than any memory.
    pub fn new(
        n: usize,
        input: [usize; 3],
        ci: usize,
        co: usize,
        spec: ConvTranspose3dSpec,
    ) -> Result<Self, SpecError> {
        Self::checked(n, [input, spec.output(input)?, spec.kernel], [ci, co], spec)
    }

    /// Whether the windows tile the output: each output voxel comes from one input voxel.
    pub(crate) fn tiles(&self) -> bool {
        let ConvTranspose3dSpec { kernel, stride, padding, output_padding, dilation } = *self.spec();
        kernel == stride && padding == [0; 3] && output_padding == [0; 3] && dilation == [1; 3]
    }

    /// Floating-point operations of one pass, a multiplication and an addition counted as two, borders
    /// included.
    pub fn flops(&self) -> u64 {
        2 * self.n() as u64 * self.input().iter().product::<usize>() as u64 * self.weight_len() as u64
    }
}
