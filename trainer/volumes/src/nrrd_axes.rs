//! Which of an NRRD file's axes are x, y, z, and where they lead.
//!
//! Axes of space are those with a direction; without `space directions` those that `kinds` does not name otherwise; and
//! of more than three the first three. The others (vectors, lists, time) become channels, behind z.
//! Where `space` names no anatomical directions, numbers are taken as LPS, as ITK does.

use super::geometry::{self, LPS_TO_RAS};
use super::text::Fields;
use super::units::{converted, unit_in_mm};
use crate::{Affine, Result};

const SPACE_DIMENSION: &[&str] = &["space dimension"];
const DIRECTIONS: &[&str] = &["space directions"];
const SPACE_UNITS: &[&str] = &["space units"];
const UNITS: &[&str] = &["units"];
const ORIGIN: &[&str] = &["space origin"];

/// NRRD allows no more axes.
const MOST_AXES: usize = 16;

/// The axes as stored and as they become.
pub(super) struct Axes {
    pub(super) lengths: Vec<usize>,
    pub(super) order: Vec<usize>,
    pub(super) shape: Vec<usize>,
    pub(super) spacing: [f64; 3],
    pub(super) affine: Affine,
    pub(super) place_known: bool,
    /// The unit of all of them, where it is another one than mm.
    pub(super) unit: Option<(String, f64)>,
    /// That lengths were converted.
    pub(super) notes: Vec<String>,
}

pub(super) fn axes(fields: &Fields) -> Result<Axes> {
    fields.needed(&["dimension"])?;
    let dimension: usize = fields.number(&["dimension"], 0)?;
    if !(1..=MOST_AXES).contains(&dimension) {
        return Err(
            fields.error(&["dimension"], format!("1 to {MOST_AXES} axes are possible; export it again"))
        );
    }
    let lengths = fields.lengths(&["sizes"], dimension)?;
    let (space, signs) = space(fields)?;
    let directions = directions(fields, dimension, space)?;
    let spatial: Vec<usize> = match &directions {
        Some(all) => (0..dimension).filter(|&axis| all[axis].is_some()).collect(),
        None => spatial_by_kind(fields, dimension)?,
    };
    if spatial.is_empty() || spatial.len() > 3 {
        let key: &[&str] = if directions.is_some() { DIRECTIONS } else { &["kinds"] };
        let why = format!("{} axes lie in space, where 1 to 3 are possible; export it again", spatial.len());
        return Err(fields.error(key, why));
    }
    let has_directions = directions.is_some();
    let mut steps: Vec<[f64; 3]> = match directions {
        Some(all) => all.into_iter().flatten().collect(),
        None => {
            let spacings = spacings(fields, dimension, &spatial)?;
            let step =
                |(i, size): (usize, &f64)| std::array::from_fn(|row| if row == i { *size } else { 0.0 });
            spacings.iter().enumerate().map(step).collect()
        }
    };
    let mut origin = match fields.get(ORIGIN) {
        None => [0.0; 3],
        Some(text) => match vectors(text).as_deref() {
            Some([Some(origin)]) if origin.len() == space => padded(origin),
            _ => {
                let why =
                    format!("it must be one vector of {space} finite numbers, such as (0,0,0); correct it");
                return Err(fields.error(ORIGIN, why));
            }
        },
    };
    let units = units(fields, has_directions, &spatial)?;
    for (i, (_, mm)) in units.iter().enumerate() {
        // The unit is that of an axis of space, or of the axis itself.
        match has_directions {
            true => steps.iter_mut().for_each(|step| step[i] *= mm),
            false => steps[i].iter_mut().for_each(|v| *v *= mm),
        }
        origin[i] *= mm;
    }
    let unit =
        units.first().filter(|first| first.1 != 1.0 && units.iter().all(|unit| unit == *first)).cloned();
    let notes = units.iter().find_map(|(unit, mm)| converted(unit, *mm)).into_iter().collect();
    let place_known = has_directions && fields.get(ORIGIN).is_some();
    let affine = geometry::from_steps(&steps, origin, signs);
    geometry::check_invertible(&affine)
        .map_err(|why| fields.error(DIRECTIONS, format!("{why}; correct it")))?;
    let others = (0..dimension).filter(|axis| !spatial.contains(axis));
    let order: Vec<usize> = spatial.iter().copied().chain(others).collect();
    let mut shape: Vec<usize> = spatial.iter().map(|&axis| lengths[axis]).collect();
    if order.len() > spatial.len() {
        shape.resize(3, 1);
    }
    shape.extend(order[spatial.len()..].iter().map(|&axis| lengths[axis]));
    let spacing = geometry::column_lengths(&affine);
    Ok(Axes { lengths, order, shape, spacing, affine, place_known, unit, notes })
}

