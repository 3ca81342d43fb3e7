//! What layers and models have in common: parameters with names.
//!
//! Names are PyTorch's (`enc.0.1.weight`), and [`Module::state_dict`] speaks PyTorch's layouts, so weights move
//! between the two programs as they are. There is no `forward` here: a layer's signature is its own.

use std::collections::BTreeMap;

use autograd::{Gradients, Parameter, Real, Tensor};

use crate::Error;

/// How a parameter lies in memory here, and so how it converts to PyTorch's layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// The same in both: vectors, scalars.
    Plain,
    /// `[kd, kh, kw, ci, co]` here, `[co, ci, kd, kh, kw]` there.
    Conv,
    /// `[kd, kh, kw, ci, co]` here, `[ci, co, kd, kh, kw]` there.
    ConvTranspose,
    /// `[in, out]` here, `[out, in]` there.
    Linear,
}

impl Layout {
    /// From our layout to PyTorch's.
    pub fn to_pytorch<T: Real>(self, value: &Tensor<T>) -> Tensor<T> {
        match self {
            Self::Plain => value.clone(),
            Self::Conv => value.to_oidhw(),
            Self::ConvTranspose => value.to_iodhw(),
            Self::Linear => value.permute(&[1, 0]),
        }
    }

    /// From PyTorch's layout to ours.
    pub fn from_pytorch<T: Real>(self, value: &Tensor<T>) -> Tensor<T> {
        match self {
            Self::Plain => value.clone(),
            Self::Conv => value.from_oidhw(),
            Self::ConvTranspose => value.from_iodhw(),
            Self::Linear => value.permute(&[1, 0]),
        }
    }

    /// The rank that a tensor of this layout has, where it is fixed.
    fn rank(self) -> Option<usize> {
        match self {
            Self::Plain => None,
            Self::Conv | Self::ConvTranspose => Some(5),
            Self::Linear => Some(2),
        }
    }
}

/// Something with named parameters: a layer, or a model made of layers. [`module!`](crate::module) writes its two visits.
///
/// A parameter by itself, an `Option`, a `Vec`, an array and a `Box` of modules are modules too; those of a `Vec` or an array
/// are named by their index.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Module<{T}>`: its parameters have no names",
    label = "this has no named parameters",
    note = "for a struct of your own name its fields: `nn::module! {{ impl Module<f32> for Net {{ conv, norm, head }} }}`; a field that is no layer (a number, a setting) is not listed"
)]
pub trait Module<T: Real> {
    /// Calls `f` with the name (under `prefix`), layout and parameter of each parameter and buffer, in a fixed order.
    fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a Parameter<T>));

    /// As [`visit`](Self::visit), to change them.
    fn visit_mut<'a>(&'a mut self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a mut Parameter<T>));

    /// All parameters and buffers with their names, in order.
    fn named_parameters(&self) -> Vec<(String, &Parameter<T>)> {
        let mut all = Vec::new();
        self.visit("", &mut |name, _, parameter| all.push((name, parameter)));
        all
    }

    /// All parameters and buffers with their names, in order, to change them.
    fn named_parameters_mut(&mut self) -> Vec<(String, &mut Parameter<T>)> {
        let mut all = Vec::new();
        self.visit_mut("", &mut |name, _, parameter| all.push((name, parameter)));
        all
    }

    /// How many numbers are trained.
    fn parameter_count(&self) -> usize {
        let trained = self.named_parameters().into_iter().filter(|(_, p)| p.is_trainable());
        trained.map(|(_, p)| p.value().numel()).sum()
    }

    /// Freezes every parameter and buffer: they stay as they are, no backward pass goes where only they are, and a batch
    /// normalisation uses its running statistics.
    ///
    /// Dropout goes on to drop: what is to answer alike always, such as a teacher, runs on [`Tape::no_grad`](autograd::Tape::no_grad),
    /// and its answer enters as a constant. Files of weights do not say what was frozen. Names say what to freeze of a whole:
    /// `net.named_parameters_mut()`, filtered.
    fn freeze(&mut self) {
        self.visit_mut("", &mut |_, _, parameter| parameter.freeze());
    }

    /// The inverse of [`freeze`](Self::freeze).
    fn unfreeze(&mut self) {
        self.visit_mut("", &mut |_, _, parameter| parameter.unfreeze());
    }

    /// A copy whose parameters are its own. Those of a `clone` are the same ones, so that on one tape the gradients of both
    /// would be added up.
    fn fresh_copy(&self) -> Self
    where
        Self: Sized + Clone,
    {
        let mut copy = self.clone();
        copy.visit_mut("", &mut |_, _, parameter| *parameter = parameter.fresh());
        copy
    }

    /// Moves the buffers (running statistics) that are not frozen as forward passes announced; an optimiser's step does it too.
    fn update_buffers(&mut self, announced: &Gradients<T>) {
        self.visit_mut("", &mut |_, _, buffer| {
            if let Some(value) = announced.update_of(buffer).filter(|_| !buffer.is_frozen()) {
                buffer.set(value);
            }
        });
    }

    /// Names and values in PyTorch's layouts, in order. [`state_dict`](crate::state_dict) has their way to files.
    fn state_dict(&self) -> Vec<(String, Tensor<T>)> {
        let mut all = Vec::new();
        self.visit("", &mut |name, layout, parameter| all.push((name, layout.to_pytorch(parameter.value()))));
        all
    }

    /// Sets every parameter and buffer from values in PyTorch's layouts.
    ///
    /// # Errors
    /// If a name is missing, superfluous, or has another shape; nothing is changed then.
    fn load_state_dict(&mut self, mut state: BTreeMap<String, Tensor<T>>) -> Result<(), Error> {
        let mut values = Vec::new();
        let mut failure = None;
        self.visit(
            "",
            &mut |name, layout, parameter| match take_value(&mut state, &name, layout, parameter) {
                Ok(value) => values.push(value),
                Err(error) => failure = failure.take().or(Some(error)),
            },
        );
        if let Some(error) = failure {
            return Err(error);
        }
        if let Some(name) = state.into_keys().next() {
            return Err(Error::UnknownParameter { name });
        }
        let mut values = values.into_iter();
        self.visit_mut("", &mut |_, _, parameter| {
            parameter.set(values.next().expect("both visits see the same parameters"));
        });
        Ok(())
    }
}

