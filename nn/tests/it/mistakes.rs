//! Mistakes in shapes and tapes: each is a sentence that points at the caller's line.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

use autograd::{Parameter, Tape, Tensor};
use nn::functional::{Conv3dSpec, ConvTranspose3dSpec, Pool3dSpec, add_act, attention};
use nn::layers::{Activation, Conv3d, ConvTranspose3d, Linear, MaxPool3d, NormAct};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rusty_fork::rusty_fork_test;

thread_local! {
    static SEEN: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
}

/// What the panic says, and what is done.
type Mistake<'a> = (&'static str, Box<dyn FnOnce() + 'a>);

/// Where `f` panics, and with which words.
fn panic_of(f: impl FnOnce()) -> (String, String) {
    let before = take_hook();
    set_hook(Box::new(|info| {
        let file = info.location().map(|location| location.file().to_owned());
        let words = info.payload_as_str().unwrap_or_default().to_owned();
        SEEN.set(file.map(|file| (file, words)));
    }));
    let result = catch_unwind(AssertUnwindSafe(f));
    set_hook(before);
    assert!(result.is_err(), "it is a mistake");
    SEEN.take().expect("a panic has a place")
}

rusty_fork_test! {
    /// In a process of its own, since the hook is the process's.
    #[test]
    fn a_mistake_is_one_sentence_at_the_callers_line() {
        let rng = &mut ChaCha8Rng::seed_from_u64(0);
        let (tape, other) = (Tape::<f32>::train(0), Tape::<f32>::train(0));
        let x = || tape.variable(Tensor::zeros([1, 4, 4, 4, 2]));
        let flat = || tape.variable(Tensor::zeros([2, 3]));
        let conv = Conv3d::<f32>::new(3, 4, Conv3dSpec::new([3; 3]), rng).unwrap();
        let up = ConvTranspose3d::<f32>::new(3, 4, ConvTranspose3dSpec::new([2; 3]), rng).unwrap();
        let large = Conv3d::<f32>::new(2, 4, Conv3dSpec::new([7; 3]), rng).unwrap();
        let linear = Linear::<f32>::new(4, 1, rng).unwrap();
        let norm = NormAct::<f32>::instance(3).unwrap();
        let pool = MaxPool3d::new(Pool3dSpec::new([5; 3])).unwrap();
        let mut parameter = Parameter::new(Tensor::<f32>::zeros([2]));
        let mistakes: Vec<Mistake<'_>> = vec![
            ("has ci = 2 channels", Box::new(|| { conv.forward(x()); })),
            ("has ci = 2 channels", Box::new(|| { conv.forward_with_stats(x()); })),
            ("expected [n, d, h, w, c], got [2, 3]", Box::new(|| { conv.forward(flat()); })),
            ("conv3d: ", Box::new(|| { large.forward(x()); })),
            ("has ci = 2 channels", Box::new(|| { up.forward(x()); })),
            ("has in = 2 channels", Box::new(|| { linear.forward(x()); })),
            ("c = 2", Box::new(|| { norm.forward(x()); })),
            ("a window of 5 along d", Box::new(|| { pool.forward(x()); })),
            ("the terms of a sum have one shape", Box::new(|| { add_act(x(), flat(), Activation::Relu); })),
            ("attention", Box::new(|| { attention(flat(), x(), x()); })),
            ("do not go together: axis 0 is 2 against 3", Box::new(|| { let _ = flat() + tape.constant(Tensor::zeros([3, 3])); })),
            ("maximum: ", Box::new(|| { flat().maximum(x()); })),
            ("there is no axis 2 in [2, 3]", Box::new(|| { flat().sum_axes(&[2]); })),
            ("names axis 1 twice", Box::new(|| { flat().max_axes(&[1, 1]); })),
            ("is no permutation of the axes of [2, 3]", Box::new(|| { flat().permute(&[0, 0]); })),
            ("matmul: [2, 3] times [2, 3]", Box::new(|| { flat().matmul(flat()); })),
            ("reshape: [2, 3] has 6 numbers, [4] has 4", Box::new(|| { flat().reshape([4]); })),
            ("clamp: 1 to 0 is no range", Box::new(|| { flat().clamp(1.0, 0.0); })),
            ("item() wants one number, the shape is [2, 3]", Box::new(|| { flat().item(); })),
            ("shape [2] holds 2 numbers, got 3", Box::new(|| { Tensor::from_vec([2], vec![0.0f32; 3]); })),
            ("a Var of one tape was used on another", Box::new(|| { let _ = x() + other.variable(Tensor::zeros([1])); })),
            ("a Var of one tape was used on another", Box::new(|| { x().matmul(other.variable(Tensor::zeros([2, 2]))); })),
            ("a Var of one tape was used on another", Box::new(|| { x().concat_channels(other.variable(Tensor::zeros([1, 4, 4, 4, 1]))); })),
            ("backward() starts from one number", Box::new(|| { flat().backward(); })),
            ("has its shape, [2, 3], not [3]", Box::new(|| { flat().backward_with(Tensor::zeros([3])); })),
            ("a parameter keeps its shape, [2], and was given [3]", Box::new(|| parameter.set(Tensor::zeros([3])))),
        ];
        let faults = mistakes.into_iter().enumerate().filter_map(|(i, (wanted, mistake))| {
            let (file, words) = panic_of(mistake);
            let is_sentence = words.contains(wanted) && !words.contains('\n') && !words.contains("left:");
            (!file.ends_with("mistakes.rs") || !is_sentence).then(|| format!("{i}: {words}, at {file}"))
        });
        let faults: Vec<String> = faults.collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