/// The space's number of axes, and the signs that turn it to RAS.
fn space(fields: &Fields) -> Result<(usize, [f64; 3])> {
    let Some(name) = fields.get(&["space"]) else {
        let axes = fields.number(SPACE_DIMENSION, 3)?;
        if (1..=3).contains(&axes) {
            return Ok((axes, LPS_TO_RAS));
        }
        return Err(fields.error(SPACE_DIMENSION, "1 to 3 are supported; save each time point by itself"));
    };
    match name.to_ascii_lowercase().as_str() {
        "right-anterior-superior" | "ras" => Ok((3, [1.0; 3])),
        "left-anterior-superior" | "las" => Ok((3, [-1.0, 1.0, 1.0])),
        "left-posterior-superior" | "lps" | "scanner-xyz" | "3d-right-handed" | "3d-left-handed" => {
            Ok((3, LPS_TO_RAS))
        }
        _ => Err(fields.error(
            &["space"],
            "right-anterior-superior, left-anterior-superior and left-posterior-superior are supported; save it in one of these",
        )),
    }
}

/// A step for each axis that lies in space.
fn directions(fields: &Fields, dimension: usize, space: usize) -> Result<Option<Vec<Option<[f64; 3]>>>> {
    let Some(text) = fields.get(DIRECTIONS) else { return Ok(None) };
    let all = vectors(text)
        .filter(|all| all.len() == dimension && all.iter().flatten().all(|vector| vector.len() == space));
    let Some(all) = all else {
        let why = format!(
            "{dimension} vectors of {space} finite numbers, or none, must stand there, such as (1,0,0); correct it"
        );
        return Err(fields.error(DIRECTIONS, why));
    };
    Ok(Some(all.iter().map(|vector| vector.as_deref().map(padded)).collect()))
}

/// The unit of each axis of space where there are directions, else of each axis of the file that lies in space, and its
/// millimetres; none where the header names none.
fn units(fields: &Fields, of_space: bool, spatial: &[usize]) -> Result<Vec<(String, f64)>> {
    let keys: &[&str] = if of_space { SPACE_UNITS } else { UNITS };
    let Some(text) = fields.get(keys) else { return Ok(Vec::new()) };
    // Units stand in quotation marks; a word without is of axes outside space.
    let all: Vec<&str> = match text.contains('"') {
        true => text.split('"').skip(1).step_by(2).collect(),
        false => text.split_ascii_whitespace().collect(),
    };
    let named: Vec<&str> = match of_space {
        true => all.iter().take(3).copied().collect(),
        false => spatial.iter().map(|&axis| all.get(axis).copied().unwrap_or_default()).collect(),
    };
    let in_mm = |unit: &str| match unit.trim() {
        "" | "???" | "none" | "unknown" | "pixel" | "pixels" | "voxel" | "voxels" => Ok((String::new(), 1.0)),
        unit => {
            let known = unit_in_mm(unit).map(|mm| (unit.to_owned(), mm));
            known.ok_or_else(|| fields.error(keys, "mm, m, um and such are supported; correct the header"))
        }
    };
    named.into_iter().map(in_mm).collect()
}

fn spacings(fields: &Fields, dimension: usize, spatial: &[usize]) -> Result<Vec<f64>> {
    let all: Vec<f64> = fields.numbers(&["spacings"], dimension)?.unwrap_or_else(|| vec![1.0; dimension]);
    // Axes outside space may have nan; so may an axis whose spacing nobody knows.
    let of_axis = |&axis: &usize| match all[axis] {
        size if size.is_nan() => Ok(1.0),
        size if size != 0.0 && size.is_finite() => Ok(size),
        _ => Err(fields.error(&["spacings"], "a spacing must be finite and not 0; correct it")),
    };
    spatial.iter().map(of_axis).collect()
}

fn spatial_by_kind(fields: &Fields, dimension: usize) -> Result<Vec<usize>> {
    let Some(kinds) = fields.get(&["kinds"]) else { return Ok((0..dimension.min(3)).collect()) };
    let kinds: Vec<String> = kinds.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    if kinds.len() != dimension {
        return Err(fields.error(&["kinds"], format!("{dimension} kinds must stand there; correct it")));
    }
    if kinds.iter().any(|kind| kind == "complex") {
        return Err(fields.error(&["kinds"], "complex voxels are not supported; save the magnitude"));
    }
    let in_space = |kind: &str| matches!(kind, "domain" | "space" | "???" | "none" | "unknown");
    let mut spatial: Vec<usize> = (0..dimension).filter(|&axis| in_space(&kinds[axis])).collect();
    // Four domains are three of space and one of time.
    spatial.truncate(3);
    Ok(spatial)
}

/// `(1,0,0) none (0, 1, 0)`; `None` where it is malformed or a number is not finite.
fn vectors(text: &str) -> Option<Vec<Option<Vec<f64>>>> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('(') {
            let (numbers, after) = inner.split_once(')')?;
            let parse = |number: &str| number.trim().parse().ok().filter(|v: &f64| v.is_finite());
            all.push(Some(numbers.split(',').map(parse).collect::<Option<Vec<f64>>>()?));
            rest = after.trim_start();
        } else {
            rest = rest.strip_prefix("none")?.trim_start();
            all.push(None);
        }
        if all.len() > MOST_AXES {
            return None;
        }
    }
    Some(all)
}

/// The first three numbers, and zeros where there are fewer.
fn padded(vector: &[f64]) -> [f64; 3] {
    std::array::from_fn(|i| vector.get(i).copied().unwrap_or(0.0))
}
