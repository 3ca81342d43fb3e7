//! "BCEWithLogitsLoss and class weights": logits `[1, 1, 30, 256, 256]` in PyTorch's words, 1 voxel in 100 positive.
//!
//! Which weight goes where, and what does each do? Run it with `cargo run --release -p losses --example forum_question`.

use autograd::{Tape, Tensor};
use losses::{BceWithLogits, CrossEntropy, Labels, Loss, Reduction, Target, Weight};

fn main() -> Result<(), losses::Error> {
    // One channel: the same memory in PyTorch's [n, c, d, h, w] and in our [n, d, h, w, c].
    let logits = Tensor::<f32>::from_fn([1, 30, 256, 256, 1], |i| (i as f32 * 0.37).sin() - 3.0);
    let labels = Labels::from_fn([1, 30, 256, 256], |i| i32::from(i % 100 == 0));
    println!("logits {}, 1 positive in 100\n", logits.shape());

    show("no weight", &BceWithLogits::new(), &logits, &labels);
    show("pos_weight(10), an integer", &BceWithLogits::new().pos_weight(10), &logits, &labels);
    show("pos_weight([10.0]), one per channel", &BceWithLogits::new().pos_weight([10.0]), &logits, &labels);
    show(
        "pos_weight([0.2, 0.8]), two classes",
        &BceWithLogits::new().pos_weight([0.2, 0.8]),
        &logits,
        &labels,
    );
    show(
        "pos_weight(0.8 / 0.2), what was meant",
        &BceWithLogits::new().pos_weight(0.8 / 0.2),
        &logits,
        &labels,
    );

    // weight[y] onto the unreduced loss: the recipe of 2018, which is a weight per element.
    let by_class = [0.2, 0.8];
    let per_voxel = Tensor::from_fn(logits.shape(), |i| by_class[labels.get(i) as usize] as f32);
    let recipe = BceWithLogits::new().weight(Weight::PerElement(per_voxel));
    show("weight per voxel, 0.2 or 0.8", &recipe, &logits, &labels);

    // The same weights are at home in a softmax over two channels, whose mean divides by the sum of weights.
    let two = Tensor::from_fn([1, 30, 256, 256, 2], |i| if i % 2 == 1 { logits.data()[i / 2] } else { 0.0 });
    let softmax = CrossEntropy::new().class_weights(by_class);
    show("class_weights([0.2, 0.8]), two channels", &softmax, &two, &labels);
    let sum = softmax.reduction(Reduction::SumOver(labels.len() as f64));
    show("the same, divided by the voxels", &sum, &two, &labels);
    Ok(())
}

fn show(what: &str, loss: &dyn Loss<f32>, logits: &Tensor<f32>, labels: &Labels) {
    let tape = Tape::train(0);
    let x = tape.variable(logits.clone());
    let value = match loss.report(&x, Target::from(labels)) {
        Ok(report) => report.loss,
        Err(error) => return println!("{what:42} refused: {error}"),
    };
    let (number, gradients) = (value.item(), value.backward());
    let dx = gradients.wrt(&x).expect("x is a variable that the loss depends on").data();
    // Logits of class 1 are the last of each voxel's.
    let of_class_1 = dx.iter().skip(logits.channels() - 1).step_by(logits.channels());
    let (mut up, mut down) = (0.0, 0.0);
    of_class_1.for_each(|&g| if g < 0.0 { up -= f64::from(g) } else { down += f64::from(g) });
    println!("{what:42} loss {number:.4}   pull up {up:.4}   pull down {down:.4}");
}
