//! Parameter groups.

use crate::Error;

/// Parameters by the beginning of their names, and how an optimiser treats them. The first group that holds a parameter counts.
///
/// ```
/// use nn::optim::{Adam, AdamWConfig, Group};
///
/// // The encoder at a tenth of the rate, and no decay for the head.
/// let groups = [Group::new("enc").lr_factor(0.1)?, Group::new("head").weight_decay(0.0)?];
/// let optimizer = Adam::<f32>::decoupled(AdamWConfig::default())?.with_groups(groups);
/// # Ok::<(), nn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    name: String,
    lr_factor: f64,
    weight_decay: Option<f64>,
}

impl Group {
    /// The parameter of this name, and those of the module of this name: `enc.0` and `enc.0.1.weight` are of `enc`, `encoder`
    /// is not. The empty name is that of all.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), lr_factor: 1.0, weight_decay: None }
    }

    /// With the optimiser's learning rate times this: schedules go on.
    ///
    /// # Errors
    /// If it is negative or not finite.
    pub fn lr_factor(self, lr_factor: f64) -> Result<Self, Error> {
        super::config::not_negative("lr_factor", lr_factor)?;
        Ok(Self { lr_factor, ..self })
    }

    /// With this weight decay, which applies to whatever the optimiser's would.
    ///
    /// # Errors
    /// If it is negative or not finite.
    pub fn weight_decay(self, weight_decay: f64) -> Result<Self, Error> {
        super::config::not_negative("weight_decay", weight_decay)?;
        Ok(Self { weight_decay: Some(weight_decay), ..self })
    }

    /// What it was made with.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a parameter belongs to it.
    pub(super) fn holds(&self, parameter: &str) -> bool {
        let Some(rest) = parameter.strip_prefix(&self.name) else { return false };
        self.name.is_empty() || rest.is_empty() || rest.starts_with('.')
    }

    /// A learning rate and a weight decay, as the parameters of a group (or of none) have them.
    pub(super) fn apply(group: Option<&Self>, lr: f64, weight_decay: f64) -> (f64, f64) {
        group.map_or((lr, weight_decay), |group| {
            (lr * group.lr_factor, group.weight_decay.unwrap_or(weight_decay))
        })
    }
}
