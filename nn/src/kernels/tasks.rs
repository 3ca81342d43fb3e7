//! How a pass is cut into tasks: what it offers a machine with many cores.

/// Tasks that run in parallel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tasks {
    /// Which part of the pass; one part begins when the one before it is done.
    pub phase: &'static str,
    /// How many there are at a time.
    pub count: usize,
    /// The mean of their work over the largest, in (0, 1]: 1 where all are equal.
    pub evenness: f64,
}

impl Tasks {
    /// Pieces of `piece` things each, the last one smaller, along one or several axes.
    pub(crate) fn of_pieces(phase: &'static str, axes: &[(usize, usize)]) -> Self {
        let count = axes.iter().map(|(len, piece)| len.div_ceil(*piece)).product::<usize>();
        let evenness = axes
            .iter()
            .map(|&(len, piece)| len as f64 / (len.div_ceil(piece) * piece.min(len)) as f64)
            .product();
        Self { phase, count, evenness }
    }
}
