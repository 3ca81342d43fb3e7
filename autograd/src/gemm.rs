//! Matrix products: `matrixmultiply`'s kernels, on blocks of rows in parallel.
//!
//! The blocks depend on the shapes alone, and an element's sum is never split over threads: the result has the same
//! bits for any number of threads. (It may differ between processors, as the kernels do.) Products with few rows run
//! on one thread. For the convolutions this is no help; they have kernels of their own.

use crate::Real;
use crate::parallel::for_each_slab;

/// A block has at least this many rows: below that, packing b again for each block would cost more than it gives.
const MIN_ROWS: usize = 128;
/// A block has about this many multiply-adds, some 10 µs of work, where it can.
const BLOCK_WORK: usize = 1 << 18;

/// A matrix in a slice: row-major, or the transpose of a row-major one.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// The row-major matrix `[rows, columns]` in `data`.
    ///
    /// # Panics
    /// If `data` has another length.
    #[track_caller]
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert!(data.len() == rows * columns, "a matrix of {rows} x {columns} in {} numbers", data.len());
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, which moves nothing.
    #[must_use]
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// c = a·b, with c row-major; what c held before does not matter.
///
/// | a | b | c |
/// |---|---|---|
/// | `[m, k]` | `[k, n]` | `[m, n]` |
///
/// ```
/// use autograd::gemm::{Matrix, gemm};
///
/// let a = [1.0f32, 2.0, 3.0, 4.0];
/// let mut c = [0.0; 4];
/// gemm(Matrix::new(&a, 2, 2), Matrix::new(&a, 2, 2).t(), &mut c);
/// assert_eq!(c, [5.0, 11.0, 11.0, 25.0]);
/// ```
///
/// # Panics
/// If the shapes do not fit together, naming them.
///
/// # Source
/// Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication", as done in `matrixmultiply`.
#[track_caller]
pub fn gemm<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T]) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(k == b.rows, "gemm: a is {m} x {k}, b is {} x {n}", b.rows);
    assert!(c.len() == m * n, "gemm: c has {} numbers, a·b is {m} x {n}", c.len());
    if k == 0 || m * n == 0 {
        c.fill(T::ZERO);
        return;
    }
    let rows = (BLOCK_WORK / (k * n)).max(MIN_ROWS);
    for_each_slab(c, rows * n, |start, block| {
        multiply(&a.data[start / n * a.row_stride..], a, b, block);
    });
}

/// `block` = (the rows of a that begin at `a_rows`) · b.
fn multiply<T: Real>(a_rows: &[T], a: Matrix<'_, T>, b: Matrix<'_, T>, block: &mut [T]) {
    let (k, n) = (b.rows, b.columns);
    let m = block.len() / n;
    assert_eq!(block.len(), m * n, "a block consists of whole rows");
    assert!((m - 1) * a.row_stride + (k - 1) * a.column_stride < a_rows.len(), "a holds the block's rows");
    assert!((k - 1) * b.row_stride + (n - 1) * b.column_stride < b.data.len(), "b holds k rows of n");
    let strides = |matrix: Matrix<'_, T>| (matrix.row_stride as isize, matrix.column_stride as isize);
    let ((a_row, a_column), (b_row, b_column)) = (strides(a), strides(b));
    let (pa, pb, pc) = (a_rows.as_ptr(), b.data.as_ptr(), block.as_mut_ptr());
    // SAFETY: the reads of a and b end within the bounds asserted above; c's m·n numbers are exclusive, and are not read,
    // since β is 0.
    unsafe {
        T::GEMM(m, k, n, T::ONE, pa, a_row, a_column, pb, b_row, b_column, T::ZERO, pc, n as isize, 1);
    }
}

/// `matrixmultiply`'s kernel of a number type; a part of [`Real`].
pub trait Kernel: Sized {
    /// c = α·a·b + β·c, with a pointer and two strides, of rows and of columns, for each matrix:
    /// `(m, k, n, α, a, .., b, .., β, c, ..)`.
    const GEMM: Gemm<Self>;
}

/// The type of [`Kernel::GEMM`].
#[rustfmt::skip]
pub type Gemm<T> = unsafe fn(
    usize, usize, usize, T, *const T, isize, isize, *const T, isize, isize, T, *mut T, isize, isize,
);

impl Kernel for f32 {
    const GEMM: Gemm<Self> = matrixmultiply::sgemm;
}

impl Kernel for f64 {
    const GEMM: Gemm<Self> = matrixmultiply::dgemm;
}
