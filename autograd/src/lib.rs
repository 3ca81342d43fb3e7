//! A minimal tape-based reverse-mode automatic differentiation engine.

pub mod real;

pub use real::Real;
