//! Dropout.

use autograd::parallel::{SLAB, for_each_slab};
use autograd::{Backward, Function, Mode, Real, Tensor, Var};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

/// y = x·m/(1 − p), each m being 0 with probability p and else 1.
///
/// The random numbers are those of ChaCha8 keyed by `key`, with one stream for each slab of [`SLAB`] elements of each sample,
/// so they depend neither on threads nor on what was computed before nor on how a batch is divided. Nothing is saved: the backward pass draws them again.
///
/// # Source
/// Srivastava et al. 2014; scaled in training ("inverted"), so that use needs no scale.
struct Dropout {
    /// The probability of a zero.
    p: f64,
    /// The key of the random numbers.
    key: u64,
    /// The place of the first sample in its batch.
    first_sample: u64,
}

/// In training and on a [Monte Carlo](autograd::Tape::monte_carlo) tape, `x` `[n, ...]` with each number dropped with
/// probability `p`; else `x`.
///
/// The key is the next of the tape: see [`Tape::draw_key`](autograd::Tape::draw_key).
///
/// # Panics
/// Unless 0 ≤ p ≤ 1.
#[track_caller]
pub fn dropout<T: Real>(x: Var<'_, T>, p: f64) -> Var<'_, T> {
    assert!((0.0..=1.0).contains(&p), "dropout: p = {p} is no probability");
    if x.tape().mode() == Mode::Eval || p == 0.0 {
        return x;
    }
    let (key, first_sample) = (x.tape().draw_key(), x.tape().first_sample());
    x.tape().apply(Dropout { p, key, first_sample }, [x])
}

impl Dropout {
    /// The operation is its own adjoint.
    fn of<T: Real>(&self, mut x: Tensor<T>) -> Tensor<T> {
        // A draw is below 2^32·p with probability p.
        let threshold = (self.p * 4_294_967_296.0).round() as u64;
        let scale = if self.p < 1.0 { T::from_f64(1.0 / (1.0 - self.p)) } else { T::ZERO };
        let samples = x.dims().first().copied().unwrap_or(1);
        let of_sample = (x.numel() / samples.max(1)).max(1);
        for (n, x) in (self.first_sample..).zip(x.data_mut().chunks_exact_mut(of_sample)) {
            for_each_slab(x, SLAB, |start, x| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.key);
                rng.set_stream(n << 32 | (start / SLAB) as u64);
                for x in x {
                    let dropped = u64::from(rng.next_u32()) < threshold;
                    *x = if dropped { T::ZERO } else { *x * scale };
                }
            });
        }
        x
    }
}

impl<T: Real> Function<T, 1> for Dropout {
    fn forward(&self, [x]: [&Tensor<T>; 1], _: [bool; 1]) -> (Tensor<T>, ()) {
        (self.of(x.clone()), ())
    }
}

impl<T: Real> Backward<T, 1> for Dropout {
    type Saved = ();

    fn backward(&self, (): (), dy: Tensor<T>, _: [bool; 1]) -> [Option<Tensor<T>>; 1] {
        [Some(self.of(dy))]
    }
}
