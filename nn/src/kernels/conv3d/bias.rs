//! Sums over all pixels, channel by channel: the gradient of a bias.

use autograd::Real;
use autograd::parallel;
use autograd::simd::{self, Isa, Job, Simd};

/// Pixels in a slab; a slab is summed in the number type, slabs are added in order in `f64`.
const SLAB: usize = 4096;

/// sums\[c\] = Σ x\[…, c\]
pub(crate) fn sum_channels<T: Real>(isa: Isa, x: &[T], channels: usize, sums: &mut [T]) {
    assert_eq!(sums.len(), channels, "channels of the sums");
    assert!(channels > 0 && x.len().is_multiple_of(channels), "{} numbers in pixels of {channels}", x.len());
    let partials = parallel::map_slabs(x.len() / channels, SLAB, |pixels| {
        let x = &x[pixels.start * channels..pixels.end * channels];
        let mut sums = vec![T::ZERO; channels];
        simd::dispatch_on(isa, SumChannels { x, sums: &mut sums });
        sums
    });
    for (c, sum) in sums.iter_mut().enumerate() {
        *sum = T::from_f64(partials.iter().map(|partial| partial[c].to_f64()).sum());
    }
}

struct SumChannels<'a, T> {
    x: &'a [T],
    sums: &'a mut [T],
}

impl<T: Real> Job<T> for SumChannels<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd<Elem = T>>(self, s: S) {
        let channels = self.sums.len();
        // One channel: lanes run over pixels.
        if channels == 1 {
            let mut sum = [s.zero(); 4];
            for (i, x) in self.x.chunks(S::LANES).enumerate() {
                sum[i % 4] = sum[i % 4] + s.load_partial(x);
            }
            self.sums[0] = s.sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
            return;
        }
        for (i, sums) in self.sums.chunks_mut(S::LANES).enumerate() {
            // Short sums first: pixels of one line, then lines.
            let mut total = s.zero();
            for line in self.x.chunks(64 * channels) {
                let mut sum = s.zero();
                for pixel in line.chunks_exact(channels) {
                    sum = sum + s.load_partial(&pixel[i * S::LANES..][..sums.len()]);
                }
                total = total + sum;
            }
            s.store_partial(total, sums);
        }
    }
}
