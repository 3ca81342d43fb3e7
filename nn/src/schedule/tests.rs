use super::*;
use proptest::prelude::*;

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 16.0 * f64::EPSILON * b.abs().max(1e-3)
}

#[test]
fn schedules_have_pytorchs_values_at_known_points() {
    let base = 0.1;
    let linear = Schedule::Linear { end_factor: 0.5, warmup_steps: 0 };
    let poly = Schedule::Poly { power: 2.0, warmup_steps: 0 };
    let cosine = Schedule::Cosine { end_factor: 0.2, warmup_steps: 0 };
    let step = Schedule::Step { step_size: 3, gamma: 0.1 };
    let known = [
        (Schedule::Constant, [0.1, 0.1, 0.1, 0.1]),
        (linear, [0.1, 0.0875, 0.075, 0.05]),
        (poly, [0.1, 0.05625, 0.025, 0.0]),
        (cosine, [0.1, 0.02 + 0.04 * (1.0 + 0.5f64.sqrt()), 0.06, 0.02]),
        (step, [0.1, 0.1, 0.01, 0.001]),
    ];
    for (schedule, want) in known {
        for (at, want) in [0, 2, 4, 8].into_iter().zip(want) {
            let lr = schedule.lr(at, 8, base);
            assert!(close(lr, want), "{schedule:?} at {at}: {lr}, not {want}");
        }
    }
}

#[test]
fn the_first_step_after_warm_up_has_the_base_rate() {
    let poly = Schedule::Poly { power: 0.9, warmup_steps: 4 };
    let rates: Vec<f64> = (0..6).map(|s| poly.lr(s, 20, 1.0)).collect();
    for (rate, want) in rates.iter().zip([0.2, 0.4, 0.6, 0.8, 1.0, (15.0f64 / 16.0).powf(0.9)]) {
        assert!(close(*rate, want), "{rates:?}");
    }
}

