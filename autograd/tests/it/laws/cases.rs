//! The table of operations that every law is checked on.

use autograd::{Real, Shape, Tape, Tensor, Var};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// The shape of an operand, beside a first operand `[.., c]`.
#[derive(Clone, Copy)]
pub(crate) enum Operand {
    /// As the first.
    Whole,
    /// `[c]`
    Channels,
    /// `[]`
    Number,
    /// `[1]`
    One,
    /// `[.., 5]`
    OtherChannels,
    /// `[c, 5]`
    Matrix,
    /// `[.., c, 5]`, of the batch of `[.., m, c]`
    Matrices,
    /// `[n, 1, .., 1, c]`
    Pooled,
    /// `[.., 1]`
    Column,
    /// As the first, with extent 1 along axes 0, 2, ..
    EvenOnes,
    /// As the first, with extent 1 along axes 1, 3, ..
    OddOnes,
}

/// Where an operation is defined and smooth.
#[derive(Clone, Copy)]
pub(crate) enum Domain {
    /// −2 to 2
    Any,
    /// 0.5 to 2
    Positive,
    /// 0.1 to 2, of either sign
    AwayFromZero,
}

/// Which inputs an operation is linear in.
#[derive(Clone, Copy)]
pub(crate) enum Linear {
    No,
    /// In each of these, the others held fixed.
    In(&'static [usize]),
    /// In all of them together.
    Jointly,
}

type Run<T> = for<'t> fn(&[Var<'t, T>]) -> Var<'t, T>;

/// An operation and how to test it. The first word of the name is the operation's.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) operands: &'static [(Operand, Domain)],
    pub(crate) linear: Linear,
    pub(crate) run: Run<f64>,
    pub(crate) run32: Run<f32>,
}

impl Case {
    /// Random inputs, the first of the given shape.
    pub(crate) fn inputs(&self, shape: Shape, seed: u64) -> Vec<Tensor<f64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let c = shape.channels();
        let of = |&(operand, domain): &(Operand, Domain)| {
            let shape = match operand {
                Operand::Whole => shape,
                Operand::Channels => [c].into(),
                Operand::Number => [0; 0].into(),
                Operand::One => [1].into(),
                Operand::OtherChannels => shape.with_channels(5),
                Operand::Matrix => [c, 5].into(),
                Operand::Matrices => {
                    let batch = &shape[..shape.rank().saturating_sub(2)];
                    Shape::new(&[batch, &[c, 5]].concat())
                }
                Operand::Pooled => ones(shape, |axis| axis > 0 && axis + 1 < shape.rank()),
                Operand::Column => shape.with_channels(1),
                Operand::EvenOnes => ones(shape, |axis| axis % 2 == 0),
                Operand::OddOnes => ones(shape, |axis| axis % 2 == 1),
            };
            Tensor::from_fn(shape, |_| match domain {
                Domain::Any => rng.random_range(-2.0..2.0),
                Domain::Positive => rng.random_range(0.5..2.0),
                Domain::AwayFromZero => {
                    rng.random_range(0.1..2.0) * if rng.random_bool(0.5) { 1.0 } else { -1.0 }
                }
            })
        };
        self.operands.iter().map(of).collect()
    }
}

/// `shape` with extent 1 along some axes.
fn ones(shape: Shape, along: impl Fn(usize) -> bool) -> Shape {
    let extent = |(axis, &extent): (usize, &usize)| if along(axis) { 1 } else { extent };
    Shape::new(&shape.iter().enumerate().map(extent).collect::<Vec<_>>())
}

/// Every other axis from the second on; of a single axis, that.
fn alternate<T: Real>(x: &Var<'_, T>) -> Vec<usize> {
    let rank = x.shape().rank();
    if rank == 1 { vec![0] } else { (1..rank).step_by(2).collect() }
}

/// x/100 with whole numbers added, by which no two are near each other.
fn apart<'t, T: Real>(x: &Var<'t, T>) -> Var<'t, T> {
    let n = x.value().numel();
    let whole = Tensor::from_fn(x.shape(), |i| T::from_f64((i * 7919 % n) as f64));
    x * T::from_f64(0.01) + x.tape().constant(whole)
}

/// The value for these inputs and the gradients of Σ y·dy, in either precision.
pub(crate) fn run<T: Real>(f: Run<T>, inputs: &[Tensor<T>], seed: u64) -> Vec<Tensor<T>> {
    let tape = Tape::train(0);
    let x: Vec<_> = inputs.iter().map(|x| tape.variable(x.clone())).collect();
    let y = f(&x);
    let value = y.value().clone();
    let gradients = y.backward_with(random(value.shape(), seed).cast());
    std::iter::once(value).chain(x.iter().map(|x| gradients.wrt(x).unwrap().clone())).collect()
}

/// Numbers from −1 to 1.
pub(crate) fn random(shape: Shape, seed: u64) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Tensor::from_fn(shape, |_| rng.random_range(-1.0..1.0))
}

