//! What counts, what is ignored, what is empty; weights of every kind; threads.

use autograd::{Tape, Tensor};
use losses::{
    Bce, BceWithLogits, CrossEntropy, DeepSupervision, Dice, DiceBce, DiceCe, EmptyPolicy, Error, Focal,
    GeneralisedDice, Labels, Loss, Reduction, Tversky, Weight,
};
use proptest::prelude::*;

use crate::support::{assert_close, counts, noise, noise_tensor, run, try_run};

/// Every loss that takes labels of two classes on `channels` channels, ignoring 255.
fn every_loss(channels: usize) -> Vec<(&'static str, Box<dyn Loss<f64>>)> {
    let mut all: Vec<(&'static str, Box<dyn Loss<f64>>)> = vec![
        ("bce", Box::new(BceWithLogits::new().pos_weight(3).ignore_index(255))),
        ("focal", Box::new(Focal::new().ignore_index(255))),
        ("dice", Box::new(Dice::new().ignore_index(255))),
        ("batch dice", Box::new(Dice::new().batch(true).squared(true).ignore_index(255))),
        ("generalised dice", Box::new(GeneralisedDice::new().ignore_index(255))),
        ("focal tversky", Box::new(Tversky::new(0.3, 0.7).focal(1.5).ignore_index(255))),
        ("dice + bce", Box::new(DiceBce::default().ignore_index(255))),
    ];
    if channels > 1 {
        all.push(("cross-entropy", Box::new(CrossEntropy::new().class_weights([1, 4]).ignore_index(255))));
        all.push(("smoothed", Box::new(CrossEntropy::new().label_smoothing(0.1).ignore_index(255))));
        all.push(("softmax dice", Box::new(Dice::new().softmax().ignore_index(255))));
        all.push(("dice + ce", Box::new(DiceCe::default().ignore_index(255))));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn an_ignored_voxel_is_as_if_it_were_not_there(
        voxels in 1..12usize, c in 1..3usize, ignored in proptest::collection::vec(any::<bool>(), 12), key in 0..1000u64,
    ) {
        prop_assume!(ignored[..voxels].iter().any(|&i| !i));
        let kept: Vec<usize> = (0..voxels).filter(|&i| !ignored[i]).collect();
        let logits = noise_tensor(key, &[1, voxels, c], 4.0);
        let label = |i: usize| i32::from(noise(key + 1, i) > 0.2);
        let labels = Labels::from_fn([1, voxels], |i| if ignored[i] { 255 } else { label(i) });
        let fewer = Tensor::from_fn([1, kept.len(), c], |i| logits.data()[kept[i / c] * c + i % c]);
        let fewer_labels = Labels::from_fn([1, kept.len()], |i| label(kept[i]));
        for (name, loss) in every_loss(c) {
            let (value, gradient) = run(&*loss, &logits, (&labels).into());
            let (want, slopes) = run(&*loss, &fewer, (&fewer_labels).into());
            assert_close(&value, &want, 1e-13);
            let mut all = vec![0.0; voxels * c];
            for (row, &at) in slopes.chunks(c).zip(&kept) {
                all[at * c..(at + 1) * c].copy_from_slice(row);
            }
            assert_close(&gradient, &all, 1e-13);
            let (_, left_out, _) = counts(&*loss, &logits, (&labels).into());
            prop_assert!(left_out >= (voxels - kept.len()) as u64, "{name}");
        }
    }
}

#[test]
fn everything_ignored_is_zero_with_zero_gradient_and_is_reported() {
    for c in [1, 2] {
        let logits: Tensor<f64> = noise_tensor(1, &[2, 3, c], 4.0);
        let labels = Labels::from_vec([2, 3], vec![255u8; 6]);
        for (name, loss) in every_loss(c) {
            assert_eq!(run(&*loss, &logits, (&labels).into()), (vec![0.0], vec![0.0; 6 * c]), "{name}");
            let tape = Tape::no_grad();
            assert!(
                loss.report(&tape.constant(logits.clone()), (&labels).into()).unwrap().is_empty(),
                "{name}"
            );
        }
    }
}

#[test]
fn the_policy_decides_what_an_empty_mean_is() {
    let logits: Tensor<f64> = noise_tensor(1, &[3, 2], 4.0);
    let ignored = Labels::from_vec([3], vec![255u8; 3]);
    let target = || (&ignored).into();
    let with = |policy| -> [Box<dyn Loss<f64>>; 3] {
        [
            Box::new(BceWithLogits::new().ignore_index(255).empty(policy)),
            Box::new(CrossEntropy::new().ignore_index(255).empty(policy)),
            Box::new(Dice::new().ignore_index(255).empty(policy)),
        ]
    };
    for loss in with(EmptyPolicy::Nan) {
        assert!(run(&loss, &logits, target()).0[0].is_nan());
    }
    for loss in with(EmptyPolicy::Error) {
        let error = try_run(&loss, &logits, target()).unwrap_err();
        assert!(matches!(error, Error::Empty { .. }), "{error}");
    }
    // A class of weight 0 is present, and no other.
    let zero = CrossEntropy::new().class_weights([0, 1]);
    let labels = Labels::from_vec([3], vec![0u8; 3]);
    assert_eq!(run(&zero, &logits, (&labels).into()), (vec![0.0], vec![0.0; 6]));
    assert_eq!(counts(&zero, &logits, (&labels).into()), (3, 0, 0.0));
}

#[test]
fn a_voxel_of_weight_zero_counts_and_an_ignored_one_does_not() {
    let logits = Tensor::<f64>::zeros([4, 1]);
    let labels = Labels::from_vec([4], vec![1u8, 0, 0, 255]);
    let weight = Tensor::from_vec([4, 1], vec![1.0, 1.0, 0.0, 1.0]);
    let loss = BceWithLogits::new().weight(weight).ignore_index(255);
    let (value, gradient) = run(&loss, &logits, (&labels).into());
    assert_close(&value, &[2.0 / 3.0 * 2f64.ln()], 1e-15);
    assert_close(&gradient, &[-0.5 / 3.0, 0.5 / 3.0, 0.0, 0.0], 1e-15);
    assert_eq!(counts(&loss, &logits, (&labels).into()), (3, 1, 3.0));
}

#[test]
fn a_mask_beside_soft_targets_leaves_numerator_and_denominator() {
    let logits: Tensor<f64> = noise_tensor(1, &[1, 4, 2], 2.0);
    let soft = Tensor::from_fn([1, 4, 2], |i| noise(2, i) * 0.5 + 0.5);
    let mask = Labels::from_vec([1, 4], vec![1u8, 1, 0, 0]);
    let first = |t: &Tensor<f64>| Tensor::from_slice([1, 2, 2], &t.data()[..4]);
    let losses: [&dyn Loss<f64>; 4] =
        [&BceWithLogits::new(), &Focal::new(), &Dice::new(), &CrossEntropy::new()];
    for loss in losses {
        let got = run(loss, &logits, (&soft, &mask).into()).0;
        assert_close(&got, &run(loss, &first(&logits), (&first(&soft)).into()).0, 1e-14);
    }
}

#[test]
fn a_mask_per_element_is_for_channels_that_are_a_yes_or_no_each() {
    // One voxel; its second class is masked out, and with it half of the elements.
    let logits = Tensor::from_vec([1, 2], vec![0.5f64, -0.5]);
    let soft = Tensor::from_vec([1, 2], vec![0.75, 0.25]);
    let mask = Labels::from_vec([1, 2], vec![1u8, 0]);
    let exclusive: [&dyn Loss<f64>; 3] =
        [&CrossEntropy::new(), &Dice::new().softmax(), &CrossEntropy::new().reduction(Reduction::Sum)];
    for loss in exclusive {
        let message = try_run(loss, &logits, (&soft, &mask).into()).unwrap_err().to_string();
        assert!(message.contains("exclude each other") && message.contains("per voxel, [1]"), "{message}");
    }
    let independent: [&dyn Loss<f64>; 3] = [&BceWithLogits::new(), &Focal::new(), &Dice::new()];
    for loss in independent {
        let (value, gradient) = run(loss, &logits, (&soft, &mask).into());
        assert!(value[0] > 0.0 && gradient[0] != 0.0 && gradient[1] == 0.0, "{value:?} {gradient:?}");
        assert_eq!(counts(loss, &logits, (&soft, &mask).into()).0, 1, "it counts");
    }
}

#[test]
fn an_upstream_gradient_per_voxel_meets_its_voxel_in_every_slab() {
    // Several slabs, each of many voxels.
    let (voxels, c) = (20_000, 3);
    let logits: Tensor<f64> = noise_tensor(1, &[1, voxels, c], 2.0);
    let labels = Labels::from_fn([1, voxels], |i| (i % c) as i32);
    let loss = CrossEntropy::new().reduction(Reduction::None);
    let plain = run(&loss, &logits, (&labels).into()).1;
    let dy = noise_tensor(2, &[1, voxels], 1.0);
    let tape = Tape::train(0);
    let x = tape.variable(logits);
    let y = loss.forward(&x, &labels).unwrap();
    let gradients = y.backward_with(dy.clone());
    let got = gradients.wrt(&x).unwrap().data();
    assert!((0..voxels * c).all(|i| got[i] == plain[i] * dy.data()[i / c]));
}

#[test]
fn labels_of_deep_supervision_may_have_a_trailing_axis_of_one_class() {
    let run = |shape: &[usize]| {
        let tape = Tape::train(0);
        let scales =
            [[1, 4, 4, 4, 1], [1, 2, 2, 2, 1]].map(|s| tape.variable(noise_tensor::<f64>(1, &s, 1.0)));
        let labels = Labels::from_fn(shape, |i| i32::from(i % 3 == 0));
        DeepSupervision::new(BceWithLogits::new()).forward(&scales, &labels).map(|loss| loss.item())
    };
    let plain = run(&[1, 4, 4, 4]).unwrap();
    assert_eq!(run(&[1, 4, 4, 4, 1]).unwrap(), plain);
    for wrong in [&[1, 4, 4, 4, 2][..], &[1, 4, 4], &[2, 4, 4, 4]] {
        assert!(matches!(run(wrong), Err(Error::TargetShape { .. })), "{wrong:?}");
    }
}

#[test]
fn weights_of_any_number_type_and_kind_mean_the_same() {
    let logits: Tensor<f64> = noise_tensor(1, &[2, 3, 2], 2.0);
    let target = Tensor::from_fn([2, 3, 2], |i| noise(2, i) * 0.5 + 0.5);
    let weights: Vec<Weight<f64>> = vec![
        10.into(),
        10.0.into(),
        10u64.into(),
        10u8.into(),
        10f32.into(),
        vec![10.0, 10.0].into(),
        [10, 10].into(),
        Tensor::full([2, 3, 2], 10.0).into(),
        Tensor::full([2, 3], 10.0).into(),
        Tensor::full([2, 3, 1], 10.0).into(),
    ];
    let of = |w: &Weight<f64>| {
        run(&BceWithLogits::new().pos_weight(w.clone()).weight(w.clone()), &logits, (&target).into())
    };
    let want = of(&weights[0]);
    for weight in &weights {
        assert_eq!(of(weight), want, "{weight:?}");
    }
    let loss = BceWithLogits::new().pos_weight(10);
    assert_eq!(loss, BceWithLogits::<f64>::new().pos_weight(10.0));
}

#[test]
fn a_weight_per_channel_meets_the_channel_axis_where_other_axes_are_as_long() {
    // [n, d, h, w, c] = [2, 2, 2, 2, 2]: aligned to the right in PyTorch's layout, it would meet w.
    let logits = Tensor::<f64>::zeros([2, 2, 2, 2, 2]);
    let loss = BceWithLogits::new().weight([1, 3]).reduction(Reduction::None);
    let (values, _) = run(&loss, &logits, (&Tensor::zeros([2, 2, 2, 2, 2])).into());
    let ln2 = 2f64.ln();
    assert_close(&values, &[ln2, 3.0 * ln2].repeat(16), 1e-15);
}

#[test]
fn images_of_two_classes_go_through_the_same_losses() {
    // [2, 2, 224, 224] in PyTorch's words.
    let logits: Tensor<f32> = noise_tensor(1, &[2, 224, 224, 2], 3.0);
    let labels = Labels::from_fn([2, 224, 224], |i| i32::from(i % 224 > 180));
    let target = || (&labels).into();
    let p = 4.0;
    let (ce, gradient) = run::<f32>(&CrossEntropy::new().class_weights([1.0, p]), &logits, target());
    let difference = Tensor::from_fn([2, 224, 224, 1], |i| logits.data()[2 * i + 1] - logits.data()[2 * i]);
    let bce = run(&BceWithLogits::new().pos_weight(p).reduction(Reduction::Sum), &difference, target()).0;
    let weights: f64 = labels.iter().map(|t| if t == 1 { p } else { 1.0 }).sum();
    // Two sums of 1e5 terms in f32 by chunks of 512.
    let tolerance = 512.0 * f64::from(f32::EPSILON);
    assert!((ce[0] - bce[0] / weights).abs() < tolerance * ce[0], "{ce:?} {bce:?}");
    assert_eq!(gradient.len(), 2 * 2 * 224 * 224);
    for loss in [Dice::new().softmax(), Dice::new()] {
        assert!((0.0..=1.0).contains(&run(&loss, &logits, target()).0[0]));
    }
}

#[test]
fn the_same_bits_come_out_of_any_number_of_threads() {
    for c in [1, 2] {
        // Several slabs in each of two samples, the last one shorter.
        let logits: Tensor<f32> = noise_tensor(1, &[2, 3, 100, 101, c], 4.0);
        let labels =
            Labels::from_fn([2, 3, 100, 101], |i| if i % 11 == 0 { 255 } else { i32::from(i % 3 == 0) });
        let mut losses: Vec<Box<dyn Loss<f32>>> = vec![
            Box::new(BceWithLogits::new().pos_weight(3).ignore_index(255)),
            Box::new(Focal::new().ignore_index(255)),
            Box::new(DiceBce::default().ignore_index(255)),
            Box::new(GeneralisedDice::new().ignore_index(255)),
        ];
        if c > 1 {
            losses.push(Box::new(DiceCe::default().ignore_index(255)));
        }
        for loss in losses {
            let on = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let (value, gradient) = pool.install(|| run(&loss, &logits, (&labels).into()));
                let bits = |v: Vec<f64>| v.into_iter().map(f64::to_bits).collect::<Vec<_>>();
                (bits(value), bits(gradient))
            };
            let one = on(1);
            assert!(on(2) == one && on(3) == one);
        }
    }
}

