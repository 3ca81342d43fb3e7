//! The engine, apart from its operations: what is recorded, in what order it is differentiated, what is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use autograd::{Backward, Function, Gradients, Mode, Parameter, Tape, Tensor, Var};

pub(crate) fn vector(values: &[f64]) -> Tensor<f64> {
    Tensor::from_slice([values.len()], values)
}

#[test]
fn the_gradient_of_a_diamond_is_the_sum_over_its_sides() {
    let tape = Tape::train(0);
    let x = tape.variable(vector(&[0.5, -1.5]));
    let y = x.clone().square();
    let loss = (&y * 3.0 + &y * &x).sum();
    let gradients = loss.backward();
    // 3x² + x³
    let expected = [0.5f64, -1.5].map(|x| 6.0 * x + 3.0 * x * x);
    assert_eq!(gradients.wrt(&x).unwrap().data(), expected);
}

#[test]
fn a_parameter_collects_the_gradients_of_all_its_uses_and_entries() {
    let w = Parameter::new(vector(&[2.0, 3.0]));
    let expected = [3.0 * 4.0, 3.0 * 9.0]; // of w³

    let tape = Tape::train(0);
    let once = tape.parameter(&w);
    let gradients = (&once * &once * &once).sum().backward();
    assert_eq!(gradients.get(&w).unwrap().data(), expected);

    let tape = Tape::train(0);
    let gradients = (tape.parameter(&w) * tape.parameter(&w) * tape.parameter(&w)).sum().backward();
    assert_eq!(gradients.get(&w).unwrap().data(), expected);
    assert_eq!(gradients.len(), 1);
}

#[test]
fn several_values_with_gradients_of_their_own_have_those_of_the_sum_of_their_products() {
    let w = Parameter::new(vector(&[0.5, -1.5]));
    let [dy, dz] = [vector(&[0.1, 3.0]), vector(&[-7.0, 0.3])];
    // The second value is computed from the first, and what follows both is left out.
    let values = |tape: &Tape<f64>| {
        let y = tape.parameter(&w).exp();
        let z = y.clone().square();
        let _after = z.clone().exp();
        (y.value().clone(), z.value().clone(), tape.backward_with([(z, dz.clone()), (y, dy.clone())]))
    };
    let (y, z, together) = values(&Tape::train(0));
    let tape = Tape::train(0);
    let first = tape.parameter(&w).exp();
    let second = first.clone().square();
    assert_eq!((first.value(), second.value()), (&y, &z));
    let products = (second * tape.constant(dz.clone())).sum() + (first * tape.constant(dy.clone())).sum();
    assert_eq!(together.get(&w), products.backward().get(&w));
}

#[test]
fn what_the_loss_does_not_depend_on_has_no_gradient() {
    let (used, unused) = (Parameter::new(vector(&[1.0])), Parameter::new(vector(&[1.0])));
    let tape = Tape::train(0);
    let x = tape.parameter(&used);
    let _before = tape.parameter(&unused).exp();
    let loss = x.clone().sum();
    let _after = x.exp();
    let gradients = loss.backward();
    assert_eq!(gradients.get(&used).unwrap().data(), [1.0]);
    assert!(gradients.get(&unused).is_none());
}

#[test]
fn a_constant_and_a_detached_value_stop_the_gradient() {
    let tape = Tape::train(0);
    let x = tape.variable(vector(&[3.0]));
    let gradients = (x.clone().detach() * &x).sum().backward();
    assert_eq!(gradients.wrt(&x).unwrap().data(), [3.0]);

    let tape = Tape::train(0);
    let y = tape.constant(vector(&[3.0])).exp().square().sum();
    assert!(y.is_constant() && tape.is_empty());
}

/// Counts how many of its kind wait on the tape.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The identity, number `position` in a chain; its backward pass asserts that all later ones are gone.
struct Link {
    position: usize,
    waiting: Arc<AtomicUsize>,
}

impl Function<f64, 1> for Link {
    fn forward(&self, [x]: [&Tensor<f64>; 1], _: [bool; 1]) -> (Tensor<f64>, Counted) {
        (x.clone(), Counted::new(&self.waiting))
    }
}