macro_rules! case {
    ($name:literal, $operands:expr, $linear:expr, $run:expr) => {
        Case { name: $name, operands: $operands, linear: $linear, run: $run, run32: $run }
    };
}

use Domain::{Any, AwayFromZero, Positive};
use Linear::{In, Jointly, No};
use Operand::{
    Channels, Column, EvenOnes, Matrices, Matrix, Number, OddOnes, One, OtherChannels, Pooled, Whole,
};

const ANY: &[(Operand, Domain)] = &[(Whole, Any)];
const POSITIVE: &[(Operand, Domain)] = &[(Whole, Positive)];
const SMOOTH: &[(Operand, Domain)] = &[(Whole, AwayFromZero)];

/// Every operation, and every way in which its operands go together.
pub(crate) const CASES: &[Case] = &[
    case!("add", &[(Whole, Any), (Whole, Any)], Jointly, |x| &x[0] + &x[1]),
    case!("add [c]", &[(Whole, Any), (Channels, Any)], Jointly, |x| &x[0] + &x[1]),
    case!("add [c] first", &[(Whole, Any), (Channels, Any)], Jointly, |x| &x[1] + &x[0]),
    case!("add []", &[(Whole, Any), (Number, Any)], Jointly, |x| &x[0] + &x[1]),
    case!("add [] first", &[(Whole, Any), (Number, Any)], Jointly, |x| &x[1] + &x[0]),
    case!("add [1]", &[(Whole, Any), (One, Any)], Jointly, |x| &x[0] + &x[1]),
    case!("sub", &[(Whole, Any), (Whole, Any)], Jointly, |x| &x[0] - &x[1]),
    case!("sub [c]", &[(Whole, Any), (Channels, Any)], Jointly, |x| &x[0] - &x[1]),
    case!("sub [c] first", &[(Whole, Any), (Channels, Any)], Jointly, |x| &x[1] - &x[0]),
    case!("sub []", &[(Whole, Any), (Number, Any)], Jointly, |x| &x[0] - &x[1]),
    case!("sub [1] first", &[(Whole, Any), (One, Any)], Jointly, |x| &x[1] - &x[0]),
    case!("mul", &[(Whole, Any), (Whole, Any)], In(&[0, 1]), |x| &x[0] * &x[1]),
    case!("mul itself", ANY, No, |x| &x[0] * &x[0]),
    case!("mul [c]", &[(Whole, Any), (Channels, Any)], In(&[0, 1]), |x| &x[0] * &x[1]),
    case!("mul [c] first", &[(Whole, Any), (Channels, Any)], In(&[0, 1]), |x| &x[1] * &x[0]),
    case!("mul []", &[(Whole, Any), (Number, Any)], In(&[0, 1]), |x| &x[0] * &x[1]),
    case!("mul [1] first", &[(Whole, Any), (One, Any)], In(&[0, 1]), |x| &x[1] * &x[0]),
    case!("div", &[(Whole, Any), (Whole, Positive)], In(&[0]), |x| &x[0] / &x[1]),
    case!("div [c]", &[(Whole, Any), (Channels, Positive)], In(&[0]), |x| &x[0] / &x[1]),
    case!("div [c] first", &[(Whole, Positive), (Channels, Any)], In(&[1]), |x| &x[1] / &x[0]),
    case!("div []", &[(Whole, Any), (Number, Positive)], In(&[0]), |x| &x[0] / &x[1]),
    case!("div [1] first", &[(Whole, Positive), (One, Any)], In(&[1]), |x| &x[1] / &x[0]),
    case!("add [n, 1, .., c]", &[(Whole, Any), (Pooled, Any)], Jointly, |x| &x[0] + &x[1]),
    case!("sub [.., 1] first", &[(Whole, Any), (Column, Any)], Jointly, |x| &x[1] - &x[0]),
    case!("mul [n, 1, .., c]", &[(Whole, Any), (Pooled, Any)], In(&[0, 1]), |x| &x[0] * &x[1]),
    case!("mul [.., 1]", &[(Whole, Any), (Column, Any)], In(&[0, 1]), |x| &x[0] * &x[1]),
    case!("mul both spread", &[(EvenOnes, Any), (OddOnes, Any)], In(&[0, 1]), |x| &x[0] * &x[1]),
    case!("div every other axis", &[(Whole, Any), (OddOnes, Positive)], In(&[0]), |x| &x[0] / &x[1]),
    case!("div both spread", &[(OddOnes, Any), (EvenOnes, Positive)], In(&[0]), |x| &x[0] / &x[1]),
    case!("maximum", &[(Whole, AwayFromZero), (Whole, Any)], No, |x| {
        x[0].clone().maximum(x[1].clone() * 0.04)
    }),
    case!("maximum both spread", &[(EvenOnes, AwayFromZero), (OddOnes, Any)], No, |x| {
        x[0].clone().maximum(x[1].clone() * 0.04)
    }),
    case!("minimum [c] first", &[(Whole, AwayFromZero), (Channels, Any)], No, |x| {
        (x[1].clone() * 0.04).minimum(x[0].clone())
    }),
    case!("add number", ANY, No, |x| 1.5 + (&x[0] + 0.5)),
    case!("sub number", ANY, No, |x| 1.5 - (&x[0] - 0.5)),
    case!("mul number", ANY, Jointly, |x| 1.5 * (&x[0] * 0.3)),
    case!("div number", POSITIVE, No, |x| 1.5 / (&x[0] / 0.3)),
    case!("neg", ANY, Jointly, |x| -&x[0]),
    case!("exp", ANY, No, |x| x[0].clone().exp()),
    case!("ln", POSITIVE, No, |x| x[0].clone().ln()),
    case!("sqrt", POSITIVE, No, |x| x[0].clone().sqrt()),
    case!("square", ANY, No, |x| x[0].clone().square()),
    case!("abs", SMOOTH, No, |x| x[0].clone().abs()),
    case!("clamp", SMOOTH, No, |x| x[0].clone().clamp(-0.05, 5.0)),
    case!("powf 2.5", POSITIVE, No, |x| x[0].clone().powf(2.5)),
    case!("powf -1", SMOOTH, No, |x| x[0].clone().powf(-1.0)),
    case!("powf 0", ANY, No, |x| x[0].clone().powf(0.0)),
    case!("relu", SMOOTH, No, |x| x[0].clone().relu()),
    case!("leaky_relu", SMOOTH, No, |x| x[0].clone().leaky_relu(0.1)),
    case!("leaky_relu, negative", SMOOTH, No, |x| x[0].clone().leaky_relu(-0.1)),
    case!("elu", SMOOTH, No, |x| x[0].clone().elu(1.5)),
    case!("elu, negative", SMOOTH, No, |x| x[0].clone().elu(-1.0)),
    case!("gelu", ANY, No, |x| x[0].clone().gelu()),
    case!("silu", ANY, No, |x| x[0].clone().silu()),
    case!("sigmoid", ANY, No, |x| x[0].clone().sigmoid()),
    case!("tanh", ANY, No, |x| x[0].clone().tanh()),
    case!("softplus", ANY, No, |x| x[0].clone().softplus()),
    case!("softmax", ANY, No, |x| x[0].clone().softmax()),
    case!("log_softmax", ANY, No, |x| x[0].clone().log_softmax()),
    case!("sum", ANY, Jointly, |x| x[0].clone().sum()),
    case!("mean", ANY, Jointly, |x| x[0].clone().mean()),
    case!("sum_axes", ANY, Jointly, |x| x[0].clone().sum_axes(&alternate(&x[0]))),
    case!("sum_axes last", ANY, Jointly, |x| x[0].clone().sum_axes(&[x[0].shape().rank() - 1])),
    case!("sum_axes none", ANY, Jointly, |x| x[0].clone().sum_axes(&[])),
    case!("mean_axes", ANY, Jointly, |x| x[0].clone().mean_axes(&alternate(&x[0]))),
    case!("mean_axes first", ANY, Jointly, |x| x[0].clone().mean_axes(&[0])),
    case!("max_axes", ANY, No, |x| apart(&x[0]).max_axes(&alternate(&x[0]))),
    case!("max_axes last", ANY, No, |x| apart(&x[0]).max_axes(&[x[0].shape().rank() - 1])),
    case!("min_axes first", ANY, No, |x| apart(&x[0]).min_axes(&[0])),
    case!("permute", ANY, Jointly, |x| {
        let rank = x[0].shape().rank();
        let axes: Vec<usize> = (0..rank).map(|axis| (axis + 2) % rank).collect();
        x[0].clone().permute(&axes)
    }),
    case!("matmul of a batch", &[(Whole, Any), (Matrices, Any)], In(&[0, 1]), |x| {
        x[0].clone().matmul(x[1].clone())
    }),
    case!("matmul", &[(Whole, Any), (Matrix, Any)], In(&[0, 1]), |x| x[0].clone().matmul(x[1].clone())),
    case!("reshape", ANY, Jointly, |x| {
        let n = x[0].value().numel();
        x[0].clone().reshape([n])
    }),
    case!("slice every axis", ANY, Jointly, |x| {
        let dims = x[0].shape();
        (0..dims.rank())
            .fold(x[0].clone(), |x, axis| x.slice(axis, dims[axis] / 3..dims[axis] - dims[axis] / 4))
    }),
    case!("pad every axis", ANY, Jointly, |x| {
        (0..x[0].shape().rank()).fold(x[0].clone(), |x, axis| x.pad(axis, axis % 2, (axis + 1) % 3))
    }),
    case!("concat_channels", &[(Whole, Any), (OtherChannels, Any)], Jointly, |x| {
        x[0].clone().concat_channels(x[1].clone())
    }),
];
