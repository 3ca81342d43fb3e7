//! The gradient check finds mistakes, and says where they are.

use autograd::gradcheck::{Gradcheck, adjoint};
use autograd::{Backward, Function, Tensor};

/// y = a·b², with a derivative that is wrong at one element of b.
struct Wrong {
    at: usize,
    error: f64,
}

impl Function<f64, 2> for Wrong {
    fn forward(&self, [a, b]: [&Tensor<f64>; 2], _: [bool; 2]) -> (Tensor<f64>, Self::Saved) {
        (a.clone().zip_map(b, |a, b| a * b * b), [a.clone(), b.clone()])
    }
}

impl Backward<f64, 2> for Wrong {
    type Saved = [Tensor<f64>; 2];

    fn backward(&self, [a, b]: Self::Saved, dy: Tensor<f64>, _: [bool; 2]) -> [Option<Tensor<f64>>; 2] {
        let da = dy.clone().zip_map(&b, |dy, b| dy * b * b);
        let mut db = dy.zip_map(&a, |dy, a| 2.0 * dy * a).zip_map(&b, |v, b| v * b);
        db.data_mut()[self.at] *= 1.0 + self.error;
        [Some(da), Some(db)]
    }
}

fn inputs() -> [Tensor<f64>; 2] {
    [Tensor::from_fn([3, 4], |i| 1.0 + i as f64), Tensor::from_fn([3, 4], |i| 2.0 - 0.3 * i as f64)]
}

#[test]
fn a_wrong_derivative_is_found_and_named_by_function_input_and_index() {
    for (at, error) in [(0, 1e-4), (6, -1e-3), (11, f64::NAN), (5, f64::INFINITY)] {
        let mismatch = Gradcheck::new()
            .projections("wrong", &inputs(), |tape, x| {
                tape.apply(Wrong { at, error }, [x[0].clone(), x[1].clone()])
            })
            .unwrap_err();
        assert_eq!(mismatch.input, 1);
        assert_eq!(mismatch.index, Some((at, vec![at / 4, at % 4])));
        let message = mismatch.to_string();
        let start = format!("wrong: gradient of input 1 at [{}, {}]: got ", at / 4, at % 4);
        assert!(message.starts_with(&start), "{message}");
    }
}

#[test]
fn a_right_derivative_passes_both_checks() {
    let f = Gradcheck { trials: 8, ..Gradcheck::new() };
    let right = |at| Wrong { at, error: 0.0 };
    f.projections("right", &inputs(), |tape, x| tape.apply(right(3), [x[0].clone(), x[1].clone()])).unwrap();
    f.elements("right", &inputs(), |tape, x| tape.apply(right(3), [x[0].clone(), x[1].clone()])).unwrap();
}

#[test]
fn a_gradient_that_is_missing_is_found() {
    let lost = Gradcheck::new().projections("lost", &inputs(), |_, x| x[0].clone().detach() * &x[1]);
    assert_eq!(lost.unwrap_err().input, 0);
}

#[test]
fn a_map_and_what_is_not_its_adjoint_are_told_apart() {
    let x = Tensor::<f32>::from_fn([5], |i| 1.0 + i as f32);
    let u = Tensor::from_fn([5], |i| (i * i) as f32);
    let reversed = |x: &Tensor<f32>| Tensor::from_fn([5], |i| x.data()[4 - i]);
    let shifted = |x: &Tensor<f32>| Tensor::from_fn([5], |i| x.data()[(i + 1) % 5]);
    adjoint("reverse", &x, &u, reversed, reversed).unwrap();
    assert!(adjoint("shift", &x, &u, shifted, shifted).is_err());
}