impl Backward<f64, 1> for Link {
    type Saved = Counted;
    fn backward(&self, saved: Counted, dy: Tensor<f64>, _: [bool; 1]) -> [Option<Tensor<f64>>; 1] {
        assert_eq!(self.waiting.load(Ordering::Relaxed), self.position + 1);
        drop(saved);
        [Some(dy)]
    }
}

#[test]
fn what_an_operation_saved_is_freed_as_soon_as_its_backward_pass_is_over() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let tape = Tape::train(0);
    let x = tape.variable(vector(&[1.0]));
    let link = |x, position| tape.apply(Link { position, waiting: waiting.clone() }, [x]);
    let loss = (0..10).fold(x, link).sum();
    assert_eq!(waiting.load(Ordering::Relaxed), 10);
    loss.backward();
    assert_eq!(waiting.load(Ordering::Relaxed), 0);
    assert!(tape.is_empty());
}

#[test]
fn without_gradients_nothing_is_recorded_and_nothing_is_kept() {
    let w = Parameter::new(vector(&[1.0, 2.0]));
    let tape = Tape::no_grad();
    let mut y = (tape.parameter(&w) * tape.variable(vector(&[3.0, 4.0]))).exp().into_value();
    assert_eq!(tape.len(), 0);
    assert!(y.is_unique(), "exp keeps its result only where it is recorded");
    assert_eq!(tape.mode(), Mode::Eval);
    assert_eq!((Tape::<f32>::eval().mode(), Tape::<f32>::eval().is_recording()), (Mode::Eval, true));
}

#[test]
fn a_tape_records_anew_after_its_backward_pass() {
    let tape = Tape::train(0);
    for i in 1..4 {
        let x = tape.variable(vector(&[f64::from(i)]));
        let gradients = x.clone().square().sum().backward();
        assert_eq!(gradients.wrt(&x).unwrap().data(), [2.0 * f64::from(i)]);
    }
}

#[test]
fn gradients_are_ordered_by_the_creation_of_parameters() {
    let parameters: Vec<_> = (0..5).map(|i| Parameter::new(vector(&[f64::from(i)]))).collect();
    let tape = Tape::train(0);
    let sum = [3, 0, 4, 2, 1].into_iter().map(|i| tape.parameter(&parameters[i])).reduce(|a, b| a * b);
    let ids: Vec<_> = sum.unwrap().sum().backward().iter().map(|(id, _)| id).collect();
    assert_eq!(ids, parameters.iter().map(Parameter::id).collect::<Vec<_>>());
}

fn gradients_of(values: &[(&Parameter<f64>, f64)]) -> Gradients<f64> {
    let tape = Tape::train(0);
    let terms = values.iter().map(|&(p, factor)| (tape.parameter(p) * factor).sum());
    terms.reduce(|a, b| a + b).unwrap().backward()
}

#[test]
fn clipping_scales_to_the_norm_and_leaves_small_and_infinite_gradients_alone() {
    let (a, b) = (Parameter::new(vector(&[0.0])), Parameter::new(vector(&[0.0])));
    let mut gradients = gradients_of(&[(&a, 3.0), (&b, 4.0)]);
    assert_eq!(gradients.clip_global_norm(6.0), 5.0);
    assert_eq!(gradients.get(&b).unwrap().data(), [4.0]);

    assert_eq!(gradients.clip_global_norm(2.5), 5.0);
    // The factor is 2.5 / (5 + 1e-6), so the norm falls short of 2.5 by the fraction 2e-7.
    let norm = gradients.global_norm();
    assert!((norm - 2.5 * 5.0 / (5.0 + 1e-6)).abs() <= 8.0 * f64::EPSILON * norm, "{norm}");

    let mut gradients = gradients_of(&[(&a, f64::INFINITY), (&b, 4.0)]);
    assert_eq!(gradients.clip_global_norm(1.0), f64::INFINITY);
    assert_eq!(gradients.get(&b).unwrap().data(), [4.0]);
    assert!(!gradients.is_finite());
}

