//! A small data set made from nothing, to try the program on: tiny lesions in a textured volume, among structures as
//! bright that are no lesions.
//!
//! | structure | shape | contrast | label |
//! |---|---|---|---|
//! | lesion | ellipsoid, radii 1.5 to 4 voxels | 45 to 75 | 1 |
//! | vessel | tube, radius about 1 mm, 20 to 50 mm long | 45 to 90 | 0 |
//! | membrane | disc, about 1.6 mm thick, radius 6 to 10 mm | 45 to 90 | 0 |
//! | shadow | ellipsoid, radii 3 to 6 mm | 15 to 28 | 0 |
//!
//! over a smooth background (mean 400, deviation about 6) with noise of deviation 8. Brightness alone cannot tell
//! lesions from vessels and membranes; shape can. The same seed gives the same files on every machine: only +, ×, /
//! and square roots are used.

use std::path::Path;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;
use volumes::nifti::{self, NiftiHeader};

use crate::{Error, Result};

const NOISE: f32 = 8.0;
const LEVEL: f32 = 400.0;

/// What is to be made.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Training cases; where there are at least four, one of them has no lesion.
    pub training: usize,
    /// Test cases.
    pub test: usize,
    /// Voxels along d, h, w; at least 16, 24, 24.
    pub shape: [usize; 3],
    /// Millimetres along d, h, w.
    pub spacing: [f32; 3],
    /// Another seed, another data set.
    pub seed: u64,
}

impl Default for Synthetic {
    /// 8 training and 2 test cases of 32x64x64 voxels of 2x1x1 mm.
    fn default() -> Self {
        Self { training: 8, test: 2, shape: [32, 64, 64], spacing: [2.0, 1.0, 1.0], seed: 1 }
    }
}

impl Synthetic {
    /// Writes the data set into a new or empty folder.
    ///
    /// # Errors
    /// A folder that holds something already, a volume too small for the structures, or a system error.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        if self.shape.iter().zip([16, 24, 24]).any(|(&n, least)| n < least) {
            let message =
                format!("shape {:?} is too small for a demonstration; take at least 16x24x24", self.shape);
            return Err(Error::Usage(message));
        }
        for name in ["imagesTr", "labelsTr", "imagesTs", "labelsTs"] {
            std::fs::create_dir_all(folder.join(name)).map_err(Error::io(folder))?;
        }
        if folder.join("dataset.json").exists() {
            return Err(Error::file(folder, "holds a data set already; name a new folder"));
        }
        (0..self.training + self.test).into_par_iter().try_for_each(|index| {
            let side = if index < self.training { "Tr" } else { "Ts" };
            let (image, labels) = self.case(index);
            let [d, h, w] = self.shape;
            let [sd, sh, sw] = self.spacing.map(f64::from);
            let header = NiftiHeader::new([w, h, d], [sw, sh, sd]);
            nifti::write(folder.join(format!("images{side}/demo_{index:03}_0000.nii.gz")), &header, &image)?;
            nifti::write(folder.join(format!("labels{side}/demo_{index:03}.nii.gz")), &header, &labels)
        })?;
        let description = serde_json::json!({
            "name": "Demo",
            "description": "synthetic lesions among vessels and membranes",
            "channel_names": {"0": "synthetic"},
            "labels": {"background": 0, "lesion": 1},
            "file_ending": ".nii.gz",
            "numTraining": self.training,
        });
        let path = folder.join("dataset.json");
        std::fs::write(&path, format!("{description:#}\n")).map_err(Error::io(&path))
    }

    /// Image and labels of one case, `[d, h, w]`; test cases follow the training cases.
    pub fn case(&self, index: usize) -> (Vec<i16>, Vec<u8>) {
        // Odd multiples of a large odd number keep the cases' generators apart.
        let key = self.seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut scene = Scene::new(self, ChaCha8Rng::seed_from_u64(key));
        let voxels = self.shape.iter().product::<usize>();
        let empty = self.training >= 4 && index == self.training - 1;
        if !empty {
            // Stops a lesion (at most 0.13 % of the default volume) short of 0.8 %.
            let wanted = (voxels as f32 * scene.between(0.0030, 0.0055)) as usize;
            scene.place(Kind::Lesion, |scene| scene.labels.iter().filter(|&&l| l == 1).count() >= wanted);
        }
        // Numbers for 32x64x64 voxels; other volumes get as many per millilitre.
        let scale = voxels as f32 / (32.0 * 64.0 * 64.0);
        for (kind, count) in [(Kind::Vessel, 10.0), (Kind::Membrane, 5.0), (Kind::Shadow, 6.0)] {
            let mut left = (count * scale).ceil() as usize + 1;
            scene.place(kind, |_| {
                left -= 1;
                left == 0
            });
        }
        scene.finish()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lesion,
    Vessel,
    Membrane,
    Shadow,
}

