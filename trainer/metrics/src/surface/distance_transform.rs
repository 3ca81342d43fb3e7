//! The exact Euclidean distance transform: how far each voxel is from the nearest one of a mask.
//!
//! One axis after the other, D(x) = min over q of f(q) + s²(x − q)², where s is the spacing along the axis and
//! f what the axes before have given: first 0 in the mask and ∞ outside. The minimum over all q is the lower
//! envelope of parabolas, found for a whole line in a time proportional to its length.
//! Lines of one axis do not depend on each other, so threads share them, and none changes a bit of the result.
//!
//! # Source
//! P. F. Felzenszwalb, D. P. Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8,
//! 2012, algorithm 1; with anisotropic spacing as in SciPy's `distance_transform_edt(sampling=...)`.

use rayon::prelude::*;

use crate::grid;

/// The distance in mm from each voxel to the nearest voxel of the mask `[d, h, w]`: 0 in the mask, ∞ everywhere
/// if it is empty. `spacing` is (d, h, w) in mm.
///
/// ```
/// use metrics::distance_transform;
/// let distances = distance_transform(&[true, false, false, false], [1, 2, 2], [9.0, 4.0, 3.0]);
/// assert_eq!(distances, [0.0, 3.0, 4.0, 5.0]);
/// ```
///
/// # Panics
/// When the mask does not have the shape's number of voxels, or a spacing is not a positive number whose square
/// can be written.
#[track_caller]
pub fn distance_transform(mask: &[bool], shape: [usize; 3], spacing: [f64; 3]) -> Vec<f64> {
    grid::check(mask, shape);
    assert!(super::is_usable(spacing), "voxels that are {spacing:?} mm apart measure nothing");
    let [_, h, w] = shape;
    let mut squares = memory::collected(mask.iter().map(|&set| if set { 0.0 } else { f64::INFINITY }));
    if mask.is_empty() {
        return squares;
    }
    // 1. Along w, where lines lie in memory.
    squares.par_chunks_mut(w).for_each_init(Envelope::default, |envelope, row| {
        envelope.transform(row, spacing[2]);
    });
    // 2. Along h: the rows of one slice, one below the other.
    squares.par_chunks_mut(h * w).for_each_init(Envelope::default, |envelope, slice| {
        envelope.transform_across(&mut slice.chunks_mut(w).collect::<Vec<_>>(), spacing[1]);
    });
    // 3. Along d: the rows with the same h of all slices.
    let mut columns: Vec<Vec<&mut [f64]>> = (0..h).map(|_| Vec::with_capacity(shape[0])).collect();
    squares.chunks_mut(w).enumerate().for_each(|(row, values)| columns[row % h].push(values));
    columns.par_iter_mut().for_each_init(Envelope::default, |envelope, rows| {
        envelope.transform_across(rows, spacing[0]);
    });
    squares.par_iter_mut().for_each(|square| *square = square.sqrt());
    squares
}

/// The parabola height + s²(x − place)², lowest of all from `from` to where the next one begins.
struct Parabola {
    place: f64,
    height: f64,
    from: f64,
}

/// The lower envelope of one line's parabolas; kept from line to line for its memory.
#[derive(Default)]
struct Envelope {
    parabolas: Vec<Parabola>,
    line: Vec<f64>,
}

impl Envelope {
    /// Transforms the lines that run across rows of equal length.
    fn transform_across(&mut self, rows: &mut [&mut [f64]], spacing: f64) {
        let mut line = std::mem::take(&mut self.line);
        for column in 0..rows[0].len() {
            line.clear();
            line.extend(rows.iter().map(|row| row[column]));
            self.transform(&mut line, spacing);
            rows.iter_mut().zip(&line).for_each(|(row, &value)| row[column] = value);
        }
        self.line = line;
    }

    /// Replaces f by min over q of f(q) + s²(x − q)².
    fn transform(&mut self, line: &mut [f64], spacing: f64) {
        let square = spacing * spacing;
        self.parabolas.clear();
        // Voxels without a distance yet have no parabola.
        for (q, &height) in line.iter().enumerate().filter(|(_, height)| height.is_finite()) {
            let place = q as f64;
            let mut from = f64::NEG_INFINITY;
            while let Some(last) = self.parabolas.last() {
                // Where the two cross; the paper's equation, with the common terms cancelled by hand.
                let rise = (height - last.height) / (square * (place - last.place));
                from = (place + last.place + rise) / 2.0;
                if from > last.from {
                    break;
                }
                self.parabolas.pop();
            }
            self.parabolas.push(Parabola { place, height, from });
        }
        let mut lowest = 0;
        for (x, value) in line.iter_mut().enumerate() {
            let x = x as f64;
            while self.parabolas.get(lowest + 1).is_some_and(|next| next.from < x) {
                lowest += 1;
            }
            if let Some(Parabola { place, height, .. }) = self.parabolas.get(lowest) {
                *value = height + (spacing * (x - place)).powi(2);
            }
        }
    }
}
