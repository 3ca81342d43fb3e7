//! The network's passes on the tape without numbers; see [`crate::Block`], [`crate::Up`] and [`crate::UNet3d`], whose
//! order they follow.

use super::operations::{
    Input, activation, add, concat, conv, conv_transpose, defer, dropout, max_pool, norm_act, norm_act_conv,
    upsample,
};
use super::tape::{Tape, Var};
use crate::{Checkpointing, UNet3dConfig, Upsampling};

/// The logits, finest first; only the finest unless `all`.
pub(super) fn run(config: &UNet3dConfig, tape: &Tape, x: Var, all: bool) -> Vec<Var> {
    let mut x = Input::from(x);
    let mut skips = Vec::new();
    for level in 0..config.levels {
        x = encode(config, tape, level, x);
        if level + 1 < config.levels {
            skips.push(x.clone());
            x = max_pool(tape, &x, config.stride(level)).into();
        }
    }
    let mut scales = Vec::new();
    for level in (0..config.levels - 1).rev() {
        let skip = skips.pop().expect("a skip for each step up");
        x = decode(config, tape, level, skip, x);
        if all && level > 0 {
            scales.push(head(config, tape, &x));
        }
    }
    scales.push(head(config, tape, &x));
    scales.reverse();
    scales
}

fn head(config: &UNet3dConfig, tape: &Tape, x: &Input) -> Var {
    conv(tape, std::slice::from_ref(x), config.out_channels, [1; 3])
}

fn encode(config: &UNet3dConfig, tape: &Tape, level: usize, x: Input) -> Input {
    if config.checkpointing == Checkpointing::None {
        return block(config, tape, level, vec![x]);
    }
    let config = config.clone();
    let x = x.activated(tape);
    let f = move |tape: &Tape, x: &[Var]| {
        let input = x[0].clone().into();
        result(tape, block(&config, tape, level, vec![input]))
    };
    tape.checkpoint(vec![x], f).into()
}

fn decode(config: &UNet3dConfig, tape: &Tape, level: usize, skip: Input, x: Input) -> Input {
    if config.checkpointing == Checkpointing::None {
        let up = up(config, tape, level, x);
        return block(config, tape, level, vec![skip, up.into()]);
    }
    let config = config.clone();
    let inputs = vec![skip.activated(tape), x.activated(tape)];
    let f = move |tape: &Tape, inputs: &[Var]| {
        let (skip, x) = (inputs[0].clone(), inputs[1].clone());
        let up = up(&config, tape, level, x.into());
        result(tape, block(&config, tape, level, vec![skip.into(), up.into()]))
    };
    tape.checkpoint(inputs, f).into()
}

fn result(tape: &Tape, y: Input) -> Var {
    if tape.recording { y.var } else { y.activated(tape) }
}

fn block(config: &UNet3dConfig, tape: &Tape, level: usize, mut inputs: Vec<Input>) -> Input {
    let (channels, kernel) = (config.channels(level), config.kernel(level));
    if !config.residual {
        let y = conv(tape, &inputs, channels, kernel);
        drop(inputs);
        return defer(tape, second(config, tape, level, y), config.activation);
    }
    if inputs.len() > 1 {
        let mut both = inputs.into_iter().map(|input| input.activated(tape));
        let (first, second) = (both.next().expect("a skip"), both.next().expect("what comes from below"));
        inputs = vec![concat(tape, &first, &second).into()];
    }
    let x = inputs.swap_remove(0);
    let shortcut = if x.var.extent.channels == channels {
        x.clone().activated(tape)
    } else {
        conv(tape, std::slice::from_ref(&x), channels, [1; 3])
    };
    let y = conv(tape, &[x], channels, kernel);
    let raw = second(config, tape, level, y);
    let normalised = norm_act(tape, &raw);
    drop(raw);
    let sum = add(tape, &normalised, &shortcut);
    drop((normalised, shortcut));
    activation(tape, sum, config.activation).into()
}

/// The first norm, dropout and the second convolution.
fn second(config: &UNet3dConfig, tape: &Tape, level: usize, y: Var) -> Var {
    let (channels, kernel) = (config.channels(level), config.kernel(level));
    if config.dropout == 0.0 {
        return norm_act_conv(tape, y, config.activation, channels, kernel);
    }
    let normalised = norm_act(tape, &y);
    drop(y);
    // Where nothing is recorded, layers are as in use.
    let dropped = if tape.recording { dropout(tape, &normalised) } else { normalised.clone() };
    drop(normalised);
    conv(tape, &[dropped.into()], channels, kernel)
}

fn up(config: &UNet3dConfig, tape: &Tape, level: usize, x: Input) -> Var {
    let (channels, stride) = (config.channels(level), config.stride(level));
    match config.upsampling {
        Upsampling::Transposed => conv_transpose(tape, &x, channels, stride),
        Upsampling::Trilinear => upsample(tape, &conv(tape, &[x], channels, [1; 3]), stride),
    }
}
