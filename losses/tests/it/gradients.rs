//! Every loss, with every reduction and kind of weight, against difference quotients in `f64`.

use autograd::Tensor;
use autograd::gradcheck::Gradcheck;
use losses::{
    Bce, BceWithLogits, Combined, CrossEntropy, DeepSupervision, Dice, DiceBce, DiceCe, Focal,
    GeneralisedDice, Labels, Loss, NllLoss, Reduction, Target, Tversky, Weight,
};
use proptest::prelude::*;

use crate::support::{noise, noise_tensor};

fn check(name: &str, loss: &dyn Loss<f64>, logits: &Tensor<f64>, target: Target<'_, f64>) {
    let seed = logits.numel() as u64;
    let checked =
        Gradcheck { seed, ..Gradcheck::new() }
            .projections(name, std::slice::from_ref(logits), |_, x| loss.report(&x[0], target).unwrap().loss);
    checked.unwrap_or_else(|mismatch| panic!("{mismatch}"));
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        (1..9usize).prop_map(|n| vec![n]),
        (1..4usize, 1..4usize).prop_map(|(n, c)| vec![n, c]),
        (1..3usize, 1..3usize, 1..4usize, 1..4usize, 1..4usize)
            .prop_map(|(n, d, h, w, c)| vec![n, d, h, w, c]),
    ]
}

fn reductions() -> impl Strategy<Value = Reduction> {
    prop_oneof![
        Just(Reduction::None),
        Just(Reduction::Sum),
        Just(Reduction::Mean),
        Just(Reduction::SumOver(3.5))
    ]
}

/// None, scalar, per channel or per element.
fn weight(kind: u8, key: u64, shape: &[usize]) -> Option<Weight<f64>> {
    let positive = |i: usize| noise(key, i) + 1.1;
    match kind {
        0 => None,
        2 if shape.len() > 1 => Some((0..shape[shape.len() - 1]).map(positive).collect::<Vec<_>>().into()),
        3 => Some(Tensor::from_fn(shape, positive).into()),
        _ => Some(positive(0).into()),
    }
}

fn with<L>(loss: L, weight: Option<Weight<f64>>, set: impl Fn(L, Weight<f64>) -> L) -> L {
    match weight {
        Some(weight) => set(loss, weight),
        None => loss,
    }
}

fn probabilities(key: u64, shape: &[usize]) -> Tensor<f64> {
    Tensor::from_fn(shape, |i| noise(key, i) * 0.4 + 0.5)
}

