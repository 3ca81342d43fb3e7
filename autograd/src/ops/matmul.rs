//! Matrix products.

use super::tape_of;
use crate::gemm::{Matrix, gemm};
use crate::{Backward, Function, Real, Shape, Tensor, Var};

/// y = a·b, da = dy·bᵀ, db = aᵀ·dy
struct Matmul;

impl<T: Real> Function<T, 2> for Matmul {
    fn forward(&self, [a, b]: [&Tensor<T>; 2], needs: [bool; 2]) -> (Tensor<T>, Self::Saved) {
        let mut y = Tensor::scratch(a.shape().with_channels(b.channels()));
        gemm(matrix(a, a.shape()), matrix(b, b.shape()), y.data_mut());
        let kept = [needs[1].then(|| a.clone()), needs[0].then(|| b.clone())];
        (y, (kept, [a.shape(), b.shape()]))
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
        let of_y = matrix(&dy, shape_a.with_channels(shape_b.channels()));
        let da = b.map(|b| {
            let mut da = Tensor::scratch(shape_a);
            gemm(of_y, matrix(&b, shape_b).t(), da.data_mut());
            da
        });
        let db = a.map(|a| {
            let mut db = Tensor::scratch(shape_b);
            gemm(matrix(&a, shape_a).t(), of_y, db.data_mut());
            db
        });
        [da, db]
    }
}

/// `[.., k]` as a matrix with a row for each position.
fn matrix<T: Real>(x: &Tensor<T>, shape: Shape) -> Matrix<'_, T> {
    Matrix::new(x.data(), shape.rows(), shape.channels())
}

impl<'t, T: Real> Var<'t, T> {
    /// The matrix product a·b: a linear map of the channels of every position.
    ///
    /// | a | b | a·b |
    /// |---|---|---|
    /// | `[m, k]` | `[k, n]` | `[m, n]` |
    /// | `[.., k]` | `[k, n]` | `[.., n]` |
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
    /// Unless b has two axes, a has some, and the last of a is as long as the first of b.
    #[track_caller]
    pub fn matmul(self, b: Var<'t, T>) -> Self {
        let (of_a, of_b) = (self.shape(), b.shape());
        assert!(
            of_b.rank() == 2 && of_a.rank() > 0 && of_a.channels() == of_b[0],
            "matmul: [.., k] times [k, n] was given {of_a} times {of_b}"
        );
        tape_of([Some(&self), Some(&b)]).apply(Matmul, [self, b])
    }
}
