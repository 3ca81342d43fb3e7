//! Three slices of a case: the image, the truth and the prediction side by side.

use std::path::Path;

use volumes::files::rename_into_place;

use super::canvas::{Canvas, FONT_HEIGHT, Rgb};
use crate::{Error, Result};

/// A tile is enlarged by a whole factor until it is as high as this, in pixels.
const TILE_HEIGHT: usize = 256;
/// Pixels between tiles.
const GAP: usize = 8;
/// Pixels of a dot of a caption.
const ZOOM: usize = 2;
/// Pixels kept for a caption.
const CAPTION: usize = FONT_HEIGHT * ZOOM + GAP;
/// The shares of voxels below black and below white.
const WINDOW: [f64; 2] = [0.005, 0.995];
/// Voxels that these are of, at most.
const MOST_SAMPLES: usize = 1 << 20;
/// How much of an overlay's colour is mixed into the image inside its contour.
const FILL: f32 = 0.3;

const CAPTION_COLOUR: Rgb = [220, 220, 220];
const MARK_COLOUR: Rgb = [255, 220, 90];
const TRUTH_COLOUR: Rgb = [40, 220, 60];
const PREDICTION_COLOUR: Rgb = [240, 50, 40];

/// A case to be drawn. All volumes are `[d, h, w]`, w running fastest; labels other than 0 are foreground.
///
/// Each row is one slice across d: the grey image (between its 0.5 and 99.5 percentiles), the truth in green
/// and the prediction in red; of several classes each in a colour of its own, that of a [chart](super::Chart). The rows pass through the largest lesion (26-connected) of the truth, or of the
/// prediction where the truth is absent or empty: its largest cross-section, and half-way to its two ends.
/// Voxels keep their proportions in millimetres. Where directions are known, slices are shown as radiologists look at them,
/// front or head on top and the patient's right on the left, and the first column is marked so.
#[derive(Clone, Copy, Debug)]
pub struct SliceFigure<'a> {
    /// Intensities.
    pub image: &'a [f32],
    /// Labels by an expert; the column is left out without them.
    pub truth: Option<&'a [u8]>,
    /// Predicted labels.
    pub prediction: &'a [u8],
    /// Voxels along d, h, w.
    pub shape: [usize; 3],
    /// Millimetres between voxels along d, h, w.
    pub spacing: [f64; 3],
    /// Where h and w begin and where they end, such as `[['P', 'A'], ['L', 'R']]`: a letter each of left, right, posterior,
    /// anterior, inferior, superior; `None` where that is not known.
    pub ends: Option<[[char; 2]; 2]>,
    /// Foreground classes that there are.
    pub classes: usize,
}

/// The size of a tile in pixels.
#[derive(Clone, Copy)]
struct Tile {
    height: usize,
    width: usize,
}

