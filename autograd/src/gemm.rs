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
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// The row-major matrix `[rows, columns]` in `data`.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert!(data.len() == rows * columns, "a matrix of {rows} x {columns} in {} numbers", data.len());
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The transpose, which moves nothing.
    pub(crate) fn t(self) -> Self {
        let Self { data, rows, columns, row_stride, column_stride } = self;
        Self { data, rows: columns, columns: rows, row_stride: column_stride, column_stride: row_stride }
    }
}

/// c = a·b, with c row-major; what c held before does not matter.
///
/// # Source
/// Goto and van de Geijn 2008, "Anatomy of High-Performance Matrix Multiplication", as done in `matrixmultiply`.
pub(crate) fn gemm<T: Real>(a: Matrix<'_, T>, b: Matrix<'_, T>, c: &mut [T]) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    assert!(k == b.rows && c.len() == m * n, "{m} x {k} times {} x {n} in {} numbers", b.rows, c.len());
    if k == 0 || m * n == 0 {
        c.fill(T::ZERO);
        return;
    }
    let rows = (BLOCK_WORK / (k * n)).max(MIN_ROWS);
    let strides = |matrix: Matrix<'_, T>| (matrix.row_stride as isize, matrix.column_stride as isize);
    let ((a_row, a_column), (b_row, b_column)) = (strides(a), strides(b));
    for_each_slab(c, rows * n, |start, block| {
        let (m, a_data) = (block.len() / n, &a.data[start / n * a.row_stride..]);
        assert!(block.len() == m * n, "a block consists of whole rows");
        assert!(
            (m - 1) * a.row_stride + (k - 1) * a.column_stride < a_data.len(),
            "a holds the block's rows"
        );
        assert!((k - 1) * b.row_stride + (n - 1) * b.column_stride < b.data.len(), "b holds k rows of n");
        let (pa, pb, pc) = (a_data.as_ptr(), b.data.as_ptr(), block.as_mut_ptr());
        // SAFETY: the reads of a and b end within the bounds asserted above; c's m·n numbers are exclusive, and are not
        // read, since β is 0.
        unsafe {
            T::GEMM(m, k, n, T::ONE, pa, a_row, a_column, pb, b_row, b_column, T::ZERO, pc, n as isize, 1);
        }
    });
}

/// `matrixmultiply`'s kernel of a number type; a part of [`Real`].
pub trait Kernel: Sized {
    /// c = α·a·b + β·c, with a pointer and two strides, of rows and of columns, for each matrix:
    /// `(m, k, n, α, a, .., b, .., β, c, ..)`.
    #[doc(hidden)]
    const GEMM: Gemm<Self>;
}

#[rustfmt::skip]
type Gemm<T> = unsafe fn(
    usize, usize, usize, T, *const T, isize, isize, *const T, isize, isize, T, *mut T, isize, isize,
);

impl Kernel for f32 {
    const GEMM: Gemm<Self> = matrixmultiply::sgemm;
}

impl Kernel for f64 {
    const GEMM: Gemm<Self> = matrixmultiply::dgemm;
}
