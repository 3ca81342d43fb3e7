//! What a normalisation is to the kernels that read through it: a few numbers for each channel, and an activation.
//!
//! y = act((x − mean)·scale + shift)
//!
//! The passes of a normalisation ([`super::norm`]) compute it for any activation. Convolutions and pooling compute it in
//! registers as they read x, where act(z) = max(slope·z, z): see [`Affine::is_fusible`].

use autograd::Real;
use autograd::simd::Simd;

use super::activation::{Act, Activation, Leaky};

/// Numbers of a channel are padded to a multiple of this, the most lanes of any vector.
pub(crate) const PAD: usize = 16;

/// Two numbers for each channel, or for each sample and channel: two sums, mean and M2, or what a gradient gains.
pub type Pairs = Vec<(f64, f64)>;

/// y = act((x − mean)·scale + shift), the numbers being per sample and channel.
#[derive(Clone, Debug)]
pub struct Affine<T> {
    channels: usize,
    activation: Activation,
    /// The activation in registers, where it is fusible.
    leaky: Option<Leaky<T>>,
    /// `[n, 3, padded channels]`: mean, scale, shift.
    numbers: Vec<T>,
}

impl<T: Real> Affine<T> {
    /// From `[n, channels]` numbers each.
    ///
    /// # Panics
    ///
    /// If the numbers are not equally many, or not whole samples.
    #[track_caller]
    pub fn new(channels: usize, mean: &[T], scale: &[T], shift: &[T], activation: Activation) -> Self {
        assert!(mean.len() == scale.len() && mean.len() == shift.len(), "numbers per sample and channel");
        assert!(channels > 0 && mean.len().is_multiple_of(channels), "whole samples of {channels} channels");
        let padded = channels.next_multiple_of(PAD);
        let mut numbers = vec![T::ZERO; mean.len() / channels * 3 * padded];
        for (n, sample) in numbers.chunks_exact_mut(3 * padded).enumerate() {
            for (place, numbers) in sample.chunks_exact_mut(padded).zip([mean, scale, shift]) {
                place[..channels].copy_from_slice(&numbers[n * channels..][..channels]);
            }
        }
        Self { channels, activation, leaky: activation.leak().map(Leaky::new), numbers }
    }

    /// y = act(x).
    pub fn unit(samples: usize, channels: usize, activation: Activation) -> Self {
        let [zeros, ones] = [T::ZERO, T::ONE].map(|number| vec![number; samples * channels]);
        Self::new(channels, &zeros, &ones, &zeros, activation)
    }

    /// The numbers of sample `n` alone.
    pub(crate) fn of(&self, n: usize) -> Self {
        let numbers = 3 * self.padded();
        Self { numbers: self.numbers[n * numbers..][..numbers].to_vec(), ..*self }
    }

    /// The same numbers with this activation.
    pub fn with_activation(&self, activation: Activation) -> Self {
        Self { activation, leaky: activation.leak().map(Leaky::new), ..self.clone() }
    }

    /// The channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples.
    pub fn samples(&self) -> usize {
        self.numbers.len() / (3 * self.padded())
    }

    /// The activation.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// Whether convolutions and pooling can read through it: the activation is the identity, ReLU, or a leaky ReLU of a
    /// slope in [0, 1].
    pub fn is_fusible(&self) -> bool {
        self.leaky.is_some()
    }

    #[inline(always)]
    fn padded(&self) -> usize {
        self.channels.next_multiple_of(PAD)
    }

    /// Mean, scale and shift of each channel of sample `n`.
    #[inline(always)]
    pub(crate) fn of_sample(&self, n: usize) -> [&[T]; 3] {
        let padded = self.padded();
        [0, 1, 2].map(|i| &self.numbers[(3 * n + i) * padded..][..self.channels])
    }

    /// Makes sure that the numbers are those of `n` samples of so many channels, and that it is fusible: kernels read them
    /// by pointers.
    #[track_caller]
    pub(crate) fn check(&self, n: usize, channels: usize) {
        let numbers = [self.samples(), self.channels];
        assert_eq!(numbers, [n, channels], "samples and channels of an affine");
        assert!(self.is_fusible(), "{:?} is not computed as x is read: apply it beforehand", self.activation);
    }

