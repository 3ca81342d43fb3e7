//! What a measurement of small patches must say of large ones.

use proptest::prelude::*;
use unet3d::{Norm, Upsampling};

use super::*;

fn plan(patch: [usize; 3], set: &[&str]) -> (Plan, Config) {
    let set: Vec<String> = set.iter().map(|&pair| pair.to_owned()).collect();
    let config = Config::load(None, &set).unwrap();
    let model = UNet3dConfig { base_channels: 8, levels: 4, ..Default::default() };
    (Plan { patch_size: patch, model }, config)
}

fn networks() -> Vec<(&'static str, [usize; 3], UNet3dConfig)> {
    let base = plan([0; 3], &[]).0.model;
    let of = |name, change: fn(&mut UNet3dConfig)| {
        let mut model = base.clone();
        change(&mut model);
        (name, [24, 48, 48], model)
    };
    let mut all = vec![
        of("default", |_| {}),
        of("classes", |model| (model.in_channels, model.out_channels) = (3, 6)),
        of("deep supervision", |model| (model.out_channels, model.deep_supervision) = (4, true)),
        of("residual", |model| model.residual = true),
        of("trilinear", |model| model.upsampling = Upsampling::Trilinear),
        of("dropout", |model| model.dropout = 0.2),
        of("GELU", |model| model.activation = nn::layers::Activation::Gelu),
        of("residual GELU", |model| {
            (model.activation, model.residual) = (nn::layers::Activation::Gelu, true);
        }),
        of("group norm", |model| model.norm = Norm::Group(4)),
        of("batch norm", |model| model.norm = Norm::Batch),
        of("one level", |model| model.levels = 1),
        of("checkpointing", |model| model.checkpointing = unet3d::Checkpointing::Level),
        of("residual checkpointing", |model| {
            (model.checkpointing, model.residual) = (unet3d::Checkpointing::Level, true);
        }),
    ];
    let flat = |strides: &[[usize; 3]]| UNet3dConfig {
        kernels: vec![[1, 3, 3]; 4],
        strides: strides.to_vec(),
        ..base.clone()
    };
    all.push(("anisotropic", [12, 80, 96], flat(&[[1, 2, 2], [1, 2, 2], [2, 2, 2]])));
    all.push(("planes", [1, 192, 256], flat(&[[1, 2, 2]; 3])));
    all
}

fn traced(threads: usize, work: impl FnOnce() -> Result<()> + Send) -> Trace {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (done, trace) = buffer::traced(work);
        done.unwrap();
        trace
    })
}

#[test]
fn what_small_patches_ask_for_says_what_a_large_one_takes() {
    for (i, (name, patch, model)) in networks().into_iter().enumerate() {
        let (plan, config) = (Plan { patch_size: patch, model }, Config::default());
        let voxels = |patch: [usize; 3]| patch.iter().product::<usize>();
        let trace = |patch| traced(1 + i % 3, || train(&plan, &config, 1, patch));
        let whole = trace(patch);
        // From a twentieth of the patch, and from a third of it.
        for (most_work, times, least) in [(1 << 17, 10, 0.1), (1 << 20, 2, 0.3)] {
            let both = patches(&plan.model, patch, most_work);
            assert!(voxels(both[1]) * times < voxels(patch), "{name}: {both:?}");
            let pair = Pair { traces: both.map(trace), voxels: both.map(voxels) };
            let (found, whole) = (pair.at(|_| voxels(patch) as f64).peak(), whole.peak());
            let off = |found: usize, whole: usize| found as f64 / whole as f64 - 1.0;
            let buffers = off(found.live - found.scratch, whole.live - whole.scratch);
            let held = off(found.held - found.scratch, whole.held - whole.scratch);
            println!("{name} from {both:?}: in use {buffers:+.4}, held {held:+.3} {found:?} {whole:?}");
            assert!(buffers.abs() < 0.01 && held.abs() < 0.08, "{name}: {found:?}, {whole:?}");
            assert_eq!(found.parts[..2], whole.parts[..2], "{name}: weights and the optimiser's memory");
            // What kernels are cut into hardly grows with a patch that keeps all threads at work.
            let scratch = 1.0 + off(found.scratch, whole.scratch);
            assert!((least..1.5).contains(&scratch), "{name}: {found:?}, {whole:?}");
        }
    }
}