fn take_value<T: Real>(
    state: &mut BTreeMap<String, Tensor<T>>,
    name: &str,
    layout: Layout,
    parameter: &Parameter<T>,
) -> Result<Tensor<T>, Error> {
    let value = state.remove(name).ok_or_else(|| Error::MissingParameter { name: name.to_owned() })?;
    let expected = layout.to_pytorch(parameter.value()).shape();
    if layout.rank().is_some_and(|rank| rank != value.shape().rank()) || value.shape() != expected {
        let [expected, got] = [expected, value.shape()].map(|shape| shape.to_vec());
        return Err(Error::ParameterShape { name: name.to_owned(), expected, got });
    }
    Ok(layout.from_pytorch(&value))
}

/// `prefix.name`, or the one of them that is not empty.
pub fn join(prefix: &str, name: impl std::fmt::Display) -> String {
    let name = name.to_string();
    if prefix.is_empty() || name.is_empty() { format!("{prefix}{name}") } else { format!("{prefix}.{name}") }
}

/// Makes a [`Module`] of a struct, from the fields that hold parameters or modules, in their order.
///
/// A field's name is the name of its parameters, or the prefix of their names; `as` gives another, `as ""` none. A parameter
/// is [`Layout::Plain`] unless a layout follows its name. Layers without parameters may be listed or not; a field that is no
/// layer (a number, a setting) is not. A layer that is left out is neither trained nor saved.
///
/// ```
/// use autograd::{Parameter, Real, Tensor};
/// use nn::Module;
///
/// struct Scale<T: Real> {
///     weight: Parameter<T>,
/// }
/// struct Scales<T: Real> {
///     first: Scale<T>,
///     others: Vec<Scale<T>>,
/// }
/// nn::module! { impl<T: Real> Module<T> for Scale<T> { weight } }
/// nn::module! { impl<T: Real> Module<T> for Scales<T> { first, others as "more" } }
///
/// let scale = || Scale { weight: Parameter::new(Tensor::<f32>::zeros([3])) };
/// let scales = Scales { first: scale(), others: vec![scale(), scale()] };
/// let names: Vec<String> = scales.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["first.weight", "more.0.weight", "more.1.weight"]);
/// ```
#[macro_export]
macro_rules! module {
    (impl $(<$generic:ident: $bound:path>)? Module<$number:ty> for $module:ty {}) => {
        #[diagnostic::do_not_recommend]
        impl $(<$generic: $bound>)? $crate::Module<$number> for $module {
            fn visit<'a>(
                &'a self,
                _: &str,
                _: &mut dyn FnMut(String, $crate::Layout, &'a ::autograd::Parameter<$number>),
            ) {
            }

            fn visit_mut<'a>(
                &'a mut self,
                _: &str,
                _: &mut dyn FnMut(String, $crate::Layout, &'a mut ::autograd::Parameter<$number>),
            ) {
            }
        }
    };
    (impl $(<$generic:ident: $bound:path>)? Module<$number:ty> for $module:ty {
        $($field:tt $(as $name:literal)? $(: $layout:ident)?),+ $(,)?
    }) => {
        #[diagnostic::do_not_recommend]
        impl $(<$generic: $bound>)? $crate::Module<$number> for $module {
            fn visit<'a>(
                &'a self,
                prefix: &str,
                f: &mut dyn FnMut(String, $crate::Layout, &'a ::autograd::Parameter<$number>),
            ) {
                // A mistake in a field is shown at the field.
                let Self { $($field,)* .. } = self;
                $(let name = $crate::join(prefix, $crate::module!(@name $field $($name)?));
                $crate::module!(@field visit, $field, name, f $(, $layout)?);)+
            }

            fn visit_mut<'a>(
                &'a mut self,
                prefix: &str,
                f: &mut dyn FnMut(String, $crate::Layout, &'a mut ::autograd::Parameter<$number>),
            ) {
                let Self { $($field,)* .. } = self;
                $(let name = $crate::join(prefix, $crate::module!(@name $field $($name)?));
                $crate::module!(@field visit_mut, $field, name, f $(, $layout)?);)+
            }
        }
    };
    (impl Module for $($rest:tt)*) => {
        compile_error!("say of which numbers: `impl Module<f32> for ..`");
    };
    (@name $field:tt) => { stringify!($field) };
    (@name $field:tt $name:literal) => { $name };
    (@field $visit:ident, $value:tt, $name:ident, $f:ident) => { $crate::Module::$visit($value, &$name, $f) };
    (@field $visit:ident, $value:tt, $name:ident, $f:ident, $layout:ident) => {
        $f($name, $crate::Layout::$layout, $value)
    };
}

