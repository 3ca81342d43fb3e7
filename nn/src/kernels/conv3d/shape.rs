//! The sizes of a convolution, checked once.

use autograd::simd::{self, Isa};

/// Kernel size, stride, padding and dilation, each for d, h, w.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv3dSpec {
    /// Taps.
    pub kernel: [usize; 3],
    /// Input voxels between the windows of neighbouring outputs.
    pub stride: [usize; 3],
    /// Zeros on each side of the input.
    pub padding: [usize; 3],
    /// Input voxels between neighbouring taps.
    pub dilation: [usize; 3],
}

/// Stride 1, padding 0, dilation 1.
impl From<[usize; 3]> for Conv3dSpec {
    fn from(kernel: [usize; 3]) -> Self {
        Self::new(kernel)
    }
}

impl Conv3dSpec {
    /// Stride 1, padding 0, dilation 1.
    pub const fn new(kernel: [usize; 3]) -> Self {
        Self { kernel, stride: [1; 3], padding: [0; 3], dilation: [1; 3] }
    }

    /// For odd kernels of stride 1: the padding that keeps the size, dilation·(kernel − 1)/2.
    pub fn same_padding(mut self) -> Self {
        self.padding = [0, 1, 2].map(|i| self.dilation[i] * self.kernel[i].saturating_sub(1) / 2);
        self
    }

    /// The output's d, h, w for an input's.
    ///
    /// # Errors
    ///
    /// If a size is 0, or if the window is larger than the padded input.
    pub fn output(&self, input: [usize; 3]) -> Result<[usize; 3], SpecError> {
        let mut output = [0; 3];
        for (i, axis) in ["d", "h", "w"].into_iter().enumerate() {
            self.check(i, axis, input[i])?;
            let span = self.dilation[i].saturating_mul(self.kernel[i] - 1).saturating_add(1);
            let padded = input[i].saturating_add(self.padding[i].saturating_mul(2));
            if span > padded {
                let (input, padding) = (input[i], self.padding[i]);
                return Err(SpecError::WindowTooLarge { axis, span, input, padding });
            }
            output[i] = (padded - span) / self.stride[i] + 1;
        }
        Ok(output)
    }

    pub(crate) fn check(&self, i: usize, axis: &'static str, input: usize) -> Result<(), SpecError> {
        let sizes = [
            ("kernel", self.kernel[i]),
            ("stride", self.stride[i]),
            ("dilation", self.dilation[i]),
            ("input", input),
        ];
        match sizes.into_iter().find(|(_, size)| *size == 0) {
            Some((what, _)) => Err(SpecError::Zero { what, axis }),
            None => Ok(()),
        }
    }
}

/// A convolution that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A size is 0.
    #[error("{what} size along {axis} is 0: it must be at least 1")]
    Zero {
        /// Which size.
        what: &'static str,
        /// `d`, `h`, `w`, or what is counted.
        axis: &'static str,
    },
    /// No output: the window does not fit even once.
    #[error(
        "the window spans {span} voxels along {axis}, more than the input's {input} with {padding} of padding on each \
         side: use a larger input, more padding, or a smaller kernel or dilation"
    )]
    WindowTooLarge {
        /// `d`, `h` or `w`.
        axis: &'static str,
        /// dilation·(kernel − 1) + 1
        span: usize,
        /// Input voxels along the axis.
        input: usize,
        /// Padding along the axis.
        padding: usize,
    },
    /// A tensor that is larger than any memory.
    #[error("the {what} has {sizes:?} numbers, more than any memory holds: use smaller sizes")]
    TooLarge {
        /// Which tensor.
        what: &'static str,
        /// Its extents.
        sizes: [usize; 5],
    },
    /// A transposed convolution of no voxel: the padding takes all of them away.
    #[error("the output along {axis} is {size}: use less padding")]
    NoOutput {
        /// `d`, `h` or `w`.
        axis: &'static str,
        /// What the formula gives.
        size: isize,
    },
    /// The padding of a transposed convolution's output is too large.
    #[error(
        "output padding {output_padding} along {axis} must be below the stride, {stride}, or the dilation, {dilation}"
    )]
    OutputPadding {
        /// `d`, `h` or `w`.
        axis: &'static str,
        /// The value given.
        output_padding: usize,
        /// The stride along the axis.
        stride: usize,
        /// The dilation along the axis.
        dilation: usize,
    },
}

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ConvAlgorithm {
    /// Whichever is faster by the cost model of [`crate::kernels::conv3d`]: a function of shape and instruction set.
    #[default]
    Auto,
    /// Sums in the order of the formula. A kernel of one voxel with few outputs has loops of its own here too.
    Direct,
    /// Winograd's F(4x4, 3x3) in the plane where it applies (3 taps along h and w, stride and dilation 1 there), for a
    /// single channel F(4, 3) along h; elsewhere as [`Direct`](Self::Direct).
    Winograd,
}

