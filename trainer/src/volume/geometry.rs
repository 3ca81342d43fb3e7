//! From directions, spacings and origins to one affine, and what an affine says in letters.

use crate::nifti::Affine;

/// No geometry: 1 mm along each axis, the first voxel at the origin.
pub(super) const IDENTITY: Affine =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

/// The sign of each axis of space with which a format's numbers become RAS+.
pub(super) const LPS_TO_RAS: [f64; 3] = [-1.0, -1.0, 1.0];

/// Voxels of these sizes, the first at the origin.
pub(crate) fn diagonal(spacing: [f64; 3]) -> Affine {
    let mut affine = IDENTITY;
    (0..3).for_each(|axis| affine[axis][axis] = spacing[axis]);
    affine
}

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
pub(crate) fn column_lengths(affine: &Affine) -> [f64; 3] {
    std::array::from_fn(|axis| (0..3).map(|row| affine[row][axis].powi(2)).sum::<f64>().sqrt())
}

/// Where the axes lead, as nibabel's `aff2axcodes`: L or R, P or A, I or S for each; `?` where an axis leads nowhere.
pub fn axcodes(affine: &Affine) -> String {
    let letter = |towards: Option<(usize, bool)>| {
        towards.map_or('?', |(axis, grows)| [['L', 'R'], ['P', 'A'], ['I', 'S']][axis][usize::from(grows)])
    };
    leads(affine).map(letter).iter().collect()
}

/// For each axis of the file (x, y, z) the axis of space (0: left to right, 1: back to front, 2: down to up) that it runs
/// along, and whether it grows that way; each axis of space is taken once. `None` where an axis leads nowhere.
///
/// # Source
/// nibabel's `io_orientation`: the axes' directions are replaced by the nearest orthogonal ones, and each takes the axis
/// of space it leans on most.
pub(crate) fn leads(affine: &Affine) -> [Option<(usize, bool)>; 3] {
    let lengths = column_lengths(affine);
    let directions: [[f64; 3]; 3] = std::array::from_fn(|row| {
        std::array::from_fn(|axis| affine[row][axis] / if lengths[axis] == 0.0 { 1.0 } else { lengths[axis] })
    });
    let mut turned = nearest_orthogonal(directions).unwrap_or(directions);
    std::array::from_fn(|axis| {
        let largest = (0..3)
            .fold(0, |best, row| if turned[row][axis].abs() > turned[best][axis].abs() { row } else { best });
        let value = turned[largest][axis];
        // `numpy.allclose(column, 0)`
        if value.is_nan() || value.abs() <= 1e-8 {
            return None;
        }
        turned[largest] = [0.0; 3];
        Some((largest, value > 0.0))
    })
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
    use crate::volume::Header;

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

    #[test]
    fn an_axis_is_named_by_the_direction_it_is_nearest_to() {
        let code = |rows: [[f64; 3]; 3]| {
            let row = |r: usize| [rows[r][0], rows[r][1], rows[r][2], 0.0];
            axcodes(&[row(0), row(1), row(2), IDENTITY[3]])
        };
        assert_eq!(code([[-2.0, 0.0, 0.0], [0.0, -2.0, 0.0], [0.0, 0.0, 5.0]]), "LPS");
        assert_eq!(code([[0.0, 0.0, 3.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]), "PIR");
        // Turned by 30 degrees about z; a large voxel does not make an axis nearer.
        assert_eq!(code([[0.866, -4.5, 0.0], [0.5, 7.794, 0.0], [0.0, 0.0, 1.0]]), "RAS");
        assert_eq!(code([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "?AS");
        assert_eq!(code([[f64::NAN, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), "?AS");
    }

    #[test]
    fn volumes_are_apart_where_a_corner_moves_by_more_than_a_tenth_of_a_voxel() {
        let affine = [[1.0, 0.0, 0.0, 5.0], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        let first = Header::new(&[11, 21, 31], affine);
        let moved = |change: &dyn Fn(&mut Affine)| {
            let mut other = first.clone();
            change(&mut other.affine);
            first.apart(&other)
        };
        assert_eq!(moved(&|_| {}), None);
        assert_eq!(moved(&|a| a[0][3] += 0.09), None);
        assert_eq!(moved(&|a| (a[0][3], a[2][3]) = (8.0, -4.0)), Some(5.0));
        // The last slice is the 30th from the first.
        assert_eq!(moved(&|a| a[2][2] = 3.5), Some(15.0));
        assert!(moved(&|a| a[1][1] = f64::NAN).is_some_and(f64::is_nan));
    }
}