/// A structure's shape: distance from its surface in mm, negative inside.
struct Solid {
    centre: [f32; 3],
    /// Unit vector: a tube's direction, a disc's normal.
    axis: [f32; 3],
    radii: [f32; 3],
    kind: Kind,
}

impl Solid {
    /// Depth below the surface, in mm, of a point in mm; below −2 it is only known to be outside.
    fn depth(&self, point: [f32; 3]) -> f32 {
        let offset: [f32; 3] = std::array::from_fn(|i| point[i] - self.centre[i]);
        let along: f32 = (0..3).map(|i| offset[i] * self.axis[i]).sum();
        let square: f32 = offset.iter().map(|v| v * v).sum();
        let across = (square - along * along).max(0.0).sqrt();
        match self.kind {
            Kind::Lesion | Kind::Shadow => {
                let relative: f32 = (0..3).map(|i| (offset[i] / self.radii[i]).powi(2)).sum::<f32>().sqrt();
                (1.0 - relative) * self.radii.iter().copied().fold(f32::INFINITY, f32::min)
            }
            Kind::Vessel => (self.radii[0] - across).min(self.radii[1] - along.abs()),
            Kind::Membrane => (self.radii[0] - along.abs()).min(self.radii[1] - across),
        }
    }
}

struct Scene {
    shape: [usize; 3],
    spacing: [f32; 3],
    rng: ChaCha8Rng,
    contrast: Vec<f32>,
    occupied: Vec<bool>,
    labels: Vec<u8>,
}

