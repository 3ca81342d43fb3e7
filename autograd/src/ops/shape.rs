//! Operations that move numbers without changing them.
//!
//! Slicing and padding are each other's derivative: [`Slice`]'s backward pass is [`pad`], [`Pad`]'s is [`slice`].

use std::ops::Range;

use super::{axis_name, check_axis, for_each_part, tape_of};
use crate::parallel::{SLAB, for_each_slab, slab_of_rows};
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// The same numbers under another shape.
struct Reshape {
    to: Shape,
}

impl<T: Real> Function<T, 1> for Reshape {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, Shape) {
        (x.clone().reshape(self.to), x.shape())
    }
}

impl<T: Real> Backward<T, 1> for Reshape {
    type Saved = Shape;
    fn backward(&self, from: Shape, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(dy.reshape(from))]
    }
}

/// Axis i of y is axis `axes[i]` of x; dx is dy put back
struct Permute {
    axes: Vec<usize>,
}

impl<T: Real> Function<T, 1> for Permute {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, ()) {
        (x.permute(&self.axes), ())
    }
}

impl<T: Real> Backward<T, 1> for Permute {
    type Saved = ();
    fn backward(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let place = |axis| self.axes.iter().position(|&a| a == axis).expect("each axis is named");
        let back: Vec<usize> = (0..self.axes.len()).map(place).collect();
        [Some(dy.permute(&back))]
    }
}

/// y\[.., i, ..\] = x\[.., start + i, ..\]; dx = dy there, 0 elsewhere
struct Slice {
    axis: usize,
    range: Range<usize>,
}

impl<T: Real> Function<T, 1> for Slice {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, usize) {
        (slice(x, self.axis, self.range.clone()), x.dims()[self.axis])
    }
}

impl<T: Real> Backward<T, 1> for Slice {
    /// The axis' extent.
    type Saved = usize;
    fn backward(&self, extent: usize, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(pad(&dy, self.axis, self.range.start, extent - self.range.end))]
    }
}

/// y\[.., before + i, ..\] = x\[.., i, ..\], 0 elsewhere; dx = dy there
struct Pad {
    axis: usize,
    before: usize,
    after: usize,
}

impl<T: Real> Function<T, 1> for Pad {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, ()) {
        (pad(x, self.axis, self.before, self.after), ())
    }
}

impl<T: Real> Backward<T, 1> for Pad {
    type Saved = ();
    fn backward(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let end = dy.dims()[self.axis] - self.after;
        [Some(slice(&dy, self.axis, self.before..end))]
    }
}

/// y\[.., c\] = a\[.., c\], then b\[.., c − c_a\]; the gradient is cut likewise
struct ConcatChannels;

impl<T: Real> Function<T, 2> for ConcatChannels {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], _: [bool; 2]) -> (Tensor<T>, usize) {
        let (ca, cb) = (a.channels(), b.channels());
        let mut y = Tensor::scratch(a.shape().with_channels(ca + cb));
        let width = (ca + cb).max(1);
        for_each_slab(y.data_mut(), slab_of_rows(width), |start, slab| {
            for (i, row) in slab.chunks_exact_mut(width).enumerate() {
                let i = start / width + i;
                row[..ca].copy_from_slice(&a.data()[i * ca..(i + 1) * ca]);
                row[ca..].copy_from_slice(&b.data()[i * cb..(i + 1) * cb]);
            }
        });
        (y, ca)
    }
}

impl<T: Real> Backward<T, 2> for ConcatChannels {
    /// The channels of a.
    type Saved = usize;

    fn backward(&self, ca: usize, dy: Tensor<T>, needs: [bool; 2]) -> [Option<Tensor<T>>; 2] {
        let channel_axis = dy.shape().rank() - 1;
        let c = dy.channels();
        let da = needs[0].then(|| slice(&dy, channel_axis, 0..ca));
        [da, needs[1].then(|| slice(&dy, channel_axis, ca..c))]
    }
}

/// The part of `x` in `range` of an axis.
fn slice<T: Real>(x: &Tensor<T>, axis: usize, range: Range<usize>) -> Tensor<T> {
    let inner = x.dims()[axis + 1..].iter().product::<usize>();
    let (from, to) = (x.dims()[axis] * inner, range.len() * inner);
    let mut y = Tensor::scratch(with_extent(x.shape(), axis, range.len()));
    fill_parts(y.data_mut(), to, |i, first, part| {
        part.copy_from_slice(&x.data()[i * from + range.start * inner + first..][..part.len()]);
    });
    y
}

