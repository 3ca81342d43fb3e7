use super::*;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::ChaCha8Rng};

const SHAPE: [usize; 5] = [3, 3, 3, 32, 48];

fn weight<T: Real>(init: Init, layout: Layout, seed: u64) -> Tensor<T> {
    init.weight(layout, SHAPE, &mut ChaCha8Rng::seed_from_u64(seed))
}

/// Mean and variance within five standard deviations of what `n` draws of variance `variance` and kurtosis
/// `kurtosis` give: √(σ²/n) for the mean, σ²·√((κ − 1)/n) for the variance.
fn assert_moments(w: &Tensor<f64>, variance: f64, kurtosis: f64) {
    let n = w.numel() as f64;
    let mean = w.data().iter().sum::<f64>() / n;
    let spread = w.data().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    assert!(mean.abs() <= 5.0 * (variance / n).sqrt(), "mean {mean} of {n}");
    let allowed = 5.0 * variance * ((kurtosis - 1.0) / n).sqrt();
    assert!((spread - variance).abs() <= allowed, "variance {spread}, not {variance} ± {allowed}");
}

#[test]
fn moments_are_those_of_the_fans_for_each_variant_and_layout() {
    let voxels = 27.0;
    for (layout, fan_in, fan_out) in [(Layout::Conv, 32.0, 48.0), (Layout::ConvTranspose, 48.0, 32.0)] {
        let (fan_in, fan_out) = (fan_in * voxels, fan_out * voxels);
        for (mode, fan) in [(FanMode::FanIn, fan_in), (FanMode::FanOut, fan_out)] {
            for negative_slope in [0.0, 0.01, 1.0] {
                let variance = 2.0 / (1.0 + negative_slope * negative_slope) / fan;
                let w = weight(Init::KaimingUniform { mode, negative_slope }, layout, 1);
                assert_moments(&w, variance, 1.8);
                assert_moments(
                    &weight(Init::KaimingNormal { mode, negative_slope }, layout, 2),
                    variance,
                    3.0,
                );
            }
        }
        let variance = 4.0 * 2.0 / (fan_in + fan_out);
        assert_moments(&weight(Init::XavierUniform { gain: 2.0 }, layout, 3), variance, 1.8);
        assert_moments(&weight(Init::XavierNormal { gain: 2.0 }, layout, 4), variance, 3.0);
        assert_moments(&weight(Init::PytorchDefault, layout, 5), 1.0 / (3.0 * fan_in), 1.8);
    }
}

#[test]
fn pytorch_default_is_kaiming_uniform_with_slope_root_5() {
    let kaiming = Init::KaimingUniform { mode: FanMode::FanIn, negative_slope: 5f64.sqrt() };
    let [a, b] = [Init::PytorchDefault, kaiming].map(|init| weight::<f64>(init, Layout::Conv, 6));
    for (a, b) in a.data().iter().zip(b.data()) {
        assert!((a - b).abs() <= 8.0 * f64::EPSILON * a.abs());
    }
}

#[test]
fn fans_are_pytorchs_for_each_layout() {
    let fans = |fan_in, fan_out| Fans { fan_in, fan_out };
    assert_eq!(Fans::of(Layout::Conv, [1, 2, 3, 5, 7]), fans(30, 42));
    assert_eq!(Fans::of(Layout::ConvTranspose, [1, 2, 3, 5, 7]), fans(42, 30));
    assert_eq!(Fans::of(Layout::Linear, [5, 7]), fans(5, 7));
    assert_eq!(Fans::of(Layout::Plain, [5]), fans(5, 5));
}

#[test]
fn a_seed_gives_the_same_numbers_in_both_precisions_and_another_seed_others() {
    for init in [Init::PytorchDefault, Init::KaimingNormal { mode: FanMode::FanOut, negative_slope: 0.01 }] {
        let wide = weight::<f64>(init, Layout::Conv, 9);
        assert_eq!(weight::<f32>(init, Layout::Conv, 9), wide.cast());
        assert_ne!(weight::<f64>(init, Layout::Conv, 10), wide);
    }
}

#[test]
fn a_bias_stays_within_the_bound_of_its_weights_fan_in() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let bias: Tensor<f64> = pytorch_bias(48, Layout::Conv, SHAPE, &mut rng);
    let bound = 1.0 / (27.0 * 32.0f64).sqrt();
    assert!(bias.data().iter().all(|b| b.abs() <= bound));
    assert!(bias.data().iter().any(|b| b.abs() > bound / 2.0));
}

#[test]
fn a_prior_outside_0_and_1_is_refused() {
    for prior in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert!(prior_bias(prior).unwrap_err().to_string().contains("foreground prior"), "{prior}");
    }
}

#[test]
fn settings_are_read_with_defaults_and_strangers_refused() {
    let read = serde_json::from_str::<Init>;
    let kaiming = Init::KaimingUniform { mode: FanMode::FanIn, negative_slope: 0.0 };
    assert_eq!(read(r#"{"kind":"kaiming_uniform"}"#).unwrap(), kaiming);
    assert_eq!(read(r#"{"kind":"xavier_normal"}"#).unwrap(), Init::XavierNormal { gain: 1.0 });
    assert!(read(r#"{"kind":"kaiming_uniform","slope":0.1}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_sigmoid_of_the_prior_bias_is_the_prior(prior in 1e-6..1.0f64) {
        prop_assume!(prior < 1.0);
        let bias = prior_bias(prior).unwrap();
        prop_assert!((bias.sigmoid() - prior).abs() <= 64.0 * f64::EPSILON);
    }

    #[test]
    fn uniform_numbers_stay_within_the_bound(bound in 0.0..10.0f64, seed: u64) {
        let w: Tensor<f32> = uniform([257], bound, &mut ChaCha8Rng::seed_from_u64(seed));
        prop_assert!(w.data().iter().all(|w| w.abs() <= bound as f32));
    }
}
