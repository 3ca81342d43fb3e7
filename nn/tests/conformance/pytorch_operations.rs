//! Elementary operations and attention, values and gradients, against PyTorch's: `fixtures/make_operations.py`.

use autograd::{Tape, Var};
use libtest_mimic::{Failed, Trial};
use nn::functional::{attention, global_avg_pool3d, global_max_pool3d};
use serde_json::Value;

use crate::reference::{Reference, compare, fixture};

pub(crate) fn trials() -> Vec<Trial> {
    let reference = std::sync::Arc::new(Reference::read(&fixture("operations.safetensors")));
    assert!(reference.cases.len() > 60, "{} cases", reference.cases.len());
    let trial = |(name, call): (&String, &Value)| {
        let (reference, case, call) = (reference.clone(), name.clone(), call.clone());
        Trial::test(format!("pytorch operation {name}"), move || check(&reference, &case, &call))
    };
    reference.cases.iter().map(trial).collect()
}

fn check(reference: &Reference, case: &str, call: &Value) -> Result<(), Failed> {
    let tape = Tape::<f64>::train(0);
    let x: Vec<Var<'_, f64>> =
        (0..3).map_while(|i| Some(tape.variable(reference.get(case, &format!("x{i}"))?))).collect();
    let axes: Vec<usize> = call["axes"].as_array().into_iter().flatten().map(index).collect();
    let arg = |i: usize| x[i].clone();
    let y = match call["operation"].as_str().unwrap_or_default() {
        "add" => arg(0) + arg(1),
        "sub" => arg(0) - arg(1),
        "mul" => arg(0) * arg(1),
        "div" => arg(0) / arg(1),
        "maximum" => arg(0).maximum(arg(1)),
        "minimum" => arg(0).minimum(arg(1)),
        "sum_axes" => arg(0).sum_axes(&axes),
        "mean_axes" => arg(0).mean_axes(&axes),
        "max_axes" => arg(0).max_axes(&axes),
        "min_axes" => arg(0).min_axes(&axes),
        "global_avg_pool3d" => global_avg_pool3d(arg(0)),
        "global_max_pool3d" => global_max_pool3d(arg(0)),
        "abs" => arg(0).abs(),
        "clamp" => arg(0).clamp(number(&call["min"]), number(&call["max"])),
        "permute" => arg(0).permute(&axes),
        "matmul" => arg(0).matmul(arg(1)),
        "attention" => attention(arg(0), arg(1), arg(2)),
        other => return Err(format!("{other} is no operation").into()),
    };
    compare("y", y.value(), &reference.tensor(case, "y"), 1e-12)?;
    let gradients = y.backward_with(reference.tensor(case, "dy"));
    for (i, x) in x.iter().enumerate() {
        let got = gradients.wrt(x).ok_or("no gradient")?;
        compare(&format!("dx{i}"), got, &reference.tensor(case, &format!("dx{i}")), 1e-12)?;
    }
    Ok(())
}

fn index(value: &Value) -> usize {
    value.as_u64().expect("an axis") as usize
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}