/// Class indices with some voxels ignored.
fn labels(key: u64, shape: &[usize]) -> Labels {
    let classes = if shape.len() == 1 { 2 } else { shape[shape.len() - 1].max(2) };
    let voxels = if shape.len() == 1 { shape } else { &shape[..shape.len() - 1] };
    Labels::from_fn(voxels, |i| {
        let v = noise(key, i);
        if v > 0.7 { 255 } else { ((v + 1.0) * 40.0) as i32 % classes as i32 }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn elementwise_gradients_match_difference_quotients(
        shape in shapes(), reduction in reductions(), key in 0..1000u64, w in 0..4u8, p in 0..4u8, gamma in 0.0..3.0f64,
    ) {
        let logits = noise_tensor(key, &shape, 4.0);
        let (soft, hard) = (probabilities(key + 1, &shape), labels(key + 2, &shape));
        let (w, p) = (weight(w, key + 3, &shape), weight(p, key + 4, &shape));
        for target in [Target::from(&soft), Target::from(&hard), Target::from((&soft, &hard))] {
            let loss = BceWithLogits::new().reduction(reduction).ignore_index(255);
            let loss = with(loss, w.clone(), BceWithLogits::weight);
            check("bce", &with(loss, p.clone(), BceWithLogits::pos_weight), &logits, target);
            for alpha in [None, Some(0.25)] {
                let loss = Focal::new().gamma(gamma).alpha(alpha).reduction(reduction).ignore_index(255);
                let loss = with(loss, w.clone(), Focal::weight);
                check("focal", &with(loss, p.clone(), Focal::pos_weight), &logits, target);
            }
            let loss = with(Bce::new().reduction(reduction).ignore_index(255), w.clone(), Bce::weight);
            check("bce on probabilities", &loss, &probabilities(key + 5, &shape), target);
        }
    }

    #[test]
    fn cross_entropy_gradients_match_difference_quotients(
        n in 1..4usize, voxels in 1..5usize, c in 2..6usize, reduction in reductions(), key in 0..1000u64,
        weighted: bool, smoothing in prop_oneof![Just(0.0), 0.0..1.0f64],
    ) {
        let shape = [n, voxels, c];
        let logits = noise_tensor(key, &shape, 4.0);
        let (soft, hard) = (probabilities(key + 1, &shape), labels(key + 2, &shape));
        let weights: Vec<f64> = (0..c).map(|k| if weighted { noise(key + 3, k) + 1.1 } else { 1.0 }).collect();
        let loss = CrossEntropy::new()
            .class_weights(weights.clone())
            .label_smoothing(smoothing)
            .reduction(reduction)
            .ignore_index(255);
        check("cross-entropy of labels", &loss, &logits, (&hard).into());
        check("cross-entropy of probabilities", &loss, &logits, (&soft).into());
        check("cross-entropy of masked probabilities", &loss, &logits, (&soft, &hard).into());
        let loss = NllLoss::new().class_weights(weights).reduction(reduction).ignore_index(255);
        check("nll", &loss, &logits, (&hard).into());
    }

    #[test]
    fn region_gradients_match_difference_quotients(
        shape in shapes(), reduction in reductions(), key in 0..1000u64, batch: bool, squared: bool, soft_target: bool,
        gamma in 1.0..3.0f64, foreground: bool,
    ) {
        let logits = noise_tensor(key, &shape, 2.0);
        let (soft, hard) = (probabilities(key + 1, &shape), labels(key + 2, &shape));
        let target = if soft_target { Target::from((&soft, &hard)) } else { Target::from(&hard) };
        let several = shape.len() > 1 && shape[shape.len() - 1] > 1;
        let dice = Dice::new().squared(squared).smooth(0.1).batch(batch).reduction(reduction).ignore_index(255)
            .include_background(!(several && foreground));
        // Smooth enough that no region is nearly perfect, where a power has a kink.
        let tversky = Tversky::new(0.3, 0.7).smooth(0.1).focal(gamma).batch(batch).reduction(reduction).ignore_index(255);
        let generalised = GeneralisedDice::new().smooth(0.1).batch(batch).reduction(reduction).ignore_index(255);
        check("dice", &dice, &logits, target);
        check("tversky", &tversky, &logits, target);
        check("generalised dice", &generalised, &logits, target);
        if several {
            check("softmax dice", &dice.softmax(), &logits, target);
            check("softmax tversky", &tversky.softmax(), &logits, target);
            check("softmax generalised dice", &generalised.softmax(), &logits, target);
        }
    }

    #[test]
    fn sums_of_losses_match_difference_quotients(n in 1..3usize, c in 2..4usize, key in 0..1000u64) {
        let shape = [n, 2, 2, 2, c];
        let (logits, hard) = (noise_tensor(key, &shape, 2.0), labels(key, &shape));
        let target = Target::from(&hard);
        check("dice and cross-entropy", &DiceCe::default().factors(0.3, 2.0).ignore_index(255), &logits, target);
        check("dice and bce", &DiceBce::default().factors(0.3, 2.0).ignore_index(255), &logits, target);
        let combined = Combined::new()
            .and(0.5, Focal::new().ignore_index(255))
            .and(0.25, Tversky::new(0.5, 0.5).ignore_index(255))
            .and(3.0, CrossEntropy::new().ignore_index(255));
        check("three losses", &combined, &logits, target);
    }
}

#[test]
fn deep_supervision_gradients_match_difference_quotients() {
    let scales = [noise_tensor(1, &[2, 4, 4, 4, 1], 2.0), noise_tensor(2, &[2, 2, 4, 2, 1], 2.0)];
    let labels = labels(3, &[2, 4, 4, 4, 1]);
    let deep = DeepSupervision::new(DiceBce::default().ignore_index(255));
    let checked =
        Gradcheck::new().projections("deep supervision", &scales, |_, x| deep.forward(x, &labels).unwrap());
    checked.unwrap();
}
