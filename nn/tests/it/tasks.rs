//! What the passes offer a machine with many cores.

use nn::kernels::conv3d::{self, Conv3dShape, Conv3dSpec};
use nn::kernels::linear::{self, LinearShape};

/// The convolutions of a U-Net of base 32 at 96x96x96 that take over 2 % of its multiply-adds, one pass alone.
#[test]
fn every_pass_that_counts_is_cut_into_at_least_64_even_tasks() {
    let spec = Conv3dSpec::new([3; 3]).same_padding();
    for (ci, co, size) in [(32, 32, 96), (64, 32, 96), (64, 64, 48), (128, 64, 48), (256, 128, 24)] {
        let shape = Conv3dShape::new(1, [size; 3], ci, co, spec).unwrap();
        let passes = [
            conv3d::forward_tasks::<f32>(&shape),
            conv3d::backward_input_tasks::<f32>(&shape),
            conv3d::backward_weight_tasks::<f32>(&shape),
        ];
        for tasks in passes.iter().flatten() {
            assert!(tasks.count >= 64, "{ci} to {co} at {size}: {tasks:?}");
            assert!(tasks.evenness >= 0.75 && tasks.evenness <= 1.0, "{ci} to {co} at {size}: {tasks:?}");
        }
    }
}

#[test]
fn a_linear_map_of_many_rows_is_cut_into_dozens_of_even_tasks() {
    for (inputs, outputs) in [(64, 64), (64, 8), (32, 9)] {
        let shape = LinearShape::new(100_000, inputs, outputs).unwrap();
        for tasks in linear::tasks::<f32>(&shape).iter().flatten() {
            assert!(tasks.count >= 48, "{inputs} to {outputs}: {tasks:?}");
            assert!(tasks.evenness >= 0.75 && tasks.evenness <= 1.0, "{inputs} to {outputs}: {tasks:?}");
        }
    }
}
