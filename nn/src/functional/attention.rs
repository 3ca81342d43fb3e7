//! Attention, of the elementary operations.

use autograd::{Real, Var};

/// softmax(q·kᵀ/√c)·v: each query takes a mean of the values, weighted by how well it matches the keys.
///
/// | q | k | v | result |
/// |---|---|---|---|
/// | `[n, m, c]` | `[n, l, c]` | `[n, l, e]` | `[n, m, e]` |
///
/// Further axes in front, such as heads, are of the batch too. The weights, m·l of them for each element of the batch, are
/// computed and saved whole.
///
/// # Panics
/// If the shapes do not fit together.
///
/// # Source
/// Vaswani et al. 2017, equation 1; `torch.nn.functional.scaled_dot_product_attention`.
#[track_caller]
pub fn attention<'t, T: Real>(q: Var<'t, T>, k: Var<'t, T>, v: Var<'t, T>) -> Var<'t, T> {
    let (shape, rank) = (q.shape(), q.shape().rank());
    assert!(
        rank >= 2 && k.shape().rank() == rank,
        "attention: q {shape} and k {} are [.., m, c] and [.., l, c]",
        k.shape()
    );
    let mut axes: Vec<usize> = (0..rank).collect();
    axes.swap(rank - 2, rank - 1);
    let scale = T::from_f64(1.0 / (shape.channels() as f64).sqrt());
    (q * scale).matmul(k.permute(&axes)).softmax().matmul(v)
}