#[test]
fn gradients_of_the_parts_of_a_batch_add_up_to_those_of_the_whole() {
    let weight = Parameter::new(Tensor::from_vec([2, 1], vec![0.5, -0.25]));
    let bias = Parameter::new(vector(&[1.0]));
    let rows: Vec<[f64; 2]> = (0..8).map(|i| [f64::from(i), f64::from(3 - i)]).collect();
    let of = |rows: &[[f64; 2]]| {
        let tape = Tape::train(0);
        let x = tape.constant(Tensor::from_slice([rows.len(), 2], rows.as_flattened()));
        let y = x.matmul(tape.parameter(&weight)) + tape.parameter(&bias);
        y.square().sum().backward()
    };
    let whole = of(&rows);
    let mut parts = of(&rows[..3]);
    parts.add(of(&rows[3..7]));
    parts.add(of(&rows[7..]));
    // All numbers are small multiples of 1/4, so the sums are exact in any order.
    for p in [&weight, &bias] {
        assert_eq!(parts.get(p), whole.get(p));
    }
}

#[test]
fn gradients_of_passes_that_are_added_keep_those_of_each_passs_variables() {
    let w = Parameter::new(vector(&[2.0]));
    let (first, second) = (Tape::train(0), Tape::train(0));
    let [a, b] = [(&first, 3.0), (&second, 5.0)].map(|(tape, x)| tape.variable(vector(&[x])));
    let of = |x: &Var<'_, f64>| (x.clone().square() * x.tape().parameter(&w)).sum().backward();
    let mut gradients = of(&a);
    gradients.add(of(&b));
    assert_eq!(gradients.wrt(&a).unwrap().data(), [2.0 * 3.0 * 2.0]);
    assert_eq!(gradients.wrt(&b).unwrap().data(), [2.0 * 5.0 * 2.0]);
    assert_eq!(gradients.get(&w).unwrap().data(), [3.0 * 3.0 + 5.0 * 5.0]);

    // Two passes of one tape are as good as those of two.
    let c = first.variable(vector(&[7.0]));
    gradients.add(of(&c));
    assert_eq!(gradients.wrt(&a).unwrap().data(), [2.0 * 3.0 * 2.0]);
    assert_eq!(gradients.wrt(&c).unwrap().data(), [2.0 * 7.0 * 2.0]);

    let once = gradients.clone();
    gradients.add(once.clone());
    for x in [&a, &b, &c] {
        assert_eq!(gradients.wrt(x), Some(&once.wrt(x).unwrap().map(|g| g + g)));
    }
}

/// Keeps about half of the numbers, by a key.
struct Drop1 {
    key: u64,
}

impl Function<f64, 1> for Drop1 {
    fn forward(&self, [x]: [&Tensor<f64>; 1], _: [bool; 1]) -> (Tensor<f64>, Tensor<f64>) {
        let mask = Tensor::from_fn(x.shape(), |i| f64::from(u32::from(self.key >> (i % 64) & 1 == 1)));
        (mask.clone().zip_map(x, |m, x| m * x), mask)
    }
}

impl Backward<f64, 1> for Drop1 {
    type Saved = Tensor<f64>;
    fn backward(&self, mask: Tensor<f64>, dy: Tensor<f64>, _: [bool; 1]) -> [Option<Tensor<f64>>; 1] {
        [Some(dy.zip_map(&mask, |dy, m| m * dy))]
    }
}

/// A block with a parameter; `counter` halves its way to 1 with each use.
fn block<'a>(x: Var<'a, f64>, w: &Parameter<f64>, counter: &Parameter<f64>) -> Var<'a, f64> {
    let tape = x.tape();
    tape.update(counter, vector(&[1.0]), 0.5);
    (x * tape.parameter(w)).tanh().square()
}

