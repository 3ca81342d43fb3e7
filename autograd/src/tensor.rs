//! An array of numbers: a shape and shared, contiguous, aligned memory.
//!
//! Where the memory comes from is `buffer.rs`, to be skipped at first.

use std::fmt;
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::parallel::{SLAB, for_each_slab};
use crate::{Real, Shape};

mod layout;

/// A contiguous array, 64-byte aligned, copied on write.
///
/// A clone costs a reference count. [`data_mut`](Self::data_mut) writes in place where the memory is not shared and
/// copies it first where it is. There are no strides and no views: the shape is the layout.
#[derive(Clone)]
pub struct Tensor<T: Real = f32> {
    shape: Shape,
    data: Arc<Buffer<T>>,
}

impl<T: Real> Tensor<T> {
    /// All zeros.
    pub fn zeros(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self { shape, data: Arc::new(Buffer::zeroed(shape.numel())) }
    }

    /// All `value`.
    pub fn full(shape: impl Into<Shape>, value: T) -> Self {
        let mut tensor = Self::scratch(shape);
        tensor.data_mut().fill(value);
        tensor
    }

    /// Unspecified content (recycled memory): for outputs that are written whole.
    pub fn scratch(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        Self { shape, data: Arc::new(Buffer::scratch(shape.numel())) }
    }

    /// A tensor without axes that holds one number.
    pub fn scalar(value: T) -> Self {
        Self::full([0; 0], value)
    }

    /// The numbers of `data` in a tensor of this shape.
    ///
    /// # Panics
    /// If there are more or fewer than the shape says.
    #[track_caller]
    pub fn from_vec(shape: impl Into<Shape>, data: Vec<T>) -> Self {
        Self::from_slice(shape, &data)
    }

    /// A copy of `data` in a tensor of this shape.
    ///
    /// # Panics
    /// If there are more or fewer numbers than the shape says.
    #[track_caller]
    pub fn from_slice(shape: impl Into<Shape>, data: &[T]) -> Self {
        let shape = shape.into();
        assert!(
            shape.numel() == data.len(),
            "shape {shape} holds {} numbers, got {}",
            shape.numel(),
            data.len()
        );
        let mut tensor = Self::scratch(shape);
        tensor.data_mut().copy_from_slice(data);
        tensor
    }

    /// `f(i)` at flat index `i`, called in order.
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> T) -> Self {
        let mut tensor = Self::scratch(shape);
        tensor.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = f(i));
        tensor
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        self.shape.dims()
    }

    /// `[n, d, h, w, c]`.
    ///
    /// # Panics
    /// Unless there are five axes.
    #[track_caller]
    pub fn dims5(&self) -> [usize; 5] {
        self.shape.dims5()
    }

    /// The extent of the last axis.
    pub fn channels(&self) -> usize {
        self.shape.channels()
    }

    /// The number of elements.
    pub fn numel(&self) -> usize {
        self.data.len()
    }

    /// Whether it holds no element.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The numbers, last axis fastest.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The numbers, to be written; copied first if the memory is shared.
    pub fn data_mut(&mut self) -> &mut [T] {
        let buffer: &mut Buffer<T> = Arc::make_mut(&mut self.data);
        buffer
    }

    /// Whether no other tensor shares the memory.
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.data).is_some()
    }

    /// The only number. Panics unless there is exactly one.
    #[track_caller]
    pub fn item(&self) -> T {
        assert!(self.numel() == 1, "item() wants one number, the shape is {}", self.shape);
        self.data[0]
    }

    /// The same numbers under another shape.
    ///
    /// # Panics
    /// If the number of elements differs.
    #[track_caller]
    pub fn reshape(self, shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let (own, wanted) = (self.numel(), shape.numel());
        assert!(own == wanted, "{} has {own} numbers, {shape} has {wanted}", self.shape);
        Self { shape, data: self.data }
    }

    /// `f` of each element.
    pub fn map(&self, f: impl Fn(T) -> T + Sync) -> Self {
        let mut y = Self::scratch(self.shape);
        for_each_slab(y.data_mut(), SLAB, |start, y| {
            y.iter_mut().zip(&self.data[start..]).for_each(|(y, &x)| *y = f(x));
        });
        y
    }

    /// `f` of each pair of elements; writes into `self`'s memory where it is not shared.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn zip_map(mut self, other: &Self, f: impl Fn(T, T) -> T + Sync) -> Self {
        self.zip_assign(other, f);
        self
    }

    /// `self += other`, in place where the memory is not shared.
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    pub fn add_assign(&mut self, other: &Self) {
        self.zip_assign(other, |a, b| a + b);
    }

    #[track_caller]
    fn zip_assign(&mut self, other: &Self, f: impl Fn(T, T) -> T + Sync) {
        let (own, others) = (self.shape, other.shape);
        assert!(own == others, "elementwise operation on different shapes, {own} and {others}");
        self.update_slabs(SLAB, |start, y| {
            y.iter_mut().zip(&other.data[start..]).for_each(|(y, &b)| *y = f(*y, b));
        });
    }

    /// Calls `f(start, slab)` to change each slab, in parallel; in place where the memory is not shared.
    pub(crate) fn update_slabs(&mut self, slab: usize, f: impl Fn(usize, &mut [T]) + Sync) {
        if self.is_unique() {
            return for_each_slab(self.data_mut(), slab, f);
        }
        let mut y = Self::scratch(self.shape);
        for_each_slab(y.data_mut(), slab, |start, y| {
            y.copy_from_slice(&self.data[start..start + y.len()]);
            f(start, y);
        });
        *self = y;
    }

    /// `self · factor`, in place where the memory is not shared.
    pub fn scaled(mut self, factor: T) -> Self {
        self.scale_assign(factor);
        self
    }

    /// `self *= factor`, in place where the memory is not shared.
    pub fn scale_assign(&mut self, factor: T) {
        for_each_slab(self.data_mut(), SLAB, |_, y| y.iter_mut().for_each(|y| *y *= factor));
    }

    /// The same numbers in another precision.
    pub fn cast<U: Real>(&self) -> Tensor<U> {
        Tensor::from_fn(self.shape, |i| U::from_f64(self.data[i].to_f64()))
    }

    /// Whether every number is finite.
    pub fn is_finite(&self) -> bool {
        use rayon::prelude::*;
        self.data.par_chunks(SLAB).all(|slab| slab.iter().all(|v| v.is_finite()))
    }
}

impl<T: Real> PartialEq for Tensor<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}

impl<T: Real> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 8;
        let more = if self.numel() > SHOWN { ", …" } else { "" };
        let shown: Vec<_> = self.data.iter().take(SHOWN).map(|v| format!("{v:?}")).collect();
        write!(f, "Tensor<{}>{} [{}{more}]", T::NAME, self.shape, shown.join(", "))
    }
}
