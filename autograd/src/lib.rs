//! A minimal tape-based reverse-mode automatic differentiation engine.
//!
//! ```
//! use autograd::{Parameter, Tape, Tensor};
//!
//! let w = Parameter::new(Tensor::from_vec([2], vec![1.0f32, 2.0]));
//! let tape = Tape::train(0);
//! let x = tape.constant(Tensor::from_vec([2], vec![3.0, 4.0]));
//! let loss = (tape.parameter(&w) * x).sum();
//! assert_eq!(loss.item(), 11.0);
//! assert_eq!(loss.backward().get(&w).unwrap().data(), [3.0, 4.0]);
//! ```
//!
//! - [`Tensor`]: numbers in contiguous memory; the last axis is the channel axis.
//! - [`Tape`], [`Var`]: what was computed, and a value on it. [`Var::backward`] yields [`Gradients`].
//! - [`Var`]'s methods and `+ - * /`: the elementary operations, with their formulas; axes of extent 1 broadcast, and are kept
//!   by reductions, so that `x / x.sum_axes(&[4])` is what it says.
//! - [`Backward`], [`Function`]: the interface of every operation; implement them for your own.
//! - [`Parameter`]: what outlives tapes and is trained, or [frozen](Parameter::freeze).
//! - [`gradcheck`]: derivatives held against finite differences.
//! - [`simd`]: the vocabulary in which fast kernels are written once for every instruction set.
//!
//! What is deliberately absent: layers, files, printing, and gradients of gradients.
//!
//! Of the examples `01_scalar` shows a derivative, `02_tape_by_hand` how a tape works, `03_custom_function` an operation of your
//! own, `04_gradcheck` a wrong derivative found.
//!
//! # Reading order
//!
//! To learn how it works, read `examples/02_tape_by_hand.rs`, a whole tape in sixty lines; `tensor.rs` and `var.rs`, the
//! numbers and their place on a tape; `function.rs`, what an operation is; `tape.rs` and `backward.rs`, how operations are
//! recorded and differentiated; `ops/elementwise.rs`, the simplest of them; `gradcheck.rs`, why one may believe them.
//! To be skipped at first: `buffer.rs`, where tensors get their memory; `simd.rs`, for fast loops; `context.rs`, which layers
//! and training loops use.

mod backward;
pub mod buffer;
mod checkpoint;
mod context;
mod function;
mod gemm;
pub mod gradcheck;
mod gradients;
mod ops;
pub mod parallel;
mod parameter;
pub mod real;
mod shape;
pub mod simd;
mod tape;
mod tensor;
mod var;

pub use buffer::OutOfMemory;
pub use context::{Event, Mode, NonFinite, Pass, WholeBatch};
pub use function::{Backward, Function};
pub use gradients::Gradients;
pub use ops::tape_of;
pub use parameter::{ParamId, Parameter};
pub use real::Real;
pub use shape::{MAX_RANK, Shape};
pub use tape::Tape;
pub use tensor::Tensor;
pub use var::Var;
