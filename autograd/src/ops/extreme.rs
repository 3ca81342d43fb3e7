//! The larger and the smaller: of two tensors, and over axes. Where several are the extreme one, the gradient is shared by
//! them equally, as in PyTorch (`maximum`, `amax`). NaN wins.

use super::broadcast::{combine, combine_into, result_shape, sum_to};
use super::{kept_axes, tape_of};
use crate::parallel::{SLAB, map_slabs};
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// Whether `a` comes before `b`: it is larger (or smaller, as `of` says), or NaN.
fn wins<T: Real>(of: Extreme, a: T, b: T) -> bool {
    let beyond = match of {
        Extreme::Largest => a > b,
        Extreme::Smallest => a < b,
    };
    beyond || a.is_nan()
}

#[derive(Clone, Copy)]
enum Extreme {
    Largest,
    Smallest,
}

/// y = the extreme of a and b; da = dy where that is a, db = dy where it is b, and half each where they are equal
struct OfTwo(Extreme);

impl<T: Real> Function<T, 2> for OfTwo {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], _: [bool; 2]) -> (Tensor<T>, [Tensor<T>; 2]) {
        (combine(a, b, |a, b| if wins(self.0, a, b) { a } else { b }), [a.clone(), b.clone()])
    }
}

impl<T: Real> Backward<T, 2> for OfTwo {
    type Saved = [Tensor<T>; 2];

    fn backward(&self, [a, b]: Self::Saved, dy: Tensor<T>, needs: [bool; 2]) -> [Option<Tensor<T>>; 2] {
        let share = combine(&a, &b, |a, b| match a == b {
            true => T::from_f64(0.5),
            false if wins(self.0, a, b) => T::ONE,
            false => T::ZERO,
        });
        let da = needs[0].then(|| sum_to(a.shape(), dy.clone().zip_map(&share, |dy, share| dy * share)));
        let db = needs[1].then(|| sum_to(b.shape(), dy.zip_map(&share, |dy, share| dy * (T::ONE - share))));
        [da, db]
    }
}

/// y = the extreme over the axes that `kept` has with extent 1; dx = dy, shared among the x that are y
struct OverAxes {
    of: Extreme,
    kept: Shape,
}

impl<T: Real> Function<T, 1> for OverAxes {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, [Tensor<T>; 2]) {
        // Summed axes to the end, so that each result is of neighbours.
        let is_kept = |axis: &usize| self.kept[*axis] != 1 || x.dims()[*axis] == 1;
        let (mut axes, over): (Vec<_>, Vec<_>) = (0..x.shape().rank()).partition(is_kept);
        axes.extend(over);
        let turned = x.permute(&axes);
        let run = x.numel() / self.kept.numel().max(1);
        let extreme =
            |run: &[T]| run.iter().skip(1).fold(run[0], |y, &x| if wins(self.of, x, y) { x } else { y });
        let slab = run.max(1) * (SLAB / run.max(1)).max(1);
        let found = map_slabs(x.numel(), slab, |range| -> Vec<T> {
            turned.data()[range].chunks_exact(run).map(extreme).collect()
        });
        let y = Tensor::from_vec(self.kept, found.concat());
        (y.clone(), [x.clone(), y])
    }
}

impl<T: Real> Backward<T, 1> for OverAxes {
    type Saved = [Tensor<T>; 2];

    fn backward(&self, [x, y]: Self::Saved, dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        let is_extreme = combine_into(x, &y, |x, y| if x == y { T::ONE } else { T::ZERO });
        let share = dy.zip_map(&sum_to(self.kept, is_extreme.clone()), |dy, count| dy / count);
        [Some(combine_into(is_extreme, &share, |is, share| is * share))]
    }
}

impl<'t, T: Real> Var<'t, T> {
    /// The larger of a and b, element by element, of shapes that broadcast as for `+`. Saves both.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let a = tape.variable(Tensor::from_vec([2], vec![1.0, 4.0]));
    /// let y = a.clone().maximum(tape.constant(Tensor::scalar(3.0)));
    /// assert_eq!(y.value().data(), [3.0, 4.0]);
    /// assert_eq!(y.sum().backward().wrt(&a).unwrap().data(), [0.0, 1.0]);
    /// ```
    ///
    /// # Panics
    /// For other shapes.
    #[track_caller]
    pub fn maximum(self, b: Var<'t, T>) -> Self {
        result_shape("maximum", &self.shape(), &b.shape());
        tape_of([Some(&self), Some(&b)]).apply(OfTwo(Extreme::Largest), [self, b])
    }

    /// The smaller of a and b: as [`maximum`](Self::maximum), panics too.
    #[track_caller]
    pub fn minimum(self, b: Var<'t, T>) -> Self {
        result_shape("minimum", &self.shape(), &b.shape());
        tape_of([Some(&self), Some(&b)]).apply(OfTwo(Extreme::Smallest), [self, b])
    }

    /// The largest number over these axes, which stay with extent 1: see [`sum_axes`](Self::sum_axes). Saves x and y.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f64>::train(0);
    /// let x = tape.variable(Tensor::from_vec([2, 2], vec![1.0, 10.0, 20.0, 2.0]));
    /// let y = x.clone().max_axes(&[1]);
    /// assert_eq!(y.value().data(), [10.0, 20.0]);
    /// assert_eq!(y.sum().backward().wrt(&x).unwrap().data(), [0.0, 1.0, 1.0, 0.0]);
    /// ```
    ///
    /// # Panics
    /// If there is no such axis, one is named twice, or there are no numbers.
    #[track_caller]
    pub fn max_axes(self, axes: &[usize]) -> Self {
        self.extreme("max_axes", Extreme::Largest, axes)
    }

    /// The smallest number over these axes: as [`max_axes`](Self::max_axes), panics too.
    #[track_caller]
    pub fn min_axes(self, axes: &[usize]) -> Self {
        self.extreme("min_axes", Extreme::Smallest, axes)
    }

    #[track_caller]
    fn extreme(self, operation: &str, of: Extreme, axes: &[usize]) -> Self {
        let kept = kept_axes(operation, self.shape(), axes);
        assert!(self.shape().numel() > 0, "{operation}: {} holds no number", self.shape());
        self.tape().apply(OverAxes { of, kept }, [self])
    }
}