impl<T: Real> Module<T> for Parameter<T> {
    fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a Parameter<T>)) {
        f(prefix.to_owned(), Layout::Plain, self);
    }

    fn visit_mut<'a>(&'a mut self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a mut Parameter<T>)) {
        f(prefix.to_owned(), Layout::Plain, self);
    }
}

impl<T: Real, M: Module<T>> Module<T> for Option<M> {
    fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a Parameter<T>)) {
        self.iter().for_each(|module| module.visit(prefix, f));
    }

    fn visit_mut<'a>(&'a mut self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a mut Parameter<T>)) {
        self.iter_mut().for_each(|module| module.visit_mut(prefix, f));
    }
}

impl<T: Real, M: Module<T> + ?Sized> Module<T> for Box<M> {
    fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a Parameter<T>)) {
        (**self).visit(prefix, f);
    }

    fn visit_mut<'a>(&'a mut self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a mut Parameter<T>)) {
        (**self).visit_mut(prefix, f);
    }
}

/// Of modules that are named by their index.
macro_rules! indexed {
    ($modules:ty $(, $n:ident)?) => {
        impl<T: Real, M: Module<T>, $(const $n: usize)?> Module<T> for $modules {
            fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Layout, &'a Parameter<T>)) {
                self.iter().enumerate().for_each(|(i, module)| module.visit(&join(prefix, i), f));
            }

            fn visit_mut<'a>(
                &'a mut self,
                prefix: &str,
                f: &mut dyn FnMut(String, Layout, &'a mut Parameter<T>),
            ) {
                self.iter_mut().enumerate().for_each(|(i, module)| module.visit_mut(&join(prefix, i), f));
            }
        }
    };
}

indexed!(Vec<M>);
indexed!([M; N], N);
