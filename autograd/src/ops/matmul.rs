//! Matrix products, one or a batch of them.

use super::tape_of;
use crate::gemm::{Matrix, gemm};
use crate::parallel::for_each_slab;
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// y = a·b, da = dy·bᵀ, db = aᵀ·dy, for each matrix of the batch
struct Matmul {
    batch: usize,
}

impl Matmul {
    /// `f(a, b)` of each pair of matrices, row by row in a tensor of this shape.
    fn each<T: Real>(
        &self,
        shape: Shape,
        [a, b]: [(&Tensor<T>, Shape); 2],
        f: impl for<'m> Fn(Matrix<'m, T>, Matrix<'m, T>, &mut [T]) + Sync,
    ) -> Tensor<T> {
        let mut y = Tensor::scratch(shape);
        let one = shape.numel() / self.batch.max(1);
        for_each_slab(y.data_mut(), one.max(1), |start, y| {
            let [a, b] = [a, b].map(|(x, shape)| {
                let columns = shape.channels();
                let rows = shape[..shape.rank() - 1].iter().product::<usize>() / self.batch;
                let first = start / one * rows * columns;
                Matrix::new(&x.data()[first..first + rows * columns], rows, columns)
            });
            f(a, b, y);
        });
        y
    }
}

impl<T: Real> Function<T, 2> for Matmul {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], needs: [bool; 2]) -> (Tensor<T>, Self::Saved) {
        let shapes = [a.shape(), b.shape()];
        let y = self.each(shapes[0].with_channels(b.channels()), [(a, shapes[0]), (b, shapes[1])], gemm);
        let kept = [needs[1].then(|| a.clone()), needs[0].then(|| b.clone())];
        (y, (kept, shapes))
    }
}

impl<T: Real> Backward<T, 2> for Matmul {
    type Saved = ([Option<Tensor<T>>; 2], [Shape; 2]);

    fn backward(
        &self,
        ([a, b], [shape_a, shape_b]): Self::Saved,
        dy: Tensor<T>,
        _: [bool; 2],
    ) -> [Option<Tensor<T>>; 2] {
        let of_y = (&dy, dy.shape());
        let da = b.map(|b| self.each(shape_a, [of_y, (&b, shape_b)], |dy, b, da| gemm(dy, b.t(), da)));
        let db = a.map(|a| self.each(shape_b, [(&a, shape_a), of_y], |a, dy, db| gemm(a.t(), dy, db)));
        [da, db]
    }
}

impl<'t, T: Real> Var<'t, T> {
    /// The matrix product a·b: a linear map of the channels of every position, or the product of each pair of matrices.
    ///
    /// | a | b | a·b |
    /// |---|---|---|
    /// | `[m, k]` | `[k, n]` | `[m, n]` |
    /// | `[.., k]` | `[k, n]` | `[.., n]` |
    /// | `[.., m, k]` | `[.., k, n]` | `[.., m, n]` |
    ///
    /// da = dy·bᵀ, db = aᵀ·dy. Saves a where b has a gradient, and b where a has one.
    ///
    /// ```
    /// # use autograd::{Tape, Tensor};
    /// let tape = Tape::<f32>::no_grad();
    /// let a = tape.constant(Tensor::from_vec([1, 2], vec![1.0, 2.0]));
    /// let b = tape.constant(Tensor::from_vec([2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    /// assert_eq!(a.matmul(b).value().data(), [7.0, 10.0]);
    /// ```
    ///
    /// # Panics
    /// Unless the last axis of a is as long as the last but one of b, and b has two axes or those before them that a has.
    #[track_caller]
    pub fn matmul(self, b: Var<'t, T>) -> Self {
        let (of_a, of_b) = (self.shape(), b.shape());
        let fits = match of_b.rank() {
            0 | 1 => false,
            2 => of_a.rank() > 0 && of_a.channels() == of_b[0],
            rank => {
                of_a.rank() == rank
                    && of_a[..rank - 2] == of_b[..rank - 2]
                    && of_a[rank - 1] == of_b[rank - 2]
            }
        };
        assert!(
            fits,
            "matmul: {of_a} times {of_b} is neither [.., k] times [k, n] nor [.., m, k] times [.., k, n] of one batch"
        );
        let batch = of_b[..of_b.rank() - 2].iter().product();
        tape_of([Some(&self), Some(&b)]).apply(Matmul { batch }, [self, b])
    }
}