#[test]
fn bce_on_probabilities_clamps_its_logs() {
    let x = Tensor::from_vec([4], vec![0.0, 1.0, 0.0, 1.0]);
    let y = Tensor::from_vec([4], vec![1.0, 0.0, 0.0, 1.0]);
    let (values, gradient) = run::<f64>(&Bce::new().reduction(Reduction::None), &x, (&y).into());
    assert_eq!(values, [100.0, 100.0, 0.0, 0.0]);
    assert_close(&gradient, &[-1e12, 1e12, 0.0, 0.0], 1e-15);
}

#[test]
fn deep_supervision_weighs_scales_by_halves_and_one_scale_alone_by_one() {
    let tape = Tape::train(0);
    let x: Vec<_> =
        [8, 4, 2].map(|e| tape.variable(noise_tensor::<f64>(e as u64, &[1, e, e, e, 1], 2.0))).into();
    let labels = Labels::from_fn([1, 8, 8, 8], |i| i32::from(noise(9, i) > 0.0));
    let bce = BceWithLogits::new();
    let alone: Vec<f64> = x
        .iter()
        .map(|x| {
            let [n, d, h, w, _] = x.value().dims5();
            bce.forward(x, &labels.resample_nearest([n, d, h, w])).unwrap().item()
        })
        .collect();
    let deep = DeepSupervision::new(bce.clone());
    let got = deep.forward(&x, &labels).unwrap().item();
    assert_close(&[got], &[(4.0 * alone[0] + 2.0 * alone[1] + alone[2]) / 7.0], 1e-14);
    assert_close(&[deep.forward(&x[..1], &labels).unwrap().item()], &alone[..1], 1e-15);
    let flat = deep.clone().weights([1.0, 0.0, 0.0]).forward(&x, &labels).unwrap().item();
    assert_close(&[flat], &alone[..1], 1e-15);
    assert!(deep.forward::<f64>(&[], &labels).is_err());
    assert!(deep.weights([0.0, 0.0, 0.0]).forward(&x, &labels).is_err());
}

#[test]
fn nearest_labels_are_those_of_pytorch() {
    // torch.nn.functional.interpolate(x, size, mode="nearest"): source = floor(i · in / out)
    let labels = Labels::from_vec([1, 5], vec![10u8, 11, 12, 13, 14]);
    assert_eq!(labels.resample_nearest([1, 2]).iter().collect::<Vec<_>>(), [10, 12]);
    assert_eq!(labels.resample_nearest([1, 3]).iter().collect::<Vec<_>>(), [10, 11, 13]);
    let plane = Labels::from_vec([2, 2, 3], (0..12).collect::<Vec<i32>>());
    assert_eq!(plane.resample_nearest([2, 1, 3]).iter().collect::<Vec<_>>(), [0, 1, 2, 6, 7, 8]);
}
