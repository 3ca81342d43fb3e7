//! Normalisations.

use autograd::{Tape, Tensor, Var};
use nn::functional::{ChannelStats, NormKind, NormSettings, norm_act, norm_act_by};

use super::case::Case;

fn eps(case: &Case) -> f64 {
    case.number("epsilon", 1e-5)
}

/// x, γ and β.
fn arguments<'t>(case: &Case, tape: &'t Tape<f32>) -> [Var<'t, f32>; 3] {
    [case.volume(0), case.input(1), case.input(2)].map(|tensor| tape.constant(tensor))
}

fn by_own_statistics(case: &Case, kind: NormKind) -> Tensor<f32> {
    let tape = Tape::no_grad();
    let [x, gamma, beta] = arguments(case, &tape);
    let settings = NormSettings::new(kind).with_eps(eps(case));
    case.onnx_shaped(norm_act(x, Some(gamma), Some(beta), settings).into_var().value())
}

pub(crate) fn instance(case: &Case) -> Vec<Tensor<f32>> {
    vec![by_own_statistics(case, NormKind::Instance)]
}

pub(crate) fn group(case: &Case) -> Vec<Tensor<f32>> {
    let groups = usize::try_from(case.integer("num_groups", 1)).expect("a number of groups");
    vec![by_own_statistics(case, NormKind::Group(groups))]
}

pub(crate) fn batch(case: &Case) -> Vec<Tensor<f32>> {
    let (mean, variance) = (case.input(3), case.input(4));
    if case.integer("training_mode", 0) == 0 {
        let tape = Tape::no_grad();
        let [x, gamma, beta] = arguments(case, &tape);
        let settings = NormSettings::new(NormKind::Batch).with_eps(eps(case));
        let y = norm_act_by(x, &mean, &variance, Some(gamma), Some(beta), settings);
        return vec![case.onnx_shaped(y.into_var().value())];
    }
    let stats = ChannelStats::of(&case.volume(0));
    let (batch_mean, batch_variance) = stats.batch_mean_and_variance();
    // ONNX's running variance follows the biased one, PyTorch's and ours the unbiased.
    let count = (stats.samples() * stats.voxels()) as f32;
    let biased: Vec<f32> = batch_variance.iter().map(|v| v * ((count - 1.0) / count)).collect();
    let keep = case.number("momentum", 0.9) as f32;
    let running = |old: &Tensor<f32>, new: &[f32]| {
        Tensor::from_fn(old.shape(), |c| keep * old.data()[c] + (1.0 - keep) * new[c])
    };
    let y = by_own_statistics(case, NormKind::Batch);
    vec![y, running(&mean, &batch_mean), running(&variance, &biased)]
}
