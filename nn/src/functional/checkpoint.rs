//! Recomputation of what reads and gives [`Input`]s.

use autograd::Real;

use super::Input;

/// `f(inputs)`, of which only the inputs are kept: the backward pass computes `f` again. See
/// [`Tape::checkpoint`](autograd::Tape::checkpoint), which this is for inputs that are computed as they are read.
///
/// # Panics
/// If there are no inputs.
#[track_caller]
pub fn checkpoint<'t, T: Real, const N: usize>(
    inputs: [Input<'t, T>; N],
    f: impl for<'a> Fn([Input<'a, T>; N]) -> Input<'a, T> + Send + 'static,
) -> Input<'t, T> {
    let tape = inputs.first().expect("a checkpoint has at least one input").tape();
    let recomputed = tape.checkpoint(inputs.map(Input::into_var), move |tape, inputs| {
        let y = f(inputs.map(Input::from));
        if tape.is_recording() { y.into_place() } else { y.into_var() }
    });
    recomputed.into()
}
