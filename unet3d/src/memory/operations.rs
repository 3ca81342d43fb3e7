//! The operations of the network on the tape without numbers. Each is the memory of its namesake in [`nn::functional`]:
//! what is allocated in which order, what is kept, what is dropped before what.

use nn::functional::{Activation, Conv3dSpec, ConvTranspose3dSpec};
use nn::kernels::conv_transpose3d::{self, ConvTranspose3dShape};
use nn::kernels::conv3d::{self, Conv3dShape, Reading};

use super::ledger::{Block, Kind, Ledger};
use super::tape::{Extent, Pass, Tape, Var, wants};

/// What an operation reads: a tensor as it lies, or one that it normalises and activates as it reads.
#[derive(Clone)]
pub(super) struct Input {
    pub(super) var: Var,
    deferred: Option<Activation>,
}

impl From<Var> for Input {
    fn from(var: Var) -> Self {
        Self { var, deferred: None }
    }
}

impl Input {
    /// The activated tensor.
    pub(super) fn activated(self, tape: &Tape) -> Var {
        if self.deferred.is_none() {
            return self.var;
        }
        let y = tape.tensor(self.var.extent);
        // The operation keeps the raw tensor, from which it could be computed again.
        let raw = self.var.block.clone();
        tape.record(&[&self.var], (y, self.var.extent), move |_, da| {
            drop(raw);
            vec![Some(da)]
        })
    }

    /// The tensor that a kernel reads where it cannot activate on the way.
    fn read(&self, ledger: &Ledger) -> Option<Block> {
        let needed = self.deferred.is_some_and(|activation| !is_fused(activation));
        needed.then(|| ledger.numbers(Kind::Passing, self.var.extent.numel()))
    }
}

/// Whether kernels compute it as they read: a slope on either side of 0.
fn is_fused(activation: Activation) -> bool {
    match activation {
        Activation::Identity | Activation::Relu => true,
        Activation::LeakyRelu { slope } => (0.0..=1.0).contains(&slope),
        _ => false,
    }
}

/// A convolution of one input, or of several whose channels follow each other.
#[derive(Clone)]
struct Convolution {
    shape: Conv3dShape,
    inputs: Vec<Input>,
    channels: Vec<usize>,
    threads: usize,
}

impl Convolution {
    fn new(tape: &Tape, inputs: &[Input], channels: usize, kernel: [usize; 3]) -> Self {
        let Extent { n, size, .. } = inputs[0].var.extent;
        let own: Vec<usize> = inputs.iter().map(|input| input.var.extent.channels).collect();
        let shape =
            Conv3dShape::new(n, size, own.iter().sum(), channels, Conv3dSpec::new(kernel).same_padding());
        let shape = shape.expect("the configuration is valid and the size fits it");
        Self { shape, inputs: inputs.to_vec(), channels: own, threads: tape.threads }
    }

    fn reading(&self) -> Reading<'_> {
        let activated = self.inputs.iter().any(|input| input.deferred.is_some_and(is_fused));
        Reading { channels: &self.channels, activated }
    }

    fn forward(&self, tape: &Tape) -> (Block, Extent) {
        let extent = Extent { channels: self.shape.co(), ..self.inputs[0].var.extent };
        let y = tape.tensor(extent);
        let _read: Vec<_> = self.inputs.iter().map(|input| input.read(&tape.ledger)).collect();
        tape.ledger.scratch(&conv3d::forward_scratch::<f32>(&self.shape, self.reading(), self.threads));
        (y, extent)
    }

    fn backward_weight(&self, pass: &Pass) {
        pass.weight(self.shape.weight_len());
        let _read: Vec<_> = self.inputs.iter().map(|input| input.read(&pass.ledger)).collect();
        let scratch = conv3d::backward_weight_scratch::<f32>(&self.shape, self.reading(), self.threads);
        pass.ledger.scratch(&scratch);
    }

    /// The gradient of each input.
    fn backward_input(&self, pass: &Pass) -> Vec<Block> {
        let of = |input: &Input| pass.ledger.numbers(Kind::Passing, input.var.extent.numel());
        let dx = self.inputs.iter().map(of).collect();
        let scratch = conv3d::backward_input_scratch::<f32>(&self.shape, &self.channels, self.threads);
        pass.ledger.scratch(&scratch);
        dx
    }
}

/// A convolution that keeps the size.
pub(super) fn conv(tape: &Tape, inputs: &[Input], channels: usize, kernel: [usize; 3]) -> Var {
    let conv = Convolution::new(tape, inputs, channels, kernel);
    let y = conv.forward(tape);
    let vars: Vec<&Var> = inputs.iter().map(|input| &input.var).collect();
    let wanted = wants(&vars);
    tape.record(&vars, y, move |pass, dy| {
        conv.backward_weight(pass);
        if !wanted.contains(&true) {
            return vec![None; wanted.len()];
        }
        let dx = conv.backward_input(pass);
        drop(dy);
        dx.into_iter().zip(wanted).map(|(dx, wanted)| wanted.then_some(dx)).collect()
    })
}

/// Normalisation, activation and convolution in one unit.
pub(super) fn norm_act_conv(
    tape: &Tape,
    raw: Var,
    activation: Activation,
    channels: usize,
    kernel: [usize; 3],
) -> Var {
    let input = Input { var: raw, deferred: Some(activation) };
    let conv = Convolution::new(tape, std::slice::from_ref(&input), channels, kernel);
    let y = conv.forward(tape);
    tape.record(&[&input.var], y, move |pass, dy| {
        conv.backward_weight(pass);
        let read = conv.inputs[0].read(&pass.ledger);
        let da = conv.backward_input(pass).swap_remove(0);
        drop((dy, read));
        vec![Some(da.written())]
    })
}

