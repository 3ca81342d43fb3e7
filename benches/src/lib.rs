//! What the measured programs share. Criterion benches are in `benches/`; `train_step` is the program that is measured
//! beside PyTorch.
#![forbid(unsafe_code)]

pub mod limits;
mod profile;

pub use profile::Profile;

/// The largest resident memory of this process so far, in MB (2²⁰ bytes); 0 where the system does not tell.
pub fn peak_rss_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kb| kb / 1024)
}

/// The page faults of this process so far that needed no disk; 0 where the system does not tell.
pub fn page_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold spaces; minflt is the 8th field behind it.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.nth(7).and_then(|faults| faults.parse().ok()).unwrap_or(0)
}

/// Multiply-adds × 2 of every convolution in a forward pass of the reference U-Net with strides of 2, counted as direct
/// convolutions.
pub fn conv_flops(base: usize, levels: usize, voxels: usize, in_channels: usize, out_channels: usize) -> u64 {
    let channels = |level: usize| base << level;
    let mut total = 0;
    for level in 0..levels {
        let voxels = voxels / 8usize.pow(level as u32);
        let above = if level == 0 { in_channels } else { channels(level - 1) };
        let own = channels(level);
        total += 54 * voxels * (above * own + own * own);
        if level + 1 < levels {
            total += 54 * voxels * 3 * own * own + 2 * voxels * channels(level + 1) * own;
        }
    }
    (total + 2 * voxels * base * out_channels) as u64
}
