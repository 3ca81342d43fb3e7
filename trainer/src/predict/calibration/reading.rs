//! Which class a voxel has, by its logits.

/// Reads logits z as softmax(scale·z + shift): background where it is at least as probable as all other classes together,
/// else the most probable of these, the first of equals.
///
/// Several classes that share a place (the parts of a tumour) may each be less probable than background where something
/// is there for certain; the most probable class alone would leave a hole.
pub(crate) struct ClassReading {
    scale: f32,
    shift: Vec<f32>,
    together: bool,
}

impl ClassReading {
    pub(crate) fn new(scale: f64, shift: &[f64]) -> Self {
        let shift = shift.iter().map(|&shift| shift as f32).collect();
        Self { scale: scale as f32, shift, together: true }
    }

    /// The most probable class, background like any other.
    pub(crate) fn each_class_alone(self) -> Self {
        Self { together: false, ..self }
    }

    /// Of one voxel.
    pub(crate) fn class(&self, z: &[f32]) -> usize {
        let shifted = |class: usize| self.scale * z[class] + self.shift[class];
        let background = shifted(0);
        let (mut class, mut best) = (0, f32::NEG_INFINITY);
        for c in 1..z.len() {
            let value = shifted(c);
            if value > best {
                (class, best) = (c, value);
            }
        }
        // Exponentials are for the few voxels where the others together might outweigh background.
        let others = (z.len() - 1) as f32;
        let outweighs = || {
            let sum: f64 = (1..z.len()).map(|c| f64::from(shifted(c) - background).exp()).sum();
            sum > 1.0
        };
        let is_foreground =
            best > background || self.together && best + others.ln() >= background && outweighs();
        if is_foreground { class } else { 0 }
    }
}
