//! Normalisation with its affine, its running statistics, and the activation that follows.

use autograd::{Mode, Parameter, Real, Tape, Tensor};

use super::{at_least_one, enter};
use crate::functional::{self, Activation, ChannelStats, Input, IntoStats, NormKind, NormSettings};
use crate::{Error, module};

/// act(γ·(x − mean)/√(var + ε) + β): instance, group or batch normalisation, and the activation that follows.
///
/// γ is called `weight` and β `bias`, as in PyTorch. The result is computed by whoever reads it: see [`Input`].
///
/// Batch normalisation uses the batch's statistics on a training tape, and announces new running statistics to it;
/// else, and where they are frozen, it uses the running ones. The other kinds do the same in training and use.
///
/// ```
/// use nn::functional::Input;
/// use nn::layers::{Conv3d, NormAct};
///
/// /// Twice convolution → normalisation → activation.
/// fn block<'t>(x: Input<'t>, convs: &[Conv3d; 2], norms: &[NormAct; 2]) -> Input<'t> {
///     let x = norms[0].forward(convs[0].forward_with_stats(x));
///     norms[1].forward(convs[1].forward_with_stats(x))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct NormAct<T: Real = f32> {
    /// The kind, ε, and the activation.
    pub settings: NormSettings,
    /// γ, `[c]`
    pub weight: Option<Parameter<T>>,
    /// β, `[c]`
    pub bias: Option<Parameter<T>>,
    /// Of batch normalisation.
    pub running: Option<RunningStats<T>>,
}

/// What batch normalisation uses where it does not train.
///
/// The mean starts at 0 and the variance at 1; each training pass moves them by `momentum` of the way to the
/// batch's mean and unbiased variance. Where a batch is passed in parts, each part does, in their order.
#[derive(Clone, Debug)]
pub struct RunningStats<T: Real = f32> {
    /// `[c]`, a buffer.
    pub mean: Parameter<T>,
    /// `[c]`, a buffer.
    pub variance: Parameter<T>,
    /// The weight of the newest batch, 0.1 as in PyTorch.
    pub momentum: f64,
}

impl<T: Real> RunningStats<T> {
    fn new(channels: usize) -> Self {
        Self {
            mean: Parameter::buffer(Tensor::zeros([channels])),
            variance: Parameter::buffer(Tensor::full([channels], T::ONE)),
            momentum: 0.1,
        }
    }

    fn is_frozen(&self) -> bool {
        self.mean.is_frozen() || self.variance.is_frozen()
    }

    /// Announces that the statistics follow a batch's.
    fn follow(&self, tape: &Tape<T>, stats: &ChannelStats<T>) {
        let (mean, variance) = stats.batch_mean_and_variance();
        for (buffer, of_batch) in [(&self.mean, mean), (&self.variance, variance)] {
            tape.update(buffer, Tensor::from_vec(buffer.shape(), of_batch), self.momentum);
        }
    }
}

impl<T: Real> NormAct<T> {
    /// With γ = 1 and β = 0, ε = 1e-5, and no activation.
    ///
    /// # Errors
    /// If there are no channels, or they do not divide into the groups.
    pub fn new(kind: NormKind, channels: usize) -> Result<Self, Error> {
        at_least_one("channels", channels)?;
        if let NormKind::Group(groups) = kind {
            at_least_one("num_groups", groups)?;
            if !channels.is_multiple_of(groups) {
                let message =
                    format!("{channels} channels do not divide into {groups} groups: use a divisor");
                return Err(Error::Setting { name: "num_groups", message });
            }
        }
        Ok(Self {
            settings: NormSettings::new(kind),
            weight: Some(Parameter::new(Tensor::full([channels], T::ONE))),
            bias: Some(Parameter::new(Tensor::zeros([channels]))),
            running: (kind == NormKind::Batch).then(|| RunningStats::new(channels)),
        })
    }

    /// Instance normalisation. See [`new`](Self::new).
    ///
    /// # Errors
    /// If there are no channels.
    pub fn instance(channels: usize) -> Result<Self, Error> {
        Self::new(NormKind::Instance, channels)
    }

    /// Group normalisation. See [`new`](Self::new).
    ///
    /// # Errors
    /// If there are no channels, or they do not divide into the groups.
    pub fn group(groups: usize, channels: usize) -> Result<Self, Error> {
        Self::new(NormKind::Group(groups), channels)
    }

    /// Batch normalisation. See [`new`](Self::new).
    ///
    /// # Errors
    /// If there are no channels.
    pub fn batch(channels: usize) -> Result<Self, Error> {
        Self::new(NormKind::Batch, channels)
    }

    /// Followed by this activation.
    ///
    /// # Errors
    /// If its slope is not finite.
    pub fn with_activation(mut self, activation: Activation) -> Result<Self, Error> {
        activation.check()?;
        self.settings.activation = activation;
        Ok(self)
    }

    /// With this ε.
    ///
    /// # Errors
    /// Unless it is positive and finite.
    pub fn with_eps(mut self, eps: f64) -> Result<Self, Error> {
        if !(eps > 0.0 && eps.is_finite()) {
            let message = format!("{eps} is not positive: use 1e-5");
            return Err(Error::Setting { name: "eps", message });
        }
        self.settings.eps = eps;
        Ok(self)
    }

    /// Without γ and β.
    pub fn without_affine(self) -> Self {
        Self { weight: None, bias: None, ..self }
    }

    /// See [`functional::norm_act`].
    #[track_caller]
    pub fn forward<'t>(&self, x: impl IntoStats<'t, T>) -> Input<'t, T> {
        let x = x.into_stats();
        let tape = x.tape();
        let [gamma, beta] = [&self.weight, &self.bias].map(|p| enter(tape, p.as_ref()));
        match &self.running {
            Some(running) if tape.mode() == Mode::Train && !running.is_frozen() => {
                running.follow(tape, x.stats());
            }
            Some(RunningStats { mean, variance, .. }) => {
                let (mean, variance) = (mean.value(), variance.value());
                return functional::norm_act_by(x.into_var(), mean, variance, gamma, beta, self.settings);
            }
            None => {}
        }
        functional::norm_act(x, gamma, beta, self.settings)
    }
}

module! { impl<T: Real> Module<T> for NormAct<T> { weight, bias, running as "" } }
module! { impl<T: Real> Module<T> for RunningStats<T> { mean as "running_mean", variance as "running_var" } }