#[test]
fn a_checkpoint_has_the_values_gradients_and_updates_of_the_plain_pass_on_a_shorter_tape() {
    let w = Parameter::new(vector(&[0.5, -1.0]));
    let counter = Parameter::buffer(vector(&[0.0]));
    let run = |recompute: bool| {
        let tape = Tape::train(7);
        let mut x = tape.variable(vector(&[0.3, 0.9]));
        let input = x.clone();
        x = block(x, &w, &counter);
        for _ in 0..2 {
            let (w, counter) = (w.clone(), counter.clone());
            x = if recompute {
                tape.checkpoint([x], move |_, [x]| block(x, &w, &counter))
            } else {
                block(x, &w, &counter)
            };
        }
        let length = tape.len();
        let value = x.value().clone();
        let gradients = x.sum().backward();
        let found = (value, gradients.wrt(&input).cloned(), gradients.get(&w).cloned());
        (found, gradients.update_of(&counter).unwrap().item(), length)
    };
    let (plain, recomputed) = (run(false), run(true));
    assert_eq!(plain.0, recomputed.0);
    assert_eq!((plain.1, recomputed.1), (0.875, 0.875), "a use is counted once");
    assert!(recomputed.2 < plain.2);
}

#[test]
fn updates_of_passes_that_are_added_follow_each_other() {
    let counter = Parameter::buffer(vector(&[0.0]));
    let pass = |target: f64, momentum: f64| {
        let tape = Tape::train(0);
        tape.update(&counter, vector(&[target]), momentum);
        tape.variable(vector(&[1.0])).sum().backward()
    };
    let after = |passes: &[(f64, f64)]| {
        let mut all = Gradients::default();
        for &(target, momentum) in passes {
            all.add(pass(target, momentum));
        }
        all.update_of(&counter).map(|value| value.item())
    };
    assert_eq!(after(&[]), None);
    assert_eq!(after(&[(1.0, 0.5), (0.0, 0.25)]), Some(0.375));
    assert_eq!(after(&[(0.0, 0.25), (1.0, 0.5)]), Some(0.5), "their order counts");
    assert_eq!(
        after(&[(f64::NAN, 0.5), (3.0, 1.0)]),
        Some(3.0),
        "a momentum of 1 replaces whatever was there"
    );
}

#[test]
fn a_checkpoint_draws_the_same_random_numbers_both_times() {
    let tape = Tape::train(3);
    let x = tape.variable(Tensor::full([64], 1.0));
    let y = tape.checkpoint([x.clone()], |tape, [x]| tape.apply(Drop1 { key: tape.draw_key() }, [x]));
    let z = tape.checkpoint([x.clone()], |tape, [x]| tape.apply(Drop1 { key: tape.draw_key() }, [x]));
    let (mask, other) = (y.value().clone(), z.value().clone());
    assert_ne!(mask, other, "two checkpoints draw differently");
    let gradients = (y + z).sum().backward();
    assert_eq!(*gradients.wrt(&x).unwrap(), mask.zip_map(&other, |a, b| a + b));
}

#[test]
fn keys_follow_the_tapes_key_and_the_order_of_the_draws() {
    let draws = |key| {
        let tape = Tape::<f32>::train(key);
        [tape.draw_key(), tape.draw_key(), tape.draw_key()]
    };
    assert_eq!(draws(1), draws(1));
    let mut all = [draws(1), draws(2), draws(3)].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 9);
}

#[test]
fn keys_are_the_same_in_every_version_and_whether_or_not_anybody_looks_on() {
    let draws = |tape: &Tape<f64>| {
        let first = tape.draw_key();
        let x = tape.variable(vector(&[1.0]));
        let inside = Arc::new(AtomicU64::new(0));
        let drawn = inside.clone();
        let y = tape.checkpoint([x], move |tape, [x]| {
            drawn.store(tape.draw_key(), Ordering::Relaxed);
            x.exp()
        });
        let forward = inside.swap(0, Ordering::Relaxed);
        y.sum().backward();
        assert_eq!(inside.load(Ordering::Relaxed), forward, "the backward pass draws again what was drawn");
        [first, forward, tape.draw_key()]
    };
    let plain = draws(&Tape::train(1));
    assert_eq!(plain, [11_385_487_063_155_714_807, 17_793_404_822_631_155_144, 17_474_652_204_475_260_503]);
    let watched = Tape::train(1);
    watched.watch();
    watched.observe(|_| ());
    assert_eq!(draws(&watched), plain);
}

#[test]
fn a_tape_and_gradients_may_go_to_another_thread() {
    fn is_send<S: Send>(_: &S) {}
    let tape = Tape::<f32>::train(0);
    let gradients = tape.variable(Tensor::zeros([1])).sum().backward();
    is_send(&tape);
    is_send(&gradients);
}
