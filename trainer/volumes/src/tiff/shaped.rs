//! tifffile's description: JSON of the array's `shape`, and of its `axes` where they were given.
//!
//! Without axes a shape counts as an array of NumPy does: slices, or channels of slices. Pages that say `[h, w]` each are
//! arrays of their own, as a program writes that goes slice by slice, and count as slices.
//!
//! # Source
//! tifffile 2025, `TiffWriter.write` and `TiffFile._series_shaped`: with `truncate` there is one page, and all other planes
//! lie behind its own; older versions wrote `shape=(d, h, w)`.

use std::path::Path;

use serde::Deserialize;

use super::page::Page;
use super::stack::{Axis, Planes, Stack};
use crate::{Error, Result};

#[derive(Deserialize)]
struct Shaped {
    shape: Vec<usize>,
    axes: Option<String>,
}

/// What the planes are; `None` where the description is not tifffile's, or of one plane.
pub(super) fn stack(path: &Path, description: &str, page: &Page, planes: Planes) -> Result<Option<Stack>> {
    let Some(Shaped { mut shape, axes }) = parse(description) else { return Ok(None) };
    let said = format!("{shape:?}");
    let mut letters: Vec<char> =
        axes.map_or(Vec::new(), |axes| axes.chars().collect()).into_iter().take(shape.len()).collect();
    let plane = [page.height as usize, page.width as usize];
    // A grey pixel's one sample.
    if shape.len() > 2
        && !shape.ends_with(&plane)
        && shape.ends_with(&[plane[0], plane[1], 1])
        && letters.last().is_none_or(|&l| l == 'S')
    {
        shape.pop();
        letters.pop();
    }
    let refuse = |why: String| {
        let message = format!(
            "its description says shape {said}, {why}; save it again with axes ZYX or CZYX, or without description"
        );
        Err(Error::file(path, message))
    };
    let leading = shape.len() - 2;
    if shape[leading..] != plane {
        return refuse(format!("but its pages are {} x {}", plane[0], plane[1]));
    }
    let has_letters = letters.len() == shape.len();
    if has_letters && letters[leading..] != ['Y', 'X'] {
        return refuse(format!("axes {}, whose planes are not YX", letters.iter().collect::<String>()));
    }
    let all = shape[..leading].iter().try_fold(1usize, |n, &length| n.checked_mul(length));
    match all {
        Some(1) => return Ok(None),
        Some(all) if planes.hold(all) => {}
        _ => return refuse(format!("but it has {}: it is cut, or holds several images", planes.told())),
    }
    let leading = &shape[..leading];
    let named = if has_letters { by_letters(&letters, leading) } else { by_number(leading) };
    match named {
        Some(stack) => Ok(Some(stack)),
        None if has_letters => {
            let letters: String = letters.iter().collect();
            refuse(format!("axes {letters}, of which several count slices, times or channels"))
        }
        None => refuse("which is not one of slices, or of channels and slices".into()),
    }
}

/// The axes that letters name, the slowest first; `None` where two of them count the same.
fn by_letters(letters: &[char], lengths: &[usize]) -> Option<Stack> {
    let named = letters.iter().zip(lengths).filter(|(_, length)| **length > 1);
    stack_of(named.map(|(letter, length)| (axis(*letter), *length)).collect())
}

/// The axes of an array that does not name them; `None` where it has too many.
fn by_number(lengths: &[usize]) -> Option<Stack> {
    let several: Vec<usize> = lengths.iter().copied().filter(|&length| length > 1).collect();
    match several[..] {
        [slices] => Some(Stack::slices(slices)),
        [channels, slices] => stack_of(vec![(Axis::Channel, channels), (Axis::Slice, slices)]),
        _ => None,
    }
}

/// Of axes, the slowest first; those that are not there have a length of 1.
fn stack_of(mut axes: Vec<(Axis, usize)>) -> Option<Stack> {
    axes.reverse();
    for axis in [Axis::Slice, Axis::Time, Axis::Channel] {
        if axes.iter().all(|(own, _)| *own != axis) {
            axes.push((axis, 1));
        }
    }
    <[(Axis, usize); 3]>::try_from(axes).ok().map(Stack)
}

/// A shape of two lengths or more.
fn parse(description: &str) -> Option<Shaped> {
    let found = match description.trim_start().strip_prefix("shape=(") {
        Some(rest) => {
            let words = rest.split_once(')')?.0.split(',').map(str::trim).filter(|word| !word.is_empty());
            Shaped { shape: words.map(|word| word.parse().ok()).collect::<Option<_>>()?, axes: None }
        }
        // A list would be taken for an object's values in their order.
        None if description.trim_start().starts_with('{') => serde_json::from_str(description).ok()?,
        None => return None,
    };
    (found.shape.len() >= 2).then_some(found)
}

/// What a letter of tifffile's counts.
fn axis(letter: char) -> Axis {
    match letter {
        // Depth, and sequences of images that nothing more is known of.
        'Z' | 'D' | 'Q' | 'I' => Axis::Slice,
        'T' | 'R' => Axis::Time,
        _ => Axis::Channel,
    }
}
