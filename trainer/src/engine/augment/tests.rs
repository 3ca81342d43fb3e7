use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::data::{AxisOrder, Case, Geometry};
use crate::nifti::Header;
use crate::random::{Purpose, generator};

fn case(shape: [usize; 3], channels: usize, spacing: [f32; 3]) -> Case {
    let voxels: usize = shape.iter().product();
    Case {
        name: "case".into(),
        image: (0..voxels * channels).map(|i| (i % 101) as f32 - 50.0).collect(),
        shape,
        channels,
        spacing,
        labels: Some((0..voxels).map(|i| (i % 5) as u8).collect()),
        geometry: Geometry { header: Header::new([1; 3], [1.0; 3]), order: AxisOrder::FILE },
    }
}

/// A block of a case by itself.
fn cut(case: &Case, block: Block) -> Region<'static> {
    let (mut image, mut labels) = (Vec::new(), Vec::new());
    let whole = Region::of(case);
    for d in block.start[0]..block.start[0] + block.size[0] {
        for h in block.start[1]..block.start[1] + block.size[1] {
            for w in block.start[2]..block.start[2] + block.size[2] {
                let voxel = whole.index([d, h, w]);
                image.extend_from_slice(&case.image[voxel * case.channels..][..case.channels]);
                labels.push(whole.labels().expect("the case has labels")[voxel]);
            }
        }
    }
    Region {
        block,
        shape: case.shape,
        channels: case.channels,
        image: Cow::Owned(image),
        labels: Some(Cow::Owned(labels)),
    }
}

/// Bits of a patch's intensities, and its labels.
fn patch(region: &Region<'_>, size: [usize; 3], placement: &Placement) -> (Vec<u32>, Vec<u8>) {
    let voxels: usize = size.iter().product();
    let (mut image, mut labels) = (vec![f32::NAN; voxels * region.channels], vec![77; voxels]);
    extract(region, size, placement, &mut image, &mut labels);
    (image.into_iter().map(f32::to_bits).collect(), labels)
}

proptest! {
    #[test]
    fn the_voxels_that_a_patch_can_touch_are_all_that_it_needs(
        shape in prop::array::uniform3(1usize..14),
        size in prop::array::uniform3(1usize..9),
        channels in 1usize..3,
        offset in prop::array::uniform3(-10isize..14),
        thick in any::<bool>(),
        affine in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let spacing = if thick { [5.0, 1.0, 0.7] } else { [1.0, 1.5, 1.2] };
        let case = case(shape, channels, spacing);
        let settings = Augmentation {
            affine: f64::from(u8::from(affine)),
            rotation: 180.0,
            scale: [0.4, 2.5],
            ..crate::config::Config::default().augmentation
        };
        let transform = Recipe::new(&settings, spacing).draw(&mut generator(seed, Purpose::Augmentation, 0));
        let placement = Placement { offset, transform };
        let block = placement.block(size, shape);
        prop_assert_eq!(
            patch(&cut(&case, block), size, &placement),
            patch(&Region::of(&case), size, &placement)
        );
        if !affine {
            // A copy needs no more than the voxels of the patch that lie in the volume.
            prop_assert!(block.voxels() <= size.iter().product());
        }
    }
}
