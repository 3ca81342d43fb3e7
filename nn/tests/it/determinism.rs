//! The same bits for any number of threads, and no element left unwritten, for inputs of several slabs.

use autograd::{Tensor, Var};
use nn::functional::{
    Activation, Conv3dSpec, ConvTranspose3dSpec, NormKind, NormSettings, Pool3dSpec, UpsampleMode, add_act,
    avg_pool3d, conv_transpose3d, conv3d, dropout, linear, max_pool3d, norm_act, upsample,
};

use crate::support::{random, same_for_any_threads, value_and_gradients};

fn volume() -> Tensor<f32> {
    random([2, 7, 21, 19, 17], 1)
}

fn holds<F>(name: &str, others: &[Tensor<f32>], f: F)
where
    F: for<'t> Fn(&[Var<'t, f32>]) -> Var<'t, f32> + Sync,
{
    let inputs: Vec<_> = std::iter::once(volume()).chain(others.iter().cloned()).collect();
    same_for_any_threads(name, || value_and_gradients(&inputs, |_, v| f(v)));
}

#[test]
fn normalisations_do_not_depend_on_threads() {
    let affine = [random([17], 2), random([17], 3)];
    for kind in [NormKind::Instance, NormKind::Group(1), NormKind::Batch] {
        for activation in [Activation::leaky_relu(0.01), Activation::Gelu] {
            let settings = NormSettings::new(kind).with_activation(activation);
            holds("norm_act", &affine, |v| {
                norm_act(v[0].clone(), Some(v[1].clone()), Some(v[2].clone()), settings).into_var()
            });
        }
    }
}

#[test]
fn activated_sums_do_not_depend_on_threads() {
    let others = [random([17], 2), random([2, 7, 21, 19, 17], 3)];
    let settings = NormSettings::new(NormKind::Instance);
    holds("add_act", &others, |v| {
        let normalised = norm_act(v[0].clone(), Some(v[1].clone()), None, settings);
        add_act(normalised, v[2].clone(), Activation::leaky_relu(0.01)).into_var()
    });
}

#[test]
fn the_unit_does_not_depend_on_threads() {
    let others = [random([17], 2), random([17], 3), random([3, 3, 3, 17, 8], 4), random([8], 5)];
    let settings = NormSettings::new(NormKind::Instance).with_activation(Activation::Relu);
    holds("norm_act and conv3d", &others, |v| {
        let [gamma, beta, bias] = [1, 2, 4].map(|i: usize| Some(v[i].clone()));
        let spec = Conv3dSpec::new([3; 3]).same_padding();
        conv3d(norm_act(v[0].clone(), gamma, beta, settings), v[3].clone(), bias, spec)
    });
}

#[test]
fn linear_maps_do_not_depend_on_threads() {
    let kernel = [random([2, 2, 2, 17, 9], 4), random([9], 5)];
    let matrix = [random([17, 9], 4), random([9], 5)];
    let spec = ConvTranspose3dSpec { stride: [2; 3], ..ConvTranspose3dSpec::new([2; 3]) };
    holds("conv3d", &kernel, |v| {
        conv3d(v[0].clone(), v[1].clone(), Some(v[2].clone()), Conv3dSpec::new([2; 3]))
    });
    holds("conv_transpose3d", &kernel, |v| {
        conv_transpose3d(v[0].clone(), v[1].clone(), Some(v[2].clone()), spec)
    });
    holds("linear", &matrix, |v| linear(v[0].clone(), v[1].clone(), Some(v[2].clone())));
}

#[test]
fn pooling_upsampling_and_dropout_do_not_depend_on_threads() {
    let overlapping = Pool3dSpec { kernel: [3; 3], stride: [2; 3], padding: [1; 3] };
    holds("max_pool3d", &[], |v| max_pool3d(v[0].clone(), Pool3dSpec::new([2; 3])));
    holds("max_pool3d, overlapping", &[], |v| max_pool3d(v[0].clone(), overlapping));
    holds("avg_pool3d", &[], |v| avg_pool3d(v[0].clone(), overlapping, false));
    holds("nearest", &[], |v| upsample(v[0].clone(), [1, 2, 2], UpsampleMode::Nearest));
    holds("trilinear", &[], |v| upsample(v[0].clone(), [2, 1, 2], UpsampleMode::Trilinear));
    holds("dropout", &[], |v| dropout(v[0].clone(), 0.3));
}
