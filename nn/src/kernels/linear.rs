//! A matrix applied to every row of another, a convolution whose kernel is one voxel:
//!
//! ```text
//! y[r, o] = bias[o] + Σ_i x[r, i]·weight[i, o]    dx = dy·weightᵀ    dweight = xᵀ·dy
//! ```
//!
//! | slice | shape |
//! |---|---|
//! | `x`, `dx` | `[rows, inputs]` |
//! | `weight`, `dw` | `[inputs, outputs]` |
//! | `bias` | `[outputs]` |
//! | `y`, `dy` | `[rows, outputs]` |
//!
//! Convolutions deal out the lines of a volume, so the rows are read as a volume of lines of 256 voxels, and what is
//! left over as a line of its own. There may be no rows.

use std::ops::Range;

use autograd::Real;

pub use super::conv3d::backward_bias;
use super::conv3d::{self, Conv3dShape, Conv3dSpec, Epilogue, Source, SpecError, Target};
use super::scratch::Scratch;
use super::tasks::Tasks;

/// Rows of a line: several register tiles high, and a fraction of a task.
const LINE: usize = 256;

/// The sizes, which are possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearShape {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl LinearShape {
    /// `rows` rows, from `inputs` to `outputs` channels.
    ///
    /// # Errors
    ///
    /// If there are no inputs or no outputs, or more numbers than any memory holds.
    pub fn new(rows: usize, inputs: usize, outputs: usize) -> Result<Self, SpecError> {
        let shape = Self { rows, inputs, outputs };
        shape.volume(1, rows.max(1))?;
        Ok(shape)
    }

    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    fn volume(&self, lines: usize, line: usize) -> Result<Conv3dShape, SpecError> {
        Conv3dShape::new(1, [1, lines, line], self.inputs, self.outputs, Conv3dSpec::new([1; 3]))
    }

    /// The volumes, and which rows they are.
    fn volumes(self) -> impl Iterator<Item = (Range<usize>, Conv3dShape)> {
        let whole = self.rows / LINE * LINE;
        let parts = [(0..whole, whole / LINE, LINE), (whole..self.rows, 1, self.rows - whole)];
        parts.into_iter().filter(|(rows, ..)| !rows.is_empty()).map(move |(rows, lines, line)| {
            (rows, self.volume(lines, line).expect("a part of what `new` found possible"))
        })
    }

    fn check<T>(&self, x: &[T], weight: &[T], y: &[T]) {
        assert_eq!(x.len(), self.rows * self.inputs, "length of the input");
        assert_eq!(weight.len(), self.inputs * self.outputs, "length of the weight");
        assert_eq!(y.len(), self.rows * self.outputs, "length of the output");
    }
}

/// The part of `[rows, channels]` numbers.
fn of(rows: &Range<usize>, channels: usize) -> Range<usize> {
    rows.start * channels..rows.end * channels
}

/// y = bias + x·weight
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn forward<T: Real>(shape: &LinearShape, x: &[T], weight: &[T], bias: Option<&[T]>, y: &mut [T]) {
    shape.check(x, weight, y);
    for (rows, volume) in shape.volumes() {
        let x = Source::plain(&x[of(&rows, shape.inputs)], shape.inputs);
        let y = &mut y[of(&rows, shape.outputs)];
        conv3d::forward(&volume, &[x], weight, bias, y, Epilogue::Nothing);
    }
}

/// dx = dy·weightᵀ
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_input<T: Real>(shape: &LinearShape, weight: &[T], dy: &[T], dx: &mut [T]) {
    shape.check(dx, weight, dy);
    for (rows, volume) in shape.volumes() {
        let dx = Target { y: &mut dx[of(&rows, shape.inputs)], channels: shape.inputs };
        let dy = &dy[of(&rows, shape.outputs)];
        conv3d::backward_input(&volume, weight, dy, &mut [dx], Epilogue::Nothing);
    }
}

/// dw = xᵀ·dy
///
/// # Panics
///
/// If a length does not fit the shape.
pub fn backward_weight<T: Real>(shape: &LinearShape, x: &[T], dy: &[T], dw: &mut [T]) {
    shape.check(x, dw, dy);
    let mut of_part = Scratch::new(dw.len());
    dw.fill(T::ZERO);
    for (rows, volume) in shape.volumes() {
        let x = Source::plain(&x[of(&rows, shape.inputs)], shape.inputs);
        conv3d::backward_weight(&volume, &[x], &dy[of(&rows, shape.outputs)], &mut of_part);
        dw.iter_mut().zip(of_part.iter()).for_each(|(dw, &part)| *dw += part);
    }
}

/// The tasks of the forward pass, of the gradient of the input and of that of the weight; of the first volume.
pub fn tasks<T: Real>(shape: &LinearShape) -> [Vec<Tasks>; 3] {
    let Some((_, volume)) = shape.volumes().next() else { return Default::default() };
    [
        conv3d::forward_tasks::<T>(&volume),
        conv3d::backward_input_tasks::<T>(&volume),
        conv3d::backward_weight_tasks::<T>(&volume),
    ]
}
