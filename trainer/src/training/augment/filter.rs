//! Filters along the axes of one channel of a patch: each line of voxels becomes weighted sums of the line before.

/// For each voxel along an axis, the voxels that it is a weighted sum of, and their weights, which sum to 1.
type Taps = Vec<Vec<(usize, f32)>>;

/// Gaussian blur by `sigma` voxels along each axis (0: none); beyond the border lies the last voxel again.
pub(super) fn blur(values: &mut [f32], shape: [usize; 3], sigma: [f64; 3]) {
    filter(values, shape, |a| if sigma[a] > 0.0 { gaussian(shape[a], sigma[a]) } else { Vec::new() });
}

/// Keeps one voxel in `1 / zoom` along each axis, the one nearest to each middle of as many equal parts, and
/// interpolates linearly between them. A zoom of 1 leaves an axis as it is.
pub(super) fn low_resolution(values: &mut [f32], shape: [usize; 3], zoom: [f64; 3]) {
    filter(values, shape, |a| {
        let kept = ((shape[a] as f64 * zoom[a]).round() as usize).max(1);
        if kept < shape[a] { kept_and_between(shape[a], kept) } else { Vec::new() }
    });
}

/// Filters along each axis with its taps; none: the axis is left as it is.
fn filter(values: &mut [f32], shape: [usize; 3], taps: impl Fn(usize) -> Taps) {
    let mut lines = Vec::new();
    for axis in 0..3 {
        let taps = taps(axis);
        if shape[axis] < 2 || taps.is_empty() {
            continue;
        }
        // Each line's next voxel is as far on as the axes behind are large.
        let inner: usize = shape[axis + 1..].iter().product();
        for values in values.chunks_exact_mut(shape[axis] * inner) {
            lines.clear();
            lines.extend_from_slice(values);
            if inner == 1 {
                along(&taps, &lines, values);
            } else {
                across(&taps, &lines, values, inner);
            }
        }
    }
}

/// One line.
fn along(taps: &Taps, line: &[f32], out: &mut [f32]) {
    for (out, taps) in out.iter_mut().zip(taps) {
        *out = taps.iter().map(|&(from, weight)| weight * line[from]).sum();
    }
}

/// `inner` lines side by side.
fn across(taps: &Taps, lines: &[f32], out: &mut [f32], inner: usize) {
    for (out, taps) in out.chunks_exact_mut(inner).zip(taps) {
        out.fill(0.0);
        for &(from, weight) in taps {
            let line = &lines[from * inner..][..inner];
            out.iter_mut().zip(line).for_each(|(out, &value)| *out += weight * value);
        }
    }
}

/// `exp(−i²/2σ²)`, cut at 3 σ, summing to 1.
fn gaussian(n: usize, sigma: f64) -> Taps {
    let radius = (3.0 * sigma).ceil() as usize;
    let weight = |i: usize| (-0.5 * (i as f64 / sigma).powi(2)).exp();
    let sum: f64 = weight(0) + 2.0 * (1..=radius).map(weight).sum::<f64>();
    let of = |i: usize| {
        (0..=2 * radius)
            .map(|k| {
                let from = (i + k).saturating_sub(radius).min(n - 1);
                (from, (weight(k.abs_diff(radius)) / sum) as f32)
            })
            .collect()
    };
    (0..n).map(of).collect()
}

/// See [`low_resolution`]; `kept` of `n` voxels are kept.
fn kept_and_between(n: usize, kept: usize) -> Taps {
    let part = n as f64 / kept as f64;
    let voxel = |i: usize| (((i as f64 + 0.5) * part) as usize).min(n - 1);
    let of = |i: usize| {
        let place = ((i as f64 + 0.5) / part - 0.5).clamp(0.0, kept as f64 - 1.0);
        let (before, share) = (place as usize, place.fract() as f32);
        if share == 0.0 {
            return vec![(voxel(before), 1.0)];
        }
        vec![(voxel(before), 1.0 - share), (voxel(before + 1), share)]
    };
    (0..n).map(of).collect()
}