/// `x` with zeros before and after it along an axis.
fn pad<T: Real>(x: &Tensor<T>, axis: usize, before: usize, after: usize) -> Tensor<T> {
    let inner = x.dims()[axis + 1..].iter().product::<usize>();
    let extent = x.dims()[axis];
    let (zeros, from) = (before * inner, extent * inner);
    let padded = before.saturating_add(extent).saturating_add(after);
    let mut y = Tensor::scratch(with_extent(x.shape(), axis, padded));
    fill_parts(y.data_mut(), padded * inner, |i, first, part| {
        let within = |place: usize| place.saturating_sub(first).min(part.len());
        let (start, end) = (within(zeros), within(zeros + from));
        part[..start].fill(T::ZERO);
        part[end..].fill(T::ZERO);
        if end > start {
            let at = i * from + first + start - zeros;
            part[start..end].copy_from_slice(&x.data()[at..][..end - start]);
        }
    });
    y
}

/// [`for_each_part`] of all blocks, in parallel.
fn fill_parts<T: Real>(y: &mut [T], block: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) {
    for_each_slab(y, SLAB, |start, slab| for_each_part(start, slab, block, &f));
}

fn with_extent(shape: Shape, axis: usize, extent: usize) -> Shape {
    let mut dims = shape.dims().to_vec();
    dims[axis] = extent;
    Shape::new(&dims)
}

impl<'t, T: Real> Var<'t, T> {
    /// The same numbers under another shape; the memory is shared. Saves the old shape.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::zeros([2, 3, 4]));
    /// assert_eq!(x.reshape([6, 4]).shape().dims(), [6, 4]);
    /// ```
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Self {
        let (from, to) = (self.shape(), shape.into());
        assert!(
            from.numel() == to.numel(),
            "reshape: {from} has {} numbers, {to} has {}",
            from.numel(),
            to.numel()
        );
        self.tape().apply(Reshape { to }, [self])
    }

    /// The numbers with the axes in another order: axis i of y is axis `axes[i]` of x. Saves nothing.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    /// assert_eq!(x.permute(&[1, 0]).value().data(), [1.0, 3.0, 2.0, 4.0]);
    /// ```
    ///
    /// # Panics
    /// Unless `axes` names every axis once.
    #[track_caller]
    pub fn permute(self, axes: &[usize]) -> Self {
        self.shape().permuted(axes);
        self.tape().apply(Permute { axes: axes.to_vec() }, [self])
    }

    /// The part in `range` of axis `axis`. Saves the axis' extent.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::train(0);
    /// let x = tape.variable(Tensor::from_vec([3], vec![1.0, 2.0, 3.0]));
    /// let y = x.clone().slice(0, 1..3);
    /// assert_eq!(y.value().data(), [2.0, 3.0]);
    /// assert_eq!(y.sum().backward().wrt(&x).unwrap().data(), [0.0, 1.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, or the range leaves it.
    #[track_caller]
    pub fn slice(self, axis: usize, range: Range<usize>) -> Self {
        let shape = self.shape();
        check_axis("slice", shape, axis);
        assert!(
            range.start <= range.end && range.end <= shape[axis],
            "slice: {range:?} is not within {} of {shape}, which is {}",
            axis_name(shape.rank(), axis),
            shape[axis]
        );
        self.tape().apply(Slice { axis, range }, [self])
    }

    /// Zeros before and after, along axis `axis`. Saves nothing.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let x = tape.constant(Tensor::from_vec([2], vec![1.0, 2.0]));
    /// assert_eq!(x.pad(0, 1, 2).value().data(), [0.0, 1.0, 2.0, 0.0, 0.0]);
    /// ```
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn pad(self, axis: usize, before: usize, after: usize) -> Self {
        check_axis("pad", self.shape(), axis);
        self.tape().apply(Pad { axis, before, after }, [self])
    }

    /// The channels of `self`, then those of `other`: `[.., a]` and `[.., b]` → `[.., a + b]`. Saves nothing.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let a = tape.constant(Tensor::from_vec([2, 1], vec![1.0, 2.0]));
    /// let b = tape.constant(Tensor::from_vec([2, 2], vec![3.0, 4.0, 5.0, 6.0]));
    /// assert_eq!(a.concat_channels(b).value().data(), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    /// ```
    ///
    /// # Panics
    /// If the axes before the last differ.
    #[track_caller]
    pub fn concat_channels(self, other: Var<'t, T>) -> Self {
        let (a, b) = (self.shape(), other.shape());
        assert!(
            a.rank() == b.rank() && a.rank() > 0,
            "concat_channels: {a} and {b} must have the same number of axes, at least one"
        );
        if let Some(axis) = (0..a.rank() - 1).find(|&i| a[i] != b[i]) {
            panic!("concat_channels: {a} and {b} differ in {}", axis_name(a.rank(), axis));
        }
        tape_of([Some(&self), Some(&other)]).apply(ConcatChannels, [self, other])
    }
}