impl SliceFigure<'_> {
    /// Draws the figure and writes it as PNG.
    ///
    /// # Errors
    /// When the volumes do not have the voxels that `shape` says, the spacing is not positive, or the file
    /// cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let png = self.png().map_err(|message| Error::file(path, message))?;
        Ok(rename_into_place(path, |out| out.write_all(&png))?)
    }

    /// The figure as a PNG file.
    ///
    /// # Errors
    /// When the volumes do not have the voxels that `shape` says, or the spacing is not positive.
    pub fn png(&self) -> std::result::Result<Vec<u8>, String> {
        self.check()?;
        self.draw().png()
    }

    fn check(&self) -> Result<(), String> {
        let [d, h, w] = self.shape;
        let voxels = d * h * w;
        if voxels == 0 {
            return Err(format!("a volume of {d} x {h} x {w} voxels has no slice to draw"));
        }
        let truth = self.truth.map_or(voxels, <[u8]>::len);
        for (name, n) in
            [("image", self.image.len()), ("truth", truth), ("prediction", self.prediction.len())]
        {
            if n != voxels {
                return Err(format!(
                    "the {name} has {n} voxels, the figure {d} x {h} x {w} = {voxels}; \
                     bring all volumes to the grid of the image"
                ));
            }
        }
        match self.spacing.iter().all(|mm| mm.is_finite() && *mm > 0.0) {
            true => Ok(()),
            false => Err(format!("spacing {:?} must be positive; correct the image's header", self.spacing)),
        }
    }

    fn draw(&self) -> Canvas {
        let tile = self.tile();
        let slices = self.slices();
        let mut columns = vec![("image", None)];
        columns.extend(self.truth.map(|truth| ("truth", Some((truth, TRUTH_COLOUR)))));
        columns.push(("prediction", Some((self.prediction, PREDICTION_COLOUR))));
        let caption = |column: usize, slice: usize| match column {
            0 => format!("{} {}/{}", columns[0].0, slice + 1, self.shape[0]),
            _ => columns[column].0.to_owned(),
        };
        // No caption reaches into the next, however narrow the tiles are.
        let widest =
            (0..columns.len()).map(|column| Canvas::text_width(&caption(column, self.shape[0] - 1), ZOOM));
        let column_width = tile.width.max(widest.max().unwrap_or(0) + GAP);
        let (step_x, step_y) = (column_width + GAP, tile.height + CAPTION + GAP);
        let mut canvas = Canvas::new(GAP + columns.len() * step_x, GAP + slices.len() * step_y);
        let window = window(self.image);
        for (row, &slice) in slices.iter().enumerate() {
            for (column, &(_, overlay)) in columns.iter().enumerate() {
                let (x, y) = (GAP + column * step_x, GAP + row * step_y);
                canvas.text(x, y, ZOOM, CAPTION_COLOUR, &caption(column, slice));
                self.draw_tile(&mut canvas, (x, y + CAPTION), tile, slice, window, overlay);
                if column == 0 {
                    self.mark(&mut canvas, (x, y + CAPTION), tile);
                }
            }
        }
        canvas
    }

    /// Writes the directions beside the edges of a tile.
    fn mark(&self, canvas: &mut Canvas, (left, top): (usize, usize), tile: Tile) {
        let Some([[bottom, up], [right, start]]) = self.ends else { return };
        let (wide, high) = (Canvas::text_width("R", ZOOM), FONT_HEIGHT * ZOOM);
        let across = left + (tile.width.saturating_sub(wide)) / 2;
        let down = top + (tile.height.saturating_sub(high)) / 2;
        let places = [
            (across, top + ZOOM, up),
            (across, top + tile.height.saturating_sub(high + ZOOM), bottom),
            (left + ZOOM, down, start),
            (left + tile.width.saturating_sub(wide + ZOOM), down, right),
        ];
        for (x, y, letter) in places {
            canvas.text(x, y, ZOOM, MARK_COLOUR, &letter.to_string());
        }
    }

    fn draw_tile(
        &self,
        canvas: &mut Canvas,
        (left, top): (usize, usize),
        tile: Tile,
        slice: usize,
        [black, white]: [f32; 2],
        overlay: Option<(&[u8], Rgb)>,
    ) {
        let [_, h, w] = self.shape;
        let plane = slice * h * w..(slice + 1) * h * w;
        let image = &self.image[plane.clone()];
        // The nearest voxel of a pixel; of known directions the ends lie on top and on the left.
        let turned = |place: usize, of: usize| if self.ends.is_some() { of - 1 - place } else { place };
        let voxel = |y: usize, x: usize| turned(y * h / tile.height, h) * w + turned(x * w / tile.width, w);
        for y in 0..tile.height {
            for x in 0..tile.width {
                let level = (image[voxel(y, x)] - black) / (white - black);
                // NaN becomes black.
                let grey = if level > 0.0 { (level.min(1.0) * 255.0).round() } else { 0.0 };
                let mut colour = [grey as u8; 3];
                if let Some((labels, tint)) = overlay {
                    let labels = &labels[plane.clone()];
                    let label = labels[voxel(y, x)];
                    if label != 0 {
                        let edge = neighbours(y, x, tile).any(|(y, x)| labels[voxel(y, x)] != label);
                        let share = if edge { 1.0 } else { FILL };
                        let mix = |tint: u8| (grey + (f32::from(tint) - grey) * share).round() as u8;
                        // The seventh is black, which an image has already.
                        let of_class = super::chart::colour((usize::from(label) - 1) % 6);
                        let tint = if self.classes > 1 { of_class } else { tint };
                        colour = tint.map(mix);
                    }
                }
                canvas.set(left + x, top + y, colour);
            }
        }
    }

    /// The size of a tile: the smaller spacing in the plane is one pixel, times a whole factor.
    fn tile(&self) -> Tile {
        let ([_, h, w], [_, mm_h, mm_w]) = (self.shape, self.spacing);
        let unit = mm_h.min(mm_w);
        let pixels = |voxels: usize, mm: f64| ((voxels as f64 * mm / unit).round() as usize).max(voxels);
        let (height, width) = (pixels(h, mm_h), pixels(w, mm_w));
        let factor = TILE_HEIGHT.div_ceil(height);
        Tile { height: height * factor, width: width * factor }
    }

    /// Up to three slices, ascending.
    fn slices(&self) -> Vec<usize> {
        let d = self.shape[0];
        let lesion = self.truth.and_then(|truth| largest_lesion(truth, self.shape));
        let lesion = lesion.or_else(|| largest_lesion(self.prediction, self.shape));
        let (first, middle, last) = match lesion {
            None => (0, d / 2, d - 1),
            Some(areas) => {
                let inside = |d: &usize| areas[*d] > 0;
                let first = (0..d).find(inside).unwrap_or(0);
                let last = (0..d).rfind(inside).unwrap_or(d - 1);
                // The first of equally large cross-sections.
                let middle = (first..=last).rev().max_by_key(|&d| areas[d]).unwrap_or(first);
                (first, middle, last)
            }
        };
        // Half-way to the ends of the lesion; beside a lesion of one or two slices, its neighbours.
        let below = ((first + middle) / 2).min(middle.saturating_sub(1));
        let above = (middle + last).div_ceil(2).max(middle + 1).min(d - 1);
        let mut slices = vec![below, middle, above];
        slices.dedup();
        slices
    }
}

