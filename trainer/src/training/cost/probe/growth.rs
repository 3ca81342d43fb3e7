//! What a work in one size says of it in another.

use autograd::buffer::Trace;

/// A trace of a `large` work in another size, which is `of` each part: as it is known from that of a `small` work of the same
/// kind which buffers grow. `sizes` are those of the small work and of the large one.
///
/// Buffers are constant, as a network's weights, or grow in proportion, as its activations. Scratch memory stays as it is: it
/// is cut for the caches, and hardly grows.
pub(super) fn resized(small: &Trace, large: &Trace, sizes: [usize; 2], of: impl Fn(usize) -> f64) -> Trace {
    let grow = growing(&small.sizes(), &large.sizes(), sizes);
    large.with_sizes(|part, nth, bytes| match grow[nth] {
        true => (bytes as f64 * (of(part) / sizes[1] as f64)).round() as usize,
        false => bytes,
    })
}

/// Which buffers of the `large` work grow with its size. Works of two sizes may go different ways here and there, so the
/// buffers are paired as in the longest sequence that both have, up to the growth; of those without a partner, the ones that
/// can be whole in the smaller size grow.
fn growing(small: &[usize], large: &[usize], sizes: [usize; 2]) -> Vec<bool> {
    let in_proportion = |(small, large): (usize, usize)| small * sizes[1] == large * sizes[0];
    let is_pair = |pair: (usize, usize)| pair.0 == pair.1 || in_proportion(pair);
    let pairs = || small.iter().copied().zip(large.iter().copied());
    let head = pairs().take_while(|&pair| is_pair(pair)).count();
    let ends = || small[head..].iter().rev().copied().zip(large[head..].iter().rev().copied());
    let tail = ends().take_while(|&pair| is_pair(pair)).count();
    let mut grow: Vec<bool> =
        large.iter().map(|&large| (large * sizes[0]).is_multiple_of(sizes[1])).collect();
    let mut pair = |i: usize, j: usize| grow[j] = small[i] != large[j];
    (0..head).for_each(|i| pair(i, i));
    (1..=tail).for_each(|i| pair(small.len() - i, large.len() - i));

    // Between them: the longest common subsequence, by the lengths of those of all remainders.
    let (n, m) = (small.len() - head - tail, large.len() - head - tail);
    let mut longest = vec![0u32; (n + 1) * (m + 1)];
    let at = |i: usize, j: usize| i * (m + 1) + j;
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            longest[at(i, j)] = match is_pair((small[head + i], large[head + j])) {
                true => longest[at(i + 1, j + 1)] + 1,
                false => longest[at(i + 1, j)].max(longest[at(i, j + 1)]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < n && j < m {
        if is_pair((small[head + i], large[head + j])) {
            pair(head + i, head + j);
            (i, j) = (i + 1, j + 1);
        } else if longest[at(i + 1, j)] >= longest[at(i, j + 1)] {
            i += 1;
        } else {
            j += 1;
        }
    }
    grow
}

#[cfg(test)]
mod tests {
    use autograd::Tensor;
    use autograd::buffer::{Scratch, part, traced};
    use proptest::prelude::*;

    use super::*;

    /// A constant tensor, then a chain of growing ones.
    fn work(size: usize) {
        let _weight = Tensor::<f32>::zeros([50_000]);
        let x = Tensor::<f32>::scratch([size]);
        part();
        let _scratch = Scratch::<f32>::new(9000);
        let _chain: Vec<Tensor> = (2..=4).map(|i| Tensor::full([i * size], x.data()[0])).collect();
    }

    fn trace(size: usize) -> Trace {
        traced(|| work(size)).1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_trace_in_another_size_is_that_of_the_larger_work(small in 1usize..3000, more in 1usize..3000, times in 1usize..400) {
            let (large, size) = (small + more, (small + more) * times);
            let found = resized(&trace(small), &trace(large), [small, large], |_| size as f64).peak();
            prop_assert_eq!(found, trace(size).peak());
        }
    }

    #[test]
    fn buffers_that_only_one_of_two_sizes_asks_for_do_not_hide_the_others() {
        // 100 is constant, 30 and 50 grow to 90 and 150; each size has one more of its own.
        assert_eq!(
            growing(&[100, 30, 7, 50, 100], &[100, 90, 150, 33, 100], [10, 30]),
            [false, true, true, true, false]
        );
        assert_eq!(growing(&[], &[8, 30], [10, 30]), [false, true]);
    }
}
