//! What predicting a volume holds: sums of a patch's planes, not of the volume.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use trainer::config::Mirror;
use trainer::predict::SlidingWindow;
use trainer::preprocess::Grids;
use unet3d::{UNet3d, UNet3dConfig};
use volumes::Grid;

use crate::support::{counting, small};

const SHAPE: [usize; 3] = [96, 48, 48];
const CLASSES: usize = 4;

#[test]
fn a_mask_takes_less_than_a_quarter_of_the_logits_of_the_volume() {
    let config = UNet3dConfig { out_channels: CLASSES, base_channels: 2, levels: 2, ..Default::default() };
    let model = UNet3d::<f32>::new(config, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
    let image: Vec<f32> = (0..SHAPE.iter().product()).map(|i: usize| (i % 97) as f32 / 97.0 - 0.5).collect();
    let window = SlidingWindow { patch: [8, 16, 16], overlap: 0.5, mirror: Mirror::NONE };
    let pipeline = small::pipeline(window, CLASSES);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let logits = image.len() * CLASSES * size_of::<f32>();
    // The network's scratch memory is kept for the next patch; it is none of the volume's.
    let patch: usize = window.patch.iter().product();
    let alone = |volume: &[f32]| window.run(&model, volume, window.patch, |_, _| true).unwrap();
    pool.install(|| alone(&image[..patch]));
    // What is held is counted by thread, so it is measured in the only one that computes. Scratch memory is all threads', and
    // those of other tests may have taken it meanwhile or given it back, so that this one has to have it again: the least of
    // several times is the volume's.
    let predicted = || {
        counting::most_held(|| {
            let grids = Grids::of_whole(Grid { size: SHAPE, spacing: [1.0; 3] });
            pipeline.mask(&model, &image, &grids, |_, _| true).unwrap()
        })
    };
    let tries = (0..4).map(|_| pool.install(predicted));
    let (mask, streamed) = tries.min_by_key(|(_, streamed)| *streamed).unwrap();
    let (whole, kept) =
        pool.install(|| counting::most_held(|| window.run(&model, &image, SHAPE, |_, _| true).unwrap()));
    assert_eq!(mask, pipeline.decision.classes(&whole.values));
    assert!(4 * streamed < logits, "{streamed} bytes, of {logits} for all logits");
    assert!(kept > logits, "what is measured are the blocks that are held: {kept} of {logits}");
}