/// Normalisation and activation, left to whoever reads the result.
pub(super) fn defer(tape: &Tape, raw: Var, activation: Activation) -> Input {
    let kept = raw.block.clone();
    let var = tape.record(&[&raw], (raw.block.clone(), raw.extent), move |_, da| {
        let dx = da.written();
        drop(kept);
        vec![Some(dx)]
    });
    Input { var, deferred: Some(activation) }
}

/// Normalisation and activation.
pub(super) fn norm_act(tape: &Tape, raw: &Var) -> Var {
    let y = tape.tensor(raw.extent);
    let kept = raw.block.clone();
    tape.record(&[raw], (y, raw.extent), move |_, dy| {
        let dx = dy.written();
        drop(kept);
        vec![Some(dx)]
    })
}

/// Dropout, which writes a copy and keeps nothing.
pub(super) fn dropout(tape: &Tape, x: &Var) -> Var {
    tape.record(&[x], (tape.tensor(x.extent), x.extent), |_, dy| vec![Some(dy.written())])
}

/// An activation by itself, which keeps its input or its value.
pub(super) fn activation(tape: &Tape, x: Var, activation: Activation) -> Var {
    if activation == Activation::Identity {
        return x;
    }
    let y = tape.tensor(x.extent);
    let keeps_input = match activation {
        Activation::Gelu | Activation::Silu => true,
        Activation::LeakyRelu { slope: left } | Activation::Elu { alpha: left } => left < 0.0,
        Activation::Relu | Activation::Identity => false,
    };
    let kept = if keeps_input { x.block.clone() } else { y.clone() };
    tape.record(&[&x], (y, x.extent), move |_, dy| {
        let dx = dy.written();
        drop(kept);
        vec![Some(dx)]
    })
}

/// A sum, whose gradient both terms share.
pub(super) fn add(tape: &Tape, a: &Var, b: &Var) -> Var {
    let y = (tape.tensor(a.extent), a.extent);
    tape.record(&[a, b], y, |_, dy| vec![Some(dy.clone()), Some(dy)])
}

/// Channels side by side.
pub(super) fn concat(tape: &Tape, a: &Var, b: &Var) -> Var {
    let [of_a, of_b] = [a, b].map(|x| x.extent);
    let extent = Extent { channels: of_a.channels + of_b.channels, ..of_a };
    tape.record(&[a, b], (tape.tensor(extent), extent), move |pass, dy| {
        let dx = [of_a, of_b].map(|extent| Some(pass.ledger.numbers(Kind::Passing, extent.numel()))).to_vec();
        drop(dy);
        dx
    })
}

/// Max pooling, which notes a byte for each output.
pub(super) fn max_pool(tape: &Tape, x: &Input, stride: [usize; 3]) -> Var {
    let from = x.var.extent;
    let extent = Extent { size: std::array::from_fn(|a| from.size[a] / stride[a]), ..from };
    let _read = x.read(&tape.ledger);
    let y = tape.tensor(extent);
    let winners = tape.ledger.bytes(Kind::Forward, extent.numel());
    let reader = x.clone();
    tape.record(&[&x.var], (y, extent), move |pass, dy| {
        let dx = pass.ledger.numbers(Kind::Passing, from.numel());
        drop((dy, winners, reader));
        vec![Some(dx)]
    })
}

/// A transposed convolution with kernel = stride.
pub(super) fn conv_transpose(tape: &Tape, x: &Input, channels: usize, stride: [usize; 3]) -> Var {
    let from = x.var.extent;
    let spec = ConvTranspose3dSpec { stride, ..ConvTranspose3dSpec::new(stride) };
    let shape = ConvTranspose3dShape::new(from.n, from.size, from.channels, channels, spec)
        .expect("the configuration is valid and the size fits it");
    let extent = Extent { n: from.n, size: shape.output(), channels };
    let y = tape.tensor(extent);
    let activated = x.deferred.is_some_and(is_fused);
    let scratch = conv_transpose3d::scratch::<f32>(&shape, activated, tape.threads);
    let read = x.read(&tape.ledger);
    tape.ledger.scratch(&scratch[0]);
    drop(read);
    let reader = x.clone();
    tape.record(&[&x.var], (y, extent), move |pass, dy| {
        pass.weight(shape.weight_len());
        let read = reader.read(&pass.ledger);
        pass.ledger.scratch(&scratch[2]);
        drop(read);
        let dx = pass.ledger.numbers(Kind::Passing, from.numel());
        pass.ledger.scratch(&scratch[1]);
        drop((dy, reader));
        vec![Some(dx)]
    })
}

/// Interpolation, which keeps nothing.
pub(super) fn upsample(tape: &Tape, x: &Var, factors: [usize; 3]) -> Var {
    let from = x.extent;
    let extent = Extent { size: std::array::from_fn(|a| from.size[a] * factors[a]), ..from };
    tape.record(&[x], (tape.tensor(extent), extent), move |pass, dy| {
        let dx = pass.ledger.numbers(Kind::Passing, from.numel());
        drop(dy);
        vec![Some(dx)]
    })
}
