//! What layers, optimisers and the operations below them obey, seen from outside.

mod convolution;
mod determinism;
mod fused;
mod layers;
mod mistakes;
mod norm_act;
mod optim;
mod pooling;
mod samples;
mod support;
mod tasks;
mod training;
