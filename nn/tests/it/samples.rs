//! The passes of a batch are those of its samples, bit for bit: values and gradients of inputs lie side by side, and those of
//! parameters are the samples' own, added in their order. Without that a batch could not be passed in parts.

use autograd::{Gradients, Tape, Tensor, Var};
use nn::functional::{
    Activation, Conv3dSpec, ConvTranspose3dSpec, NormKind, NormSettings, Pool3dSpec, UpsampleMode, WithStats,
    add_act, avg_pool3d, checkpoint, conv_transpose3d, conv3d, conv3d_with_stats, dropout, max_pool3d,
    norm_act, upsample,
};
use proptest::prelude::*;

use crate::support::random;

fn bits(x: &Tensor<f32>) -> Vec<u32> {
    x.data().iter().map(|v| v.to_bits()).collect()
}

/// Samples `first..first + count` of a batch.
fn samples(x: &Tensor<f32>, first: usize, count: usize) -> Tensor<f32> {
    let each = x.numel() / x.dims()[0];
    let mut dims = x.dims().to_vec();
    dims[0] = count;
    Tensor::from_slice(dims.as_slice(), &x.data()[first * each..(first + count) * each])
}

/// `f` of a batch and of parameters, against `f` of its samples.
fn holds<F>(batch: &Tensor<f32>, parameters: &[Tensor<f32>], f: F)
where
    F: for<'t> Fn(Var<'t, f32>, &[Var<'t, f32>]) -> Var<'t, f32>,
{
    let n = batch.dims()[0];
    // The value, the gradients of the inputs, and those of the parameters, of some samples.
    let of = |first: usize, count: usize| {
        let tape = Tape::train(11).from_sample(first as u64);
        let x = tape.variable(samples(batch, first, count));
        let own: Vec<_> = parameters.iter().map(|p| tape.variable(p.clone())).collect();
        let y = f(x.clone(), &own);
        let value = y.value().clone();
        let mut dims = y.shape().dims().to_vec();
        dims[0] = n;
        let dy = samples(&random(dims.as_slice(), 5), first, count);
        let gradients: Gradients = y.backward_with(dy);
        let gradient = |x: &Var<'_, f32>| gradients.wrt(x).expect("the result depends on it").clone();
        (value, gradient(&x), own.iter().map(gradient).collect::<Vec<_>>())
    };
    let (value, dx, of_parameters) = of(0, n);
    let parts: Vec<_> = (0..n).map(|i| of(i, 1)).collect();
    assert!(bits(&value) == parts.iter().flat_map(|part| bits(&part.0)).collect::<Vec<_>>(), "value");
    assert!(
        bits(&dx) == parts.iter().flat_map(|part| bits(&part.1)).collect::<Vec<_>>(),
        "gradient of the input"
    );
    for (i, whole) in of_parameters.iter().enumerate() {
        let sum = parts.iter().map(|part| part.2[i].clone()).reduce(|mut sum, next| {
            sum.add_assign(&next);
            sum
        });
        assert!(bits(whole) == bits(&sum.unwrap()), "gradient of parameter {i}");
    }
}

fn norm(kind: NormKind) -> NormSettings {
    NormSettings::new(kind).with_activation(Activation::leaky_relu(0.01))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Sizes and channels on both sides of every choice of an algorithm and of every cut.
    #[test]
    fn of_a_unit_of_convolution_and_normalisation(
        n in 2usize..5, size in (1usize..20, 1usize..34, 1usize..34),
        ci in prop::sample::select(vec![1usize, 3, 16, 40]), co in prop::sample::select(vec![1usize, 8, 17, 64]),
        flat in any::<bool>(), groups in any::<bool>(),
    ) {
        let (kernel, (d, h, w)) = (if flat { [1, 3, 3] } else { [3; 3] }, size);
        let spec = Conv3dSpec::new(kernel).same_padding();
        let [kd, kh, kw] = kernel;
        let parameters = [
            random([kd, kh, kw, ci, co], 1), random([co], 2), random([co], 3), random([co], 4),
            random([kd, kh, kw, co, 9], 5), random([1, 1, 1, 9, 3], 6),
        ];
        let kind = if groups { NormKind::Group(1) } else { NormKind::Instance };
        holds(&random([n, d, h, w, ci], 7), &parameters, |x, p| {
            let x: WithStats<'_> = conv3d_with_stats(x, p[0].clone(), Some(p[1].clone()), spec);
            let x = norm_act(x, Some(p[2].clone()), Some(p[3].clone()), norm(kind));
            // The reader of a normalisation takes its sums; the head is a single voxel.
            let x = conv3d(x, p[4].clone(), None, spec);
            conv3d(x, p[5].clone(), None, Conv3dSpec::new([1; 3]))
        });
    }

    #[test]
    fn of_convolutions_with_strides_and_transposed_ones(
        n in 2usize..4, size in (2usize..9, 2usize..20, 2usize..20), ci in 1usize..20, co in 1usize..20,
        stride in prop::array::uniform3(1usize..3), tiles in any::<bool>(),
    ) {
        let (d, h, w) = size;
        let [kd, kh, kw] = if tiles { stride } else { [2; 3] };
        let spec = Conv3dSpec { stride, ..Conv3dSpec::new([kd, kh, kw]) };
        let up = ConvTranspose3dSpec { stride, ..ConvTranspose3dSpec::new([kd, kh, kw]) };
        let parameters = [random([kd, kh, kw, ci, co], 1), random([co], 2), random([kd, kh, kw, co, 5], 3), random([5], 4)];
        holds(&random([n, d, h, w, ci], 5), &parameters, |x, p| {
            let x = conv3d(x, p[0].clone(), Some(p[1].clone()), spec);
            conv_transpose3d(x, p[2].clone(), Some(p[3].clone()), up)
        });
    }
}

#[test]
fn of_large_volumes_cut_into_strips() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for (ci, co, [d, h, w]) in [(16, 16, [26, 40, 36]), (1, 16, [26, 40, 36]), (32, 32, [17, 32, 32])] {
        let parameters = [random([3, 3, 3, ci, co], 1), random([co], 2), random([co], 3)];
        holds(&random([3, d, h, w, ci], 4), &parameters, |x, p| {
            let x = conv3d_with_stats(x, p[0].clone(), Some(p[1].clone()), spec);
            norm_act(x, Some(p[2].clone()), None, norm(NormKind::Instance)).into_var()
        });
    }
}

#[test]
fn of_what_moves_and_drops_numbers() {
    let batch = random([3, 7, 21, 19, 17], 1);
    let overlapping = Pool3dSpec { kernel: [3; 3], stride: [2; 3], padding: [1; 3] };
    holds(&batch, &[], |x, _| max_pool3d(x, Pool3dSpec::new([2; 3])));
    holds(&batch, &[], |x, _| avg_pool3d(x, overlapping, false));
    holds(&batch, &[], |x, _| upsample(x, [1, 2, 2], UpsampleMode::Trilinear));
    holds(&batch, &[], |x, _| dropout(dropout(x, 0.3), 0.2));
    holds(&batch, &[], |x, _| checkpoint([x.into()], |[x]| dropout(x.into_var(), 0.5).into()).into_var());
    holds(&batch, &[random([17], 2)], |x, p| {
        let normalised = norm_act(x.clone(), Some(p[0].clone()), None, norm(NormKind::Instance));
        add_act(normalised, x, Activation::Gelu).into_var()
    });
}
