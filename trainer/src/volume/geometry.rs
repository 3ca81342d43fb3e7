//! From directions, spacings and origins to one affine, and what an affine says in letters.

use crate::nifti::Affine;

/// No geometry: 1 mm along each axis, the first voxel at the origin.
pub(super) const IDENTITY: Affine =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

/// The sign of each axis of space with which a format's numbers become RAS+.
pub(super) const LPS_TO_RAS: [f64; 3] = [-1.0, -1.0, 1.0];

/// The affine whose column a is `steps[a]`, one voxel's step along axis a. Axes that the file lacks (at most two) get
/// steps of length 1 at right angles to the others; `signs` turns the file's space to RAS+.
pub(super) fn from_steps(steps: &[[f64; 3]], origin: [f64; 3], signs: [f64; 3]) -> Affine {
    let mut columns = steps.to_vec();
    while columns.len() < 3 {
        columns.push(missing_step(&columns));
    }
    // Adding 0 turns −0 to 0.
    let mut affine = IDENTITY;
    for row in 0..3 {
        for axis in 0..3 {
            affine[row][axis] = signs[row] * columns[axis][row] + 0.0;
        }
        affine[row][3] = signs[row] * origin[row] + 0.0;
    }
    affine
}

/// Of one axis: the unit vector that leans on it least. Of two: their normal.
fn missing_step(columns: &[[f64; 3]]) -> [f64; 3] {
    let unit = |axis: usize| std::array::from_fn(|i| if i == axis { 1.0 } else { 0.0 });
    let [a, b] = match columns {
        [a, b] => [*a, *b],
        [a] => {
            let largest = (0..3).fold(0, |best, i| if a[i].abs() > a[best].abs() { i } else { best });
            [*a, unit((largest + 2) % 3)]
        }
        _ => return unit(0),
    };
    // Of one axis along x this is z × x = y.
    let [a, b] = if columns.len() == 1 { [b, a] } else { [a, b] };
    let normal = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
    let length = normal.iter().map(|v| v * v).sum::<f64>().sqrt();
    if length > 0.0 && length.is_finite() { normal.map(|v| v / length) } else { unit(2) }
}

/// Lengths of the first three columns.
pub(super) fn column_lengths(affine: &Affine) -> [f64; 3] {
    std::array::from_fn(|axis| (0..3).map(|row| affine[row][axis].powi(2)).sum::<f64>().sqrt())
}

/// Where the axes lead, as nibabel's `aff2axcodes`: L or R, P or A, I or S for each; `?` where an axis leads nowhere.
///
/// # Source
/// nibabel's `io_orientation`: the axes' directions are replaced by the nearest orthogonal ones, and each takes the axis
/// of space it leans on most.
pub fn axcodes(affine: &Affine) -> String {
    let lengths = column_lengths(affine);
    let directions: [[f64; 3]; 3] = std::array::from_fn(|row| {
        std::array::from_fn(|axis| affine[row][axis] / if lengths[axis] == 0.0 { 1.0 } else { lengths[axis] })
    });
    let mut turned = nearest_orthogonal(directions).unwrap_or(directions);
    let mut code = String::new();
    for axis in 0..3 {
        let largest = (0..3)
            .fold(0, |best, row| if turned[row][axis].abs() > turned[best][axis].abs() { row } else { best });
        let value = turned[largest][axis];
        // `numpy.allclose(column, 0)`
        if value.is_nan() || value.abs() <= 1e-8 {
            code.push('?');
            continue;
        }
        let letters = [['L', 'R'], ['P', 'A'], ['I', 'S']][largest];
        code.push(letters[usize::from(value > 0.0)]);
        turned[largest] = [0.0; 3];
    }
    code
}

/// The orthogonal factor of the polar decomposition, by Newton's iteration X ← (X + X⁻ᵀ)/2 (Higham 1986); `None` where
/// the matrix has no inverse.
fn nearest_orthogonal(mut x: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    // Convergence is quadratic; 60 steps also bring in what is almost singular.
    for _ in 0..60 {
        let cofactor: [[f64; 3]; 3] = std::array::from_fn(|r| {
            std::array::from_fn(|c| {
                let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
                x[r1][c1] * x[r2][c2] - x[r1][c2] * x[r2][c1]
            })
        });
        let determinant: f64 = (0..3).map(|c| x[0][c] * cofactor[0][c]).sum();
        if determinant.abs() < 1e-12 || !determinant.is_finite() {
            return None;
        }
        x = std::array::from_fn(|r| std::array::from_fn(|c| 0.5 * (x[r][c] + cofactor[r][c] / determinant)));
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_axis_is_at_right_angles() {
        let flat = from_steps(&[[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]], [1.0, 2.0, 3.0], [1.0; 3]);
        assert_eq!(flat, [[2.0, 0.0, 0.0, 1.0], [0.0, 3.0, 0.0, 2.0], [0.0, 0.0, 1.0, 3.0], IDENTITY[3]]);
        assert_eq!(from_steps(&[[1.0, 0.0, 0.0]], [0.0; 3], [1.0; 3]), IDENTITY);
    }

    #[test]
    fn letters_are_those_of_nibabel() {
        assert_eq!(axcodes(&IDENTITY), "RAS");
        let turned = [[0.0, 0.0, -3.0, 0.0], [-1.0, 0.1, 0.0, 0.0], [0.2, 2.0, 0.0, 0.0], IDENTITY[3]];
        assert_eq!(axcodes(&turned), "PSL");
        let flat = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0; 4], IDENTITY[3]];
        assert_eq!(axcodes(&flat), "RA?");
    }
}
