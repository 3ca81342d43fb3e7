//! Max pooling of channels-last volumes, a row of voxels at a time.
//!
//! The forward pass notes which tap of the window won, in one byte; the backward pass gathers: each input voxel
//! looks at the windows that cover it. So both write each element once, in any order.

use std::ops::Range;

use autograd::Real;
use autograd::simd::{Job, Simd, dispatch};

use super::{Affine, table};

/// A pooling window, each number for the axes d, h, w.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool3dSpec {
    /// The window's extent.
    pub kernel: [usize; 3],
    /// The distance of neighbouring windows.
    pub stride: [usize; 3],
    /// How far windows reach over each edge; at most half the kernel.
    pub padding: [usize; 3],
}

impl Pool3dSpec {
    /// A window with stride equal to its extent, without padding.
    pub fn new(kernel: [usize; 3]) -> Self {
        Self { kernel, stride: kernel, padding: [0; 3] }
    }

    /// The voxels of a window; `usize::MAX` where there are more.
    pub fn window_voxels(&self) -> usize {
        self.kernel.iter().fold(1, |all: usize, size| all.saturating_mul(*size))
    }

    /// What is wrong with the numbers themselves, if anything.
    pub fn fault(&self) -> Option<String> {
        let axes = ["d", "h", "w"];
        for a in 0..3 {
            let (axis, kernel, padding) = (axes[a], self.kernel[a], self.padding[a]);
            if kernel == 0 || self.stride[a] == 0 {
                return Some(format!("kernel and stride along {axis} must be at least 1: {self:?}"));
            }
            if padding > kernel / 2 {
                return Some(format!(
                    "padding {padding} along {axis} is over half the kernel {kernel}: a window could lie outside"
                ));
            }
        }
        None
    }

    /// The output's extents `[d, h, w]` for an input of these: ⌊(size + 2·padding − kernel) / stride⌋ + 1.
    ///
    /// # Panics
    /// If a setting is impossible, or the window larger than the padded input.
    #[track_caller]
    pub fn output(&self, input: [usize; 3]) -> [usize; 3] {
        if let Some(fault) = self.fault() {
            panic!("{fault}");
        }
        // A loop: in a closure the caller's line would be lost.
        let mut output = [0; 3];
        for (a, output) in output.iter_mut().enumerate() {
            let padded = input[a].saturating_add(2 * self.padding[a]);
            assert!(
                padded >= self.kernel[a],
                "a window of {} along {} does not fit the input of {} (padding {})",
                self.kernel[a],
                ["d", "h", "w"][a],
                input[a],
                self.padding[a]
            );
            *output = (padded - self.kernel[a]) / self.stride[a] + 1;
        }
        output
    }

    /// The taps of window `o` along axis `a` that lie within the input, and the input position of tap 0 plus padding.
    fn taps(&self, a: usize, o: usize, size: usize) -> (Range<usize>, usize) {
        let base = o * self.stride[a];
        let first = self.padding[a].saturating_sub(base);
        (first..self.kernel[a].min(size + self.padding[a] - base), base)
    }

    /// The windows along axis `a` that cover input position `i`.
    fn windows(&self, a: usize, i: usize, outputs: usize) -> Range<usize> {
        let at = i + self.padding[a];
        let first = (at + 1).saturating_sub(self.kernel[a]).div_ceil(self.stride[a]);
        first..(at / self.stride[a] + 1).min(outputs)
    }
}

/// One output row `(d, h) = (od, oh)` of one sample: the maxima, and which tap of the window each came from.
///
/// A NaN wins over every number, the last of several; of equal numbers the first wins. With an affine and the number of
/// the sample, x is activated as it is read.
///
/// | slice | shape |
/// |---|---|
/// | `x` | `[d, h, w, c]` = `input` |
/// | `y`, `arg` | `[ow, c]` |
///
/// # Panics
/// If a slice is too short for the shapes, the window has more than 256 voxels, or the affine is not
/// [fusible](Affine::is_fusible).
///
/// # Source
/// PyTorch's `max_pool3d`, whose rule for ties and NaN this is.
pub fn max_row<T: Real>(
    spec: &Pool3dSpec,
    x: &[T],
    affine: Option<(&Affine<T>, usize)>,
    input: [usize; 4],
    [od, oh]: [usize; 2],
    y: &mut [T],
    arg: &mut [u8],
) {
    assert!(spec.window_voxels() <= 256, "the winner's number fits one byte");
    assert!(
        affine.is_none_or(|(affine, _)| affine.is_fusible()),
        "an activation that is computed as x is read"
    );
    (compiled::<T>().max)(MaxRow { spec, x, affine, input, at: [od, oh], y, arg });
}

