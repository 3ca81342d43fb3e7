//! TIFF stacks: grey pages of one size, a page a slice along z; whole numbers of 1 to 64 bits and floats of 16, 32 and
//! 64, raw, deflated, LZW or PackBits. Pages that are marked as smaller copies are left out.
//!
//! Numbers are taken as they are stored, whatever says how they are shown: where white is 0 nothing is turned over, of
//! a palette the indices count, and ImageJ's calibration is not applied.
//!
//! ImageJ's stacks, OME-TIFF and tifffile's arrays say in the first page's description how planes are channels, slices and
//! times; where nothing does, every plane is a slice. A plane is a page, one of the slices of a page with an ImageDepth,
//! or lies behind the only page. Of a place and directions nothing is known: voxels lie along the axes of space, as large
//! as a text beside the file or the description says ([`mod@spacing`]), or else 1 mm.

mod codec;
mod directory;
mod imagej;
mod ome;
mod page;
mod shaped;
mod spacing;
mod stack;
mod voxels;

pub(crate) use spacing::sidecar;
pub use spacing::split_channel;

use std::path::Path;

use directory::Directory;
use page::{FirstPage, Page};
use stack::{Axis, Planes, Stack};

use super::{Format, Header, Stored, geometry, layout, stream};
use crate::{Error, Result, VoxelType};

pub(super) fn header(path: &Path) -> Result<Header> {
    Ok(Opened::new(path)?.header)
}

pub(super) fn read(path: &Path) -> Result<Stored> {
    let Opened { mut file, header, pages, stack, run, most } = Opened::new(path)?;
    let size = header.voxel_type.size();
    let mut raw = memory::with_capacity(header.len() * size);
    match run {
        Some(start) => {
            let bytes = pages[0].slice_bytes();
            for plane in 0..stack.planes() as u64 {
                voxels::append_raw(&mut file, &pages[0], start + plane * bytes, &mut raw)?;
            }
        }
        None => {
            for page in &pages {
                voxels::append(&mut file, page, most, &mut raw)?;
            }
        }
    }
    if raw.len() != header.len() * size {
        return Err(Error::file(path, "holds fewer voxels than its pages name; export it again"));
    }
    let lengths = [&header.shape[..2], &stack.lengths()].concat();
    let [slices, times, channels] = stack.order().map(|axis| 2 + axis);
    let raw = layout::permute(raw, size, &lengths, &[0, 1, slices, times, channels]);
    Ok(Stored::new(path, header, raw, voxels::NATIVE))
}

/// What a file's planes are called, such as `8 times (frames) of one slice`, where there are several of one slice only.
pub fn of_one_slice(path: &Path) -> Option<String> {
    if !Format::of(path).is_ok_and(|format| format == Format::Tiff) {
        return None;
    }
    Opened::new(path).ok()?.stack.of_one_slice()
}

/// A file whose pages have been looked at.
struct Opened<'a> {
    file: Directory<'a>,
    header: Header,
    /// Those that are no copies.
    pages: Vec<Page>,
    stack: Stack,
    /// Where the first plane lies, if all others lie behind it and not in pages of their own.
    run: Option<u64>,
    /// Bytes that the voxels can take at most before they are unpacked.
    most: u64,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self> {
        let (file, file_bytes) = stream::open(path)?;
        let (mut file, all) = Directory::pages(path, file, file_bytes)?;
        let first = match all.first() {
            Some(page) => FirstPage::read(&mut file, page)?,
            None => return Err(file.damaged("it has no page")),
        };
        let expansion = all.iter().map(Page::expansion).max().unwrap_or(1);
        let most = file_bytes.saturating_mul(expansion);
        let mut notes = note_on_copies(&all);
        let pages: Vec<Page> = all.into_iter().filter(|page| !page.is_copy).collect();
        let (kind, planes, run) = alike(&mut file, &pages)?;
        let stack = Stack::of(path, &first.description, &pages[0], planes)?;
        let run = run.filter(|_| stack.planes() != planes.inside);
        let size = [pages[0].width as usize, pages[0].height as usize, stack.length(Axis::Slice)];
        let further = [Axis::Time, Axis::Channel].map(|axis| stack.length(axis));
        let shape: Vec<usize> = size.into_iter().chain(further.into_iter().filter(|&n| n > 1)).collect();
        layout::bytes(&shape, kind.size()).map_err(|m| Error::file(path, m))?;
        let wanted = pages[0].slice_bytes().saturating_mul(stack.planes() as u64);
        if wanted > most {
            let message = format!(
                "is too short: shape {shape:?} of {} takes {wanted} bytes, the file has {most} at most; copy or export it again",
                kind.name()
            );
            return Err(Error::file(path, message));
        }
        let said = spacing::of(path, &first, size[2])?;
        let spacing = said.unwrap_or([1.0; 3]);
        if pages.iter().any(Page::is_palette) {
            notes.push(super::PALETTE.into());
        }
        notes.extend(said.and_then(|_| spacing::unknown_unit(&first)));
        notes.extend(imagej::calibration(&first.description));
        notes.extend(stack.of_one_slice().or_else(|| stack.times_as_channels()));
        let header = Header {
            spacing,
            spacing_known: said.is_some(),
            affine: geometry::diagonal(spacing),
            notes,
            ..Header::without_place(Format::Tiff, shape, kind, file.order)
        };
        Ok(Self { file, header, pages, stack, run, most })
    }
}

/// What the voxels of all pages are, how many planes there are, and where they begin that lie behind the only page.
fn alike(file: &mut Directory<'_>, pages: &[Page]) -> Result<(VoxelType, Planes, Option<u64>)> {
    let Some(first) = pages.first() else {
        return Err(Error::file(file.path, "holds smaller copies of an image alone; export it again"));
    };
    let kind = first.kind(file)?;
    for (index, page) in pages.iter().enumerate() {
        let other = page.kind(file)?;
        let [this, that] =
            [(page, other), (first, kind)].map(|(page, kind)| (page.width, page.height, page.bits, kind));
        if this != that {
            let told = |(w, h, _, kind): (u64, u64, u64, VoxelType), bits: u64| match bits {
                8 | 16 | 32 | 64 => format!("{w} x {h} {}", kind.name()),
                _ => format!("{w} x {h} of {bits} bits"),
            };
            let message = format!(
                "page {index} is {}, but the first is {}; all pages must be alike",
                told(this, page.bits),
                told(that, first.bits)
            );
            return Err(Error::file(file.path, message));
        }
    }
    let inside = pages.iter().fold(0u64, |sum, page| sum.saturating_add(page.depth));
    let run = if pages.len() == 1 { voxels::run(file, first)? } else { None };
    let count = |planes: u64| usize::try_from(planes).unwrap_or(usize::MAX);
    let planes = Planes {
        pages: pages.len(),
        inside: count(inside),
        in_a_run: count(run.map_or(0, |(_, planes)| planes)),
    };
    Ok((kind, planes, run.map(|(start, _)| start)))
}

/// What of a file is left out: the smaller copies that viewers want.
fn note_on_copies(pages: &[Page]) -> Vec<String> {
    let copies = pages.iter().filter(|page| page.is_copy).count();
    let has_sub_pages = pages.iter().any(|page| page.has_sub_pages);
    let what = match (copies, has_sub_pages) {
        (0, false) => return Vec::new(),
        (0, true) => "smaller copies in sub-pages".to_owned(),
        (copies, _) => format!("{copies} page(s) marked as smaller copies or as masks of what is shown"),
    };
    vec![format!("left out: {what}")]
}