/// The pixels beside a pixel, within the tile.
fn neighbours(y: usize, x: usize, tile: Tile) -> impl Iterator<Item = (usize, usize)> {
    let around = [(y.wrapping_sub(1), x), (y + 1, x), (y, x.wrapping_sub(1)), (y, x + 1)];
    around.into_iter().filter(move |&(y, x)| y < tile.height && x < tile.width)
}

/// The intensities that become black and white: percentiles of the finite ones, or of a million of them, evenly spaced; white
/// above black.
fn window(image: &[f32]) -> [f32; 2] {
    let sample = image.iter().copied().step_by(image.len().div_ceil(MOST_SAMPLES).max(1));
    let mut finite: Vec<f32> = sample.filter(|x| x.is_finite()).collect();
    if finite.is_empty() {
        return [0.0, 1.0];
    }
    let last = finite.len() - 1;
    let [black, white] = WINDOW.map(|share| {
        let rank = (share * last as f64).round() as usize;
        *finite.select_nth_unstable_by(rank, f32::total_cmp).1
    });
    if white > black { [black, white] } else { [black, black + 1.0] }
}

/// The area of the largest 26-connected piece of foreground in each slice across d; the first of equals.
fn largest_lesion(labels: &[u8], [d, h, w]: [usize; 3]) -> Option<Vec<usize>> {
    let mut left: Vec<bool> = labels.iter().map(|&label| label != 0).collect();
    let (mut largest, mut largest_areas) = (0, None);
    let mut stack = Vec::new();
    for seed in 0..left.len() {
        if !std::mem::take(&mut left[seed]) {
            continue;
        }
        let (mut size, mut areas) = (0, vec![0; d]);
        stack.push(seed);
        while let Some(voxel) = stack.pop() {
            let (z, y, x) = (voxel / (h * w), voxel / w % h, voxel % w);
            size += 1;
            areas[z] += 1;
            for z in z.saturating_sub(1)..(z + 2).min(d) {
                for y in y.saturating_sub(1)..(y + 2).min(h) {
                    for x in x.saturating_sub(1)..(x + 2).min(w) {
                        let neighbour = (z * h + y) * w + x;
                        if std::mem::take(&mut left[neighbour]) {
                            stack.push(neighbour);
                        }
                    }
                }
            }
        }
        if size > largest {
            (largest, largest_areas) = (size, Some(areas));
        }
    }
    largest_areas
}