#[test]
fn small_patches_say_what_a_batch_takes_whole_and_in_parts() {
    let voxels = |patch: [usize; 3]| patch.iter().product::<usize>();
    let patch = [32, 48, 64];
    let mut last = usize::MAX;
    for accumulate in [1, 2, 4] {
        let (plan, config) =
            plan(patch, &[&format!("training.accumulate={accumulate}"), "data.batch_size=4"]);
        let whole = traced(2, || train(&plan, &config, 4, patch)).peak();
        let found = MemoryProbe::new(&config, 2, Machine::default()).training(&plan, 4).unwrap();
        assert!(voxels(patches(&plan.model, patch, MOST_WORK / 4)[1]) < voxels(patch));
        let off = found.total() as f64 / whole.held as f64 - 1.0;
        println!("{accumulate}: {off:+.3}, {} of {}", found.total(), whole.held);
        assert!(off.abs() < 0.08, "in {accumulate} parts: {found:?}, {whole:?}");
        // What a part does not keep is saved.
        assert!(whole.held < last);
        last = whole.held;
    }
}

#[test]
fn a_measurement_can_be_repeated_and_does_not_depend_on_what_is_held() {
    let (plan, config) = plan([16, 32, 48], &["optimizer.name=sgd"]);
    let measured =
        |threads| MemoryProbe::new(&config, threads, Machine::default()).training(&plan, 2).unwrap();
    let first = measured(2);
    let _held = Tensor::<f32>::zeros([3 << 20]);
    assert_eq!(measured(2), first);
    // A block is a cache line at least.
    let numbers = first.weights as f64 / size_of::<f32>() as f64;
    assert!((1.0..1.01).contains(&(numbers / plan.model.parameters() as f64)), "{numbers}");
    assert_eq!(first.optimizer, first.weights, "momentum");
}

#[test]
fn a_network_that_there_is_no_room_for_is_not_built() {
    let (mut plan, config) = plan([32; 3], &[]);
    (plan.model.base_channels, plan.model.max_channels) = (1 << 14, 1 << 14);
    let machine = Machine { available: Some(1 << 30), ..Machine::default() };
    let probe = MemoryProbe::new(&config, 1, machine);
    assert!(probe.training(&plan, 1).unwrap().total() > 1 << 30);
    assert!(probe.prediction(&plan).unwrap().total() > 1 << 30);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_larger_patch_or_batch_takes_more(
        tiles in prop::array::uniform3(1usize..6), axis in 0usize..3, batch in 1usize..4,
    ) {
        let (mut plan, config) = plan(tiles.map(|n| 16 * n), &[]);
        (plan.model.base_channels, plan.model.levels) = (2, 3);
        let probe = MemoryProbe::new(&config, 1, Machine::default());
        let total = |plan: &Plan, batch| probe.training(plan, batch).unwrap().total();
        let (least, more) = (total(&plan, batch), total(&plan, batch + 1));
        prop_assert!(least < more);
        plan.patch_size[axis] += 16;
        prop_assert!(least < total(&plan, batch));
    }

    #[test]
    fn patches_that_are_measured_fit_the_network_and_hardly_exceed_the_one_that_is_wanted(
        tiles in prop::array::uniform3(1usize..20), most in 1usize..1 << 24, flat in any::<bool>(),
    ) {
        let mut model = plan([0; 3], &[]).0.model;
        if flat {
            model.strides = vec![[1, 2, 2], [1, 2, 2], [2, 2, 2]];
        }
        let multiples = model.multiples();
        let wanted: [usize; 3] = std::array::from_fn(|a| tiles[a] * multiples[a]);
        prop_assume!(model.check_size(wanted).is_ok());
        let [small, large] = patches(&model, wanted, most);
        for patch in [small, large] {
            prop_assert!(model.check_size(patch).is_ok());
        }
        let voxels = |patch: [usize; 3]| patch.iter().product::<usize>();
        prop_assert!(voxels(small) < voxels(large) && (0..3).all(|a| small[a] <= wanted[a]));
        prop_assert!(small == wanted || (0..3).all(|a| large[a] <= wanted[a]));
    }
}