/// All sizes of one convolution of settings `S`, and how it is computed; a value of this type is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape<S> {
    n: usize,
    input: [usize; 3],
    output: [usize; 3],
    ci: usize,
    co: usize,
    kernel: [usize; 3],
    spec: S,
    algorithm: ConvAlgorithm,
    isa: Isa,
}

/// All sizes of one convolution; a value of this type is possible.
pub type Conv3dShape = ConvShape<Conv3dSpec>;

impl Conv3dShape {
    /// `n` volumes of `input` d, h, w voxels, from `ci` to `co` channels.
    ///
    /// # Errors
    ///
    /// See [`Conv3dSpec::output`]; also if `ci` or `co` is 0, or a tensor is larger than any memory.
    pub fn new(
        n: usize,
        input: [usize; 3],
        ci: usize,
        co: usize,
        spec: Conv3dSpec,
    ) -> Result<Self, SpecError> {
        Self::checked(n, [input, spec.output(input)?, spec.kernel], [ci, co], spec)
    }

    /// Computed this way.
    pub fn with_algorithm(self, algorithm: ConvAlgorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// How it is computed.
    pub fn algorithm(&self) -> ConvAlgorithm {
        self.algorithm
    }

    /// Floating-point operations of one pass, a multiplication and an addition counted as two, borders
    /// included.
    pub fn flops(&self) -> u64 {
        2 * self.n as u64 * self.output.iter().product::<usize>() as u64 * self.weight_len() as u64
    }
}

impl<S> ConvShape<S> {
    /// Refuses sizes of 0, and tensors whose numbers of elements wrap around: kernels take them for what their slices hold.
    pub(crate) fn checked(
        n: usize,
        [input, output, kernel]: [[usize; 3]; 3],
        [ci, co]: [usize; 2],
        spec: S,
    ) -> Result<Self, SpecError> {
        if let Some((what, _)) = [("input", ci), ("output", co)].into_iter().find(|(_, size)| *size == 0) {
            return Err(SpecError::Zero { what, axis: "the channels" });
        }
        let of = |first: usize, [d, h, w]: [usize; 3], last: usize| [first, d, h, w, last];
        let [kd, kh, kw] = kernel;
        let tensors =
            [("input", of(n, input, ci)), ("output", of(n, output, co)), ("weight", [kd, kh, kw, ci, co])];
        let most = isize::MAX as usize / size_of::<f64>();
        let fits = |sizes: &[usize; 5]| {
            let mut sizes = sizes.iter().filter(|size| **size != 0);
            sizes.try_fold(1usize, |all, size| all.checked_mul(*size)).is_some_and(|numbers| numbers <= most)
        };
        match tensors.into_iter().find(|(_, sizes)| !fits(sizes)) {
            Some((what, sizes)) => Err(SpecError::TooLarge { what, sizes }),
            None => {
                let (algorithm, isa) = (ConvAlgorithm::Auto, simd::active());
                Ok(Self { n, input, output, ci, co, kernel, spec, algorithm, isa })
            }
        }
    }

    /// Computed on this instruction set instead of the [active](simd::active) one.
    pub fn with_isa(self, isa: Isa) -> Self {
        Self { isa, ..self }
    }

    /// The instruction set that it is computed on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Volumes in the batch.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The input's d, h, w.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// The output's d, h, w.
    pub fn output(&self) -> [usize; 3] {
        self.output
    }

    /// Input channels.
    pub fn ci(&self) -> usize {
        self.ci
    }

    /// Output channels.
    pub fn co(&self) -> usize {
        self.co
    }

    /// Kernel size, stride, padding and so on.
    pub fn spec(&self) -> &S {
        &self.spec
    }

    /// n·d·h·w·ci
    pub fn x_len(&self) -> usize {
        self.n * self.input.iter().product::<usize>() * self.ci
    }

    /// n·od·oh·ow·co
    pub fn y_len(&self) -> usize {
        self.n * self.output.iter().product::<usize>() * self.co
    }

    /// kd·kh·kw·ci·co
    pub fn weight_len(&self) -> usize {
        self.kernel.iter().product::<usize>() * self.ci * self.co
    }
}