    #[inline(always)]
    fn leaky(&self) -> Leaky<T> {
        self.leaky.expect("only what is fusible is read through")
    }

    /// y of one pixel of sample `n`.
    #[inline(always)]
    pub(crate) fn apply_to_pixel(&self, n: usize, x: &[T], y: &mut [T]) {
        let [mean, scale, shift] = self.of_sample(n).map(|numbers| &numbers[..x.len()]);
        let y = &mut y[..x.len()];
        let act = self.leaky();
        for c in 0..x.len() {
            y[c] = act.value((x[c] - mean[c]) * scale[c] + shift[c]);
        }
    }

    /// y of `pixels` neighbours of sample `n`, vector by vector: `len` channels of each from `first` on, x and y `steps`
    /// apart.
    #[inline(always)]
    pub(crate) fn apply_to_row<S: Simd<Elem = T>>(
        &self,
        s: S,
        [n, first]: [usize; 2],
        x: &[T],
        y: &mut [T],
        [x_step, y_step]: [usize; 2],
        [pixels, len]: [usize; 2],
    ) {
        if pixels == 0 {
            return;
        }
        assert!(
            n < self.samples() && first.is_multiple_of(S::LANES) && first + len <= self.channels,
            "whole vectors of the channels"
        );
        assert!((pixels - 1) * x_step + len <= x.len() && (pixels - 1) * y_step + len <= y.len(), "pixels");
        for c in (0..len).step_by(S::LANES) {
            let lanes = (len - c).min(S::LANES);
            // SAFETY: `first + c` is a multiple of the lanes below the channels, and the last pixel's channels are inside
            // both slices.
            unsafe {
                let affine = self.vectors(s, n, first + c);
                for pixel in 0..pixels {
                    let x = s.load_partial_ptr(x.as_ptr().add(pixel * x_step + c), lanes);
                    s.store_partial_ptr(affine.apply(s, x), y.as_mut_ptr().add(pixel * y_step + c), lanes);
                }
            }
        }
    }

    /// The numbers of the channels from `c` on of sample `n`.
    ///
    /// # Safety
    ///
    /// `n` must be a sample, and `c` a multiple of the lanes below the channels.
    #[inline(always)]
    pub(crate) unsafe fn vectors<S: Simd<Elem = T>>(&self, s: S, n: usize, c: usize) -> AffineVectors<S> {
        let padded = self.padded();
        let mean = self.numbers.as_ptr().wrapping_add(3 * n * padded + c);
        let act = self.leaky();
        // SAFETY: the numbers are padded to whole vectors.
        unsafe {
            AffineVectors {
                mean: s.load_ptr(mean),
                scale: s.load_ptr(mean.add(padded)),
                shift: s.load_ptr(mean.add(2 * padded)),
                slope: s.splat(act.slope_below_zero()),
                floor: s.splat(act.floor()),
            }
        }
    }
}

/// An [`Affine`] of one vector of channels, in registers.
#[derive(Clone, Copy)]
pub(crate) struct AffineVectors<S: Simd> {
    mean: S::V,
    scale: S::V,
    shift: S::V,
    slope: S::V,
    floor: S::V,
}

impl<S: Simd> AffineVectors<S> {
    /// Of which nothing is used, where none is applied.
    #[inline(always)]
    pub(crate) fn unused(s: S) -> Self {
        let zero = s.zero();
        Self { mean: zero, scale: zero, shift: zero, slope: zero, floor: zero }
    }

    /// act((x − mean)·scale + shift)
    #[inline(always)]
    pub(crate) fn apply(&self, s: S, x: S::V) -> S::V {
        let z = s.mul_add(x - self.mean, self.scale, self.shift);
        // The floor takes the place of 0·∞, and the second argument that of a NaN: so the NaN of z alone is kept.
        s.max(s.max(z * self.slope, self.floor), z)
    }

    /// g = dy·act′(z), z = (x − mean)·scale + shift; and x − mean.
    #[inline(always)]
    pub(crate) fn lead_back(&self, s: S, x: S::V, dy: S::V) -> (S::V, S::V) {
        let deviation = x - self.mean;
        let z = s.mul_add(deviation, self.scale, self.shift);
        // z ≤ 0
        (s.select_lt(z, s.splat(S::Elem::SMALLEST), dy * self.slope, dy), deviation)
    }
}
