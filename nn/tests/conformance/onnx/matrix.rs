//! Matrix products.

use autograd::{Tape, Tensor};

use super::case::Case;

/// α·A·B + β·C
pub(crate) fn gemm(case: &Case) -> Vec<Tensor<f32>> {
    let tape = Tape::no_grad();
    let operand = |i, transposed: &str| {
        let matrix = case.input(i);
        tape.constant(if case.integer(transposed, 0) == 1 { matrix.permute(&[1, 0]) } else { matrix })
    };
    let product = operand(0, "transA").matmul(operand(1, "transB")) * case.number("alpha", 1.0) as f32;
    let Some(c) = case.get(2) else { return vec![product.into_value()] };
    // One row for all is a vector here.
    let c = if let [1, columns] = *c.dims() { c.reshape([columns]) } else { c };
    vec![(product + tape.constant(c) * case.number("beta", 1.0) as f32).into_value()]
}

/// One product for each of the leading indices.
pub(crate) fn matmul(case: &Case) -> Vec<Tensor<f32>> {
    let (a, b) = (case.input(0), case.input(1));
    let (rank, shape) = (a.shape().rank(), case.output(0).shape());
    let [rows, inner, columns] = [a.dims()[rank - 2], a.dims()[rank - 1], b.dims()[rank - 1]];
    let mut y = Vec::new();
    for (a, b) in a.data().chunks(rows * inner).zip(b.data().chunks(inner * columns)) {
        let tape = Tape::no_grad();
        let a = tape.constant(Tensor::from_slice([rows, inner], a));
        let b = tape.constant(Tensor::from_slice([inner, columns], b));
        y.extend_from_slice(a.matmul(b).value().data());
    }
    vec![Tensor::from_vec(shape, y)]
}