#[test]
fn a_plateau_reduces_after_patience_and_rests_for_the_cooldown() {
    let plateau = Plateau { factor: 0.5, patience: 2, cooldown: 2, min_lr: 0.2, ..Plateau::default() };
    let mut scheduler = Scheduler::new(Schedule::Plateau(plateau)).unwrap();
    let metrics = [1.0, 1.0, 1.0, 1.0, 9.0, 9.0, f64::NAN, 9.0, 9.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
    let rates = metrics.map(|metric| {
        scheduler.observe(metric);
        scheduler.lr(0, 10, 1.0)
    });
    // Three without a better one reduce; then two rest and three more reduce; 0.5 is better and starts the count anew.
    let want = [1., 1., 1., 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2];
    assert_eq!(rates, want);
    assert_eq!(scheduler.state().best(), Some(0.5));
}

#[test]
fn a_plateau_that_maximises_sees_the_negated_metric_of_one_that_minimises() {
    let metrics = [0.1, 0.3, 0.3, 0.2, 0.31, 0.1, 0.1, 0.1, 0.1];
    let rates = [MetricMode::Max, MetricMode::Min].map(|mode| {
        let plateau = Plateau { mode, patience: 1, threshold: 0.0, ..Plateau::default() };
        let mut scheduler = Scheduler::new(Schedule::Plateau(plateau)).unwrap();
        metrics.map(|m| {
            scheduler.observe(if mode == MetricMode::Max { m } else { -m });
            scheduler.lr(0, 1, 1.0)
        })
    });
    assert_eq!(rates[0], rates[1]);
    assert!(rates[0][8] < 1.0);
}

#[test]
fn a_restored_plateau_continues_as_the_first_would() {
    let plateau = Plateau { patience: 1, cooldown: 1, ..Plateau::default() };
    let mut first = Scheduler::new(Schedule::Plateau(plateau)).unwrap();
    [3.0, 2.0, 2.0].into_iter().for_each(|m| first.observe(m));
    let saved = serde_json::to_string(first.state()).unwrap();
    let mut second = Scheduler::new(Schedule::Plateau(plateau)).unwrap();
    second.restore(serde_json::from_str(&saved).unwrap());
    for metric in [2.0, 2.0, 1.0, 1.0, 1.0, 1.0] {
        first.observe(metric);
        second.observe(metric);
        assert_eq!(first, second);
    }
    assert!(first.state().reductions() > 0);
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let wrong = [
        ("end_factor", Schedule::Linear { end_factor: -0.1, warmup_steps: 0 }),
        ("end_factor", Schedule::Cosine { end_factor: f64::NAN, warmup_steps: 0 }),
        ("power", Schedule::Poly { power: 0.0, warmup_steps: 0 }),
        ("step_size", Schedule::Step { step_size: 0, gamma: 0.1 }),
        ("gamma", Schedule::Step { step_size: 1, gamma: 1.5 }),
        ("factor", Schedule::Plateau(Plateau { factor: 1.0, ..Plateau::default() })),
        ("threshold", Schedule::Plateau(Plateau { threshold: -1.0, ..Plateau::default() })),
        ("min_lr", Schedule::Plateau(Plateau { min_lr: f64::INFINITY, ..Plateau::default() })),
    ];
    for (name, schedule) in wrong {
        let error = Scheduler::new(schedule).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn settings_are_read_with_defaults_and_strangers_refused() {
    let read = serde_json::from_str::<Schedule>;
    assert_eq!(read(r#"{"kind":"poly"}"#).unwrap(), Schedule::Poly { power: 0.9, warmup_steps: 0 });
    assert_eq!(read(r#"{"kind":"plateau"}"#).unwrap(), Schedule::Plateau(Plateau::default()));
    assert!(read(r#"{"kind":"poly","gamma":0.1}"#).is_err());
    assert!(read(r#"{"kind":"plateau","gamma":0.1}"#).is_err());
}

/// Falling schedules with warm-up, and what share of the base each ends with.
fn falling() -> impl Strategy<Value = (Schedule, f64)> {
    (0..3, 0.0..1.0f64, 0u64..50).prop_map(|(kind, number, warmup_steps)| match kind {
        0 => (Schedule::Linear { end_factor: number, warmup_steps }, number),
        1 => (Schedule::Poly { power: number + 0.1, warmup_steps }, 0.0),
        _ => (Schedule::Cosine { end_factor: number, warmup_steps }, number),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rates_rise_in_warm_up_then_fall_to_the_end_factor((schedule, end) in falling(), total in 51u64..300) {
        let warmup = schedule.warmup_steps();
        let rates: Vec<f64> = (0..total + 5).map(|s| schedule.lr(s, total, 0.3)).collect();
        for (s, pair) in rates.windows(2).enumerate() {
            prop_assert!(pair[0] >= 0.0 && pair[1] >= 0.0 && pair[0] <= 0.3);
            let rises = (s as u64) < warmup;
            prop_assert!(if rises { pair[0] < pair[1] } else { pair[0] >= pair[1] - 1e-16 }, "at {s}: {pair:?}");
        }
        prop_assert!(rates[0] > 0.0);
        prop_assert!((rates[total as usize] - 0.3 * end).abs() <= 1e-15);
        prop_assert_eq!(rates[total as usize], rates[total as usize + 4]);
    }

    #[test]
    fn a_run_shorter_than_its_warm_up_only_rises((schedule, _) in falling(), base in 1e-6..1.0f64) {
        let warmup = schedule.warmup_steps();
        let rates: Vec<f64> = (0..warmup).map(|s| schedule.lr(s, 1, base)).collect();
        prop_assert!(rates.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(rates.iter().all(|&rate| rate > 0.0 && rate < base));
    }

    #[test]
    fn a_scheduler_is_its_schedule_unless_it_is_a_plateau((schedule, _) in falling(), s in 0u64..300, metric: f64) {
        let mut scheduler = Scheduler::new(schedule).unwrap();
        scheduler.observe(metric);
        prop_assert_eq!(scheduler.lr(s, 200, 0.1), schedule.lr(s, 200, 0.1));
    }
}
