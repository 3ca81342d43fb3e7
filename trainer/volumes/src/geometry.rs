//! From directions, spacings and origins to one affine, and what an affine says in letters.

/// Rows of the 4x4 matrix that takes (i, j, k, 1) to millimetres.
pub type Affine = [[f64; 4]; 4];

/// No geometry: 1 mm along each axis, the first voxel at the origin.
pub(super) const IDENTITY: Affine =
    [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]];

/// The sign of each axis of space with which a format's numbers become RAS+.
pub(super) const LPS_TO_RAS: [f64; 3] = [-1.0, -1.0, 1.0];

/// Voxels of these sizes, the first at the origin.
pub fn diagonal(spacing: [f64; 3]) -> Affine {
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
pub fn column_lengths(affine: &Affine) -> [f64; 3] {
    std::array::from_fn(|axis| (0..3).map(|row| affine[row][axis].powi(2)).sum::<f64>().sqrt())
}

/// Refuses an affine that gives no place to every voxel: one that is not finite, or has no inverse.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check_invertible(affine: &Affine) -> Result<(), String> {
    if !affine.iter().flatten().all(|v| v.is_finite()) {
        return Err("it holds a number that is NaN or infinite".into());
    }
    let lengths = column_lengths(affine);
    if let Some(axis) = (0..3).find(|&axis| !(lengths[axis] > 0.0 && lengths[axis].is_finite())) {
        let length = lengths[axis];
        return Err(format!("its step along {} is {length} mm long", ["x", "y", "z"][axis]));
    }
    let c = |row: usize, axis: usize| affine[row][axis] / lengths[axis];
    let minor = |a: usize, b: usize| c(1, a) * c(2, b) - c(2, a) * c(1, b);
    let volume = c(0, 0) * minor(1, 2) - c(0, 1) * minor(0, 2) + c(0, 2) * minor(0, 1);
    if volume.abs() < FLAT {
        return Err("its three axes lie in one plane, so that it has no inverse".into());
    }
    Ok(())
}

/// Where the axes lead: L or R, P or A, I or S for each; `?` where an axis leads nowhere.
pub fn axcodes(affine: &Affine) -> String {
    let letter = |towards: Option<(usize, bool)>| {
        towards.map_or('?', |(axis, grows)| [['L', 'R'], ['P', 'A'], ['I', 'S']][axis][usize::from(grows)])
    };
    leads(affine).map(letter).iter().collect()
}

/// For each axis of the file (x, y, z) the axis of space (0: left to right, 1: back to front, 2: down to up) that it runs
/// along, and whether it grows that way; each axis of space is taken once. `None` where an axis leads nowhere.
///
/// Of the six ways to give axes of space to those of the file the one with the largest sum of |cosine| is taken. It does
/// not depend on the order in which the file has its axes, nor on the ways they run, even where two ways are equally good,
/// as at 45°: so the same voxels in any of the 48 orders come to lie alike. Where the axes lean clearly, it is what
/// nibabel's `io_orientation` finds by one axis after another.
pub fn leads(affine: &Affine) -> [Option<(usize, bool)>; 3] {
    let lengths = column_lengths(affine);
    // Of each axis of the file with each axis of space.
    let cosines: [[f64; 3]; 3] = std::array::from_fn(|axis| {
        let cosine = |row: usize| affine[row][axis] / lengths[axis];
        std::array::from_fn(|row| if cosine(row).is_finite() { cosine(row) } else { 0.0 })
    });
    let sum = |of: &[usize; 3]| (0..3).map(|space| cosines[of[space]][space].abs()).sum::<f64>();
    let largest = ORDERS.iter().map(sum).fold(0.0, f64::max);
    let best = ORDERS.into_iter().filter(|of| sum(of) > largest - TIED);
    let best =
        best.reduce(|a, b| if is_before(&directed(&cosines, b), &directed(&cosines, a)) { b } else { a });
    let best = best.expect("the largest sum is one of the six");
    std::array::from_fn(|axis| {
        let space = (0..3).find(|&space| best[space] == axis)?;
        let cosine = cosines[axis][space];
        (cosine.abs() > NOWHERE).then_some((space, cosine > 0.0))
    })
}

/// The six orders of three axes.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
/// Sums of cosines, and cosines, this close are equal: a quaternion in f32 leaves 1e-6 of an angle's cosine.
const TIED: f64 = 1e-4;
/// numpy's `allclose` to 0, as nibabel has it.
const NOWHERE: f64 = 1e-8;
/// The volume of a voxel with edges of length 1 that is no volume: three axes within a twentieth of a degree of a plane.
const FLAT: f64 = 1e-3;

/// The directions of the axes that `of` gives to the axes of space, each as it grows along its own.
fn directed(cosines: &[[f64; 3]; 3], of: [usize; 3]) -> [[f64; 3]; 3] {
    std::array::from_fn(|space| {
        let direction = cosines[of[space]];
        direction.map(|v| v * direction[space].signum())
    })
}

/// Whether `a` comes first where sums are equal: the larger number in the first place where they differ.
fn is_before(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> bool {
    let mut pairs = a.iter().flatten().zip(b.iter().flatten());
    pairs.find(|(a, b)| (*a - *b).abs() > TIED).is_some_and(|(a, b)| a > b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Header;

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