impl Scene {
    fn new(of: &Synthetic, rng: ChaCha8Rng) -> Self {
        let voxels = of.shape.iter().product();
        Self {
            shape: of.shape,
            spacing: of.spacing,
            rng,
            contrast: vec![0.0; voxels],
            occupied: vec![false; voxels],
            labels: vec![0; voxels],
        }
    }

    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.rng.random::<f32>()
    }

    /// Adds structures of a kind until `done`, each clear of the others; gives up where no room is found.
    fn place(&mut self, kind: Kind, mut done: impl FnMut(&Self) -> bool) {
        let mut failures = 0;
        while failures < 200 && (failures > 0 || !done(self)) {
            let solid = self.draw(kind);
            let contrast = match kind {
                Kind::Lesion => self.between(45.0, 75.0),
                Kind::Vessel | Kind::Membrane => self.between(45.0, 90.0),
                Kind::Shadow => self.between(15.0, 28.0),
            };
            failures = if self.add(&solid, contrast) { 0 } else { failures + 1 };
        }
    }

    fn draw(&mut self, kind: Kind) -> Solid {
        let spacing = self.spacing;
        let radii = match kind {
            Kind::Lesion => {
                let mut radius = |axis: usize, high| self.between(1.5, high) * spacing[axis];
                // The coarse axis gets fewer voxels, so that lesions stay compact in millimetres.
                [radius(0, 2.4), radius(1, 4.0), radius(2, 4.0)]
            }
            Kind::Vessel => [self.between(0.9, 1.2), self.between(10.0, 25.0), 0.0],
            Kind::Membrane => [self.between(0.7, 0.9), self.between(6.0, 10.0), 0.0],
            Kind::Shadow => std::array::from_fn(|_| self.between(3.0, 6.0)),
        };
        let reach = match kind {
            Kind::Lesion | Kind::Shadow => std::array::from_fn(|i| radii[i] + spacing[i]),
            Kind::Vessel | Kind::Membrane => [4.0; 3],
        };
        let centre = std::array::from_fn(|i| {
            let length = (self.shape[i] - 1) as f32 * spacing[i];
            self.between(reach[i], length - reach[i])
        });
        Solid { centre, axis: self.direction(), radii, kind }
    }

    /// A unit vector, every direction as likely.
    fn direction(&mut self) -> [f32; 3] {
        loop {
            let v: [f32; 3] = std::array::from_fn(|_| self.between(-1.0, 1.0));
            let square: f32 = v.iter().map(|x| x * x).sum();
            if (0.01..=1.0).contains(&square) {
                return v.map(|x| x / square.sqrt());
            }
        }
    }

    /// Adds a structure unless it would come within 2 mm of another one.
    fn add(&mut self, solid: &Solid, contrast: f32) -> bool {
        let reach = solid.radii.iter().copied().fold(0.0, f32::max) + 2.0;
        let range = |i: usize| {
            let voxel = |mm: f32| (mm / self.spacing[i]).max(0.0) as usize;
            let low = voxel(solid.centre[i] - reach);
            low..(voxel(solid.centre[i] + reach) + 2).min(self.shape[i])
        };
        let mut touched = Vec::new();
        for d in range(0) {
            for h in range(1) {
                for w in range(2) {
                    let point =
                        [d as f32 * self.spacing[0], h as f32 * self.spacing[1], w as f32 * self.spacing[2]];
                    let depth = solid.depth(point);
                    if depth > -2.0 {
                        touched.push(((d * self.shape[1] + h) * self.shape[2] + w, depth));
                    }
                }
            }
        }
        if touched.iter().any(|&(at, _)| self.occupied[at]) {
            return false;
        }
        for (at, depth) in touched {
            self.occupied[at] = depth > -1.0;
            // Partial volume: half the contrast at the surface, all of it half a millimetre below.
            self.contrast[at] += contrast * (0.5 + depth).clamp(0.0, 1.0);
            if depth >= 0.0 && solid.kind == Kind::Lesion {
                self.labels[at] = 1;
            }
        }
        true
    }

    fn finish(mut self) -> (Vec<i16>, Vec<u8>) {
        let (coarse, fine) = (self.texture(24.0), self.texture(7.0));
        let mut image = Vec::with_capacity(self.labels.len());
        for at in 0..self.labels.len() {
            // Twelve uniform numbers have variance 1 and, summed, nearly a normal distribution.
            let noise = (0..12).map(|_| self.rng.random::<f32>()).sum::<f32>() - 6.0;
            let value = LEVEL + 14.0 * coarse[at] + 12.0 * fine[at] + self.contrast[at] + NOISE * noise;
            image.push(value.round() as i16);
        }
        (image, self.labels)
    }

    /// Uniform numbers in −1 to 1 on a grid of `mesh` mm, interpolated linearly.
    fn texture(&mut self, mesh: f32) -> Vec<f32> {
        let nodes: [usize; 3] =
            std::array::from_fn(|i| (self.shape[i] as f32 * self.spacing[i] / mesh) as usize + 2);
        let grid: Vec<f32> = (0..nodes.iter().product()).map(|_| self.between(-1.0, 1.0)).collect();
        let at = |d: usize, h: usize, w: usize| grid[(d * nodes[1] + h) * nodes[2] + w];
        let mut out = Vec::with_capacity(self.labels.len());
        let place = |axis: usize, i: usize| {
            let x = i as f32 * self.spacing[axis] / mesh;
            (x as usize, x - x.floor())
        };
        for d in 0..self.shape[0] {
            let (d, fd) = place(0, d);
            for h in 0..self.shape[1] {
                let (h, fh) = place(1, h);
                for w in 0..self.shape[2] {
                    let (w, fw) = place(2, w);
                    let line = |d, h| at(d, h, w) * (1.0 - fw) + at(d, h, w + 1) * fw;
                    let plane = |d| line(d, h) * (1.0 - fh) + line(d, h + 1) * fh;
                    out.push(plane(d) * (1.0 - fd) + plane(d + 1) * fd);
                }
            }
        }
        out
    }
}
