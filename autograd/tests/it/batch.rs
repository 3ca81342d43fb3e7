//! What a tape tells those who share a batch: gradients as they become known, and numbers of other parts.

use std::sync::{Arc, Mutex};

use autograd::{Parameter, Tape, Tensor, WholeBatch};

#[test]
fn gradients_are_told_of_while_layers_before_are_still_to_come() {
    let parameter = |x: f64| Parameter::new(Tensor::from_vec([2], vec![x, -x]));
    let (first, second, third) = (parameter(2.0), parameter(3.0), parameter(5.0));
    let told = Arc::new(Mutex::new(Vec::new()));
    let tape = Tape::<f64>::train(0);
    let sink = Arc::clone(&told);
    tape.on_gradient(move |id, gradient| sink.lock().unwrap().push((id, gradient.data().to_vec())));
    let x = tape.parameter(&first) * tape.constant(Tensor::from_vec([2], vec![1.0, 2.0]));
    // One whose layer is computed again in the backward pass.
    let inside = second.clone();
    let y = tape.checkpoint([x], move |tape, [x]| x * tape.parameter(&inside));
    let gradients = (y * tape.parameter(&third)).sum().backward();
    let ids: Vec<_> = told.lock().unwrap().iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [third.id(), second.id(), first.id()]);
    for (id, found) in told.lock().unwrap().iter() {
        let whole = gradients.iter().find(|(other, _)| other == id).unwrap().1;
        assert_eq!(whole.data(), found);
    }
}

#[test]
fn a_tape_by_itself_gathers_its_own_numbers() {
    let tape = Tape::<f32>::train(0);
    assert_eq!(tape.gather(vec![1.0, 2.0]), Ok(vec![1.0, 2.0]));
    struct Broken;
    impl WholeBatch for Broken {
        fn gather(&self, _: &[f64]) -> Result<Vec<f64>, String> {
            Err("the other part is gone".into())
        }
    }
    assert_eq!(tape.of_batch(Arc::new(Broken)).gather(vec![]), Err("the other part is gone".to_owned()));
}