/// One row `(d, h)` of the input's gradient of one sample: each voxel gathers from the windows that it won.
///
/// | slice | shape |
/// |---|---|
/// | `dy`, `arg` | `[od, oh, ow, c]` = `output` |
/// | `dx` | `[w, c]` |
///
/// # Panics
/// If a slice is too short for the shapes.
pub fn max_row_backward<T: Real>(
    spec: &Pool3dSpec,
    dy: &[T],
    arg: &[u8],
    output: [usize; 4],
    [d, h]: [usize; 2],
    dx: &mut [T],
) {
    (compiled::<T>().max_backward)(MaxRowBackward { spec, dy, arg, output, at: [d, h], dx });
}

struct Rows<T: 'static> {
    max: fn(MaxRow<'_, T>),
    max_backward: fn(MaxRowBackward<'_, T>),
}

fn compiled<T: Real>() -> &'static Rows<T> {
    static SINGLE: Rows<f32> = rows();
    static DOUBLE: Rows<f64> = rows();
    table(&SINGLE, &DOUBLE)
}

const fn rows<T: Real>() -> Rows<T> {
    Rows { max: |row| dispatch(row), max_backward: |row| dispatch(row) }
}

struct MaxRow<'a, T> {
    spec: &'a Pool3dSpec,
    x: &'a [T],
    affine: Option<(&'a Affine<T>, usize)>,
    input: [usize; 4],
    at: [usize; 2],
    y: &'a mut [T],
    arg: &'a mut [u8],
}

impl<T: Real> Job<T> for MaxRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        let Self { spec, x, affine, input, at: [od, oh], y, arg } = self;
        let [d, h, w, c] = input;
        let mut activated = vec![T::ZERO; if affine.is_some() { c } else { 0 }];
        let [_, kh, kw] = spec.kernel;
        let (taps_d, base_d) = spec.taps(0, od, d);
        let (taps_h, base_h) = spec.taps(1, oh, h);
        for (ow, (y, arg)) in y.chunks_exact_mut(c).zip(arg.chunks_exact_mut(c)).enumerate() {
            let (taps_w, base_w) = spec.taps(2, ow, w);
            let mut first = true;
            for td in taps_d.clone() {
                for th in taps_h.clone() {
                    let row = (base_d + td - spec.padding[0]) * h + base_h + th - spec.padding[1];
                    for tw in taps_w.clone() {
                        let mut x = &x[(row * w + base_w + tw - spec.padding[2]) * c..][..c];
                        if let Some((affine, n)) = affine {
                            affine.apply_to_pixel(n, x, &mut activated);
                            x = &activated;
                        }
                        let tap = ((td * kh + th) * kw + tw) as u8;
                        if first {
                            y.copy_from_slice(x);
                            arg.fill(tap);
                            first = false;
                        } else {
                            take_larger(x, tap, y, arg);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn take_larger<T: Real>(x: &[T], tap: u8, y: &mut [T], arg: &mut [u8]) {
    for ((y, arg), &x) in y.iter_mut().zip(arg).zip(x) {
        let wins = x > *y || x.is_nan();
        *y = if wins { x } else { *y };
        *arg = if wins { tap } else { *arg };
    }
}

struct MaxRowBackward<'a, T> {
    spec: &'a Pool3dSpec,
    dy: &'a [T],
    arg: &'a [u8],
    output: [usize; 4],
    at: [usize; 2],
    dx: &'a mut [T],
}

impl<T: Real> Job<T> for MaxRowBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, _: S) {
        let Self { spec, dy, arg, output, at: [d, h], dx } = self;
        let [od, oh, ow, c] = output;
        let [_, kh, kw] = spec.kernel;
        for (w, dx) in dx.chunks_exact_mut(c).enumerate() {
            dx.fill(T::ZERO);
            for o_d in spec.windows(0, d, od) {
                let td = d + spec.padding[0] - o_d * spec.stride[0];
                for o_h in spec.windows(1, h, oh) {
                    let th = h + spec.padding[1] - o_h * spec.stride[1];
                    for o_w in spec.windows(2, w, ow) {
                        let tw = w + spec.padding[2] - o_w * spec.stride[2];
                        let at = ((o_d * oh + o_h) * ow + o_w) * c;
                        let tap = ((td * kh + th) * kw + tw) as u8;
                        add_won(&dy[at..][..c], &arg[at..][..c], tap, dx);
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add_won<T: Real>(dy: &[T], arg: &[u8], tap: u8, dx: &mut [T]) {
    for ((dx, &dy), &arg) in dx.iter_mut().zip(dy).zip(arg) {
        *dx += if arg == tap { dy } else { T::ZERO };
    }
}
