//! Makes the files named `whole…` in `trainer/fuzz/corpus` anew; other files there, which a fuzzer found, stay.
//!
//! `cargo run -p trainer --example fuzz_corpus`

#[path = "../fuzz/entry_points.rs"]
#[allow(dead_code, reason = "only what it prepares is needed here")]
mod entry_points;
#[path = "../tests/it/support/made.rs"]
#[allow(dead_code, reason = "only some formats are needed here")]
mod made;
#[path = "../tests/it/support/small.rs"]
#[allow(dead_code, reason = "only cases are made here, and no runs")]
mod small;

use std::error::Error;
use std::fs;
use std::path::Path;

use autograd::Tensor;
use metrics::Mean;
use nn::Module;
use nn::schedule::{Schedule, Scheduler};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use trainer::dataset::Checksums;
use trainer::predict::Tensors;
use trainer::predict::{Choice, ClassChoice, PostProcessing};
use trainer::preprocess::{Cache, ChannelNorm, Fingerprint, Normalisation};
use trainer::run::checkpoint::{Checkpoint, SkipCounts, State};
use unet3d::UNet3d;

/// Bytes of `state.bin` before the state, and where the lengths of its parts stand.
const HEADER: usize = 40;
const LENGTHS: [usize; 2] = [12, 20];

const TEXTS: [(&str, &str); 15] = [
    (
        "description/whole",
        r#"{"name": "a", "channel_names": {"0": "CT", "1": "T2"}, "labels": {"background": 0, "lesion": 1, "ignore": 2}, "numTraining": 3, "file_ending": ".nii.gz"}"#,
    ),
    ("description/whole_old", r#"{"modality": ["T1"], "labels": {"0": "background", "1": "lesion"}}"#),
    (
        "description/regions",
        r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "whole": [1, 2]}}"#,
    ),
    (
        "config/whole",
        "[data]\npatch_size = [16, 32, 32]\nbatch_size = 2\nmemory = 1.5\n[model]\nbase_channels = 4\nlevels = 2\nstrides = [[1, 2, 2]]\nkernels = [[1, 3, 3], [3, 3, 3]]\nnorm = { group = 2 }\nactivation = { elu = { alpha = 1.0 } }\n",
    ),
    (
        "config/whole_training",
        "training.epochs = 2\ntraining.threads = 2\nloss.name = \"ce\"\nloss.class_weights = [1.0, 2.0, 3.5]\noptimizer.name = \"sgd\"\nschedule.name = \"plateau\"\n",
    ),
    ("config/pair", "model.base_channels=8"),
    ("config/misspelt", "[training]\nepoch = 5\n"),
    ("table/whole", "image,mask\nimage.nii,mask.nii\n"),
    (
        "table/whole_channels",
        "case,image_0,image_1,mask,split\na,image.nii,image.nii,mask.nii,train\n\"b\",image.nii,image.nii,,test\n",
    ),
    ("table/quoted", "image,mask,note\n\"ima\"\"ge.nii\",mask.nii,\"a\nb\"\n"),
    ("splits/whole", r#"[{"train": ["a", "b"], "val": ["c"]}, {"val": ["a"], "train": ["c"]}]"#),
    ("splits/unknown", r#"[{"train": ["a", "d"], "val": ["a"]}, {"train": []}]"#),
    ("groups/whole", "case,group\na,p\nb,q\nc,p\n"),
    ("groups/whole_site", "site;GROUP;case\nx;\"p\";a\ny;q;b\ny;q;c\n"),
    ("groups/twice", "case\tgroup\na\tp\na\tq\nd\t\n"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let put = |name: &str, bytes: &[u8]| -> std::io::Result<()> {
        let path = corpus.join(name);
        fs::create_dir_all(path.parent().expect("a corpus is a folder"))?;
        fs::write(path, bytes)
    };
    for (name, text) in TEXTS {
        put(name, text.as_bytes())?;
    }
    let folder = tempfile::tempdir()?;
    for (name, bytes) in made::samples(folder.path()) {
        let (stem, ending) = name.split_once('.').expect("a volume's name has an ending");
        let target = match ending {
            "nii" | "nii.gz" => "nifti",
            "nrrd" | "nhdr" => "nrrd",
            "mha" | "mhd" => "metaimage",
            "tif" => "tiff",
            other => other,
        };
        put(&format!("{target}/whole_{stem}_{}", ending.replace('.', "_")), &bytes)?;
    }
    put(
        "tiff/whole_imagej",
        &described("ImageJ=1.54f\nimages=2\nchannels=2\nspacing=3.5\nunit=\\u00B5m\n")?,
    )?;
    put(
        "tiff/whole_ome",
        &described(
            r#"<?xml version="1.0"?><OME><Image><Pixels DimensionOrder="XYCZT" SizeX="3" SizeY="2" SizeZ="1" SizeC="2" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeXUnit="nm" PhysicalSizeY="0.5" PhysicalSizeZ="2"><TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>"#,
        )?,
    )?;
    for (name, bytes) in pages() {
        put(&format!("tiff/whole_{name}"), &bytes)?;
    }
    let array = |value| made::npy("|u1", false, "(1, 2, 3)", &[value; 6]);
    let arrays = [("image.npy", array(7)), ("label.npy", array(1)), ("spacing.npy", array(2))];
    let arrays = arrays.each_ref().map(|(name, array)| (*name, array.as_slice()));
    put("npz/whole_image_label", &made::zip(&arrays, true))?;
    put("png/whole_palette", &palette()?)?;
    put("nifti/whole_2", &nifti_2(folder.path())?)?;
    put("png/whole_two_bits", &made::png([5, 2], png::BitDepth::Two, &[0b0001_1011, 0x40, 0x1b, 0x80]))?;
    for (name, set) in [("", vec![]), ("_group", vec!["model.norm={group=1}", "model.residual=true"])] {
        let [file, weights] = checkpoint(folder.path(), &set)?;
        let length = |at: usize| file[at..at + 2].to_vec();
        let lengths = LENGTHS.map(length).concat();
        put(&format!("checkpoint/whole{name}"), &[&lengths, &file[HEADER..], &weights].concat())?;
        let length = (file.len() as u16).to_le_bytes();
        put(&format!("checkpoint_raw/whole{name}"), &[&length, file.as_slice(), &weights].concat())?;
        put(&format!("weights/whole{name}"), &weights)?;
    }
    put("cached_case/whole", &cached_case(folder.path(), 1)?)?;
    put("cached_case/whole_channels", &cached_case(folder.path(), 2)?)?;
    Ok(())
}

/// The header's length, header and body of a cached case, as the entry point takes them.
fn cached_case(folder: &Path, channels: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    entry_points::prepare(folder);
    let mut case = small::case([2, 4, 4], channels, 3, 0);
    case.name = "case".into();
    let normalisation = Normalisation { channels: vec![ChannelNorm::ZScore; channels] };
    let fingerprint = Fingerprint::of(&entry_points::cached_files(folder), &[], &Checksums::default())?;
    Cache::new(folder).write(&case, &normalisation, &fingerprint)?;
    let file = fs::read(folder.join("case.voxels"))?;
    // Behind magic, version, lengths and checksums.
    Ok([&file[12..14], &file[36..]].concat())
}

/// Pages whose numbers or planes are told by other tags than most.
fn pages() -> Vec<(&'static str, Vec<u8>)> {
    let of = |description: &str, voxels: &[u8], tags: &[(u16, &[u32])]| {
        let mut all: Vec<(u16, Vec<u32>)> =
            vec![(256, vec![3]), (257, vec![2]), (258, vec![8]), (259, vec![1]), (262, vec![1])];
        all.retain(|(tag, _)| tags.iter().all(|(other, _)| other != tag));
        all.extend(tags.iter().map(|(tag, values)| (*tag, values.to_vec())));
        made::directory(&all, description, voxels)
    };
    let numbers: Vec<u8> = (0..24).collect();
    let strip: [(u16, &[u32]); 2] = [(273, &[8]), (279, &[6])];
    let tile = made::zlib(&[5; 2 * 256]);
    let length = tile.len() as u32;
    vec![
        ("white_is_0", of("", &numbers, &[&strip[..], &[(262, &[0])]].concat())),
        ("palette", of("", &numbers, &[&strip[..], &[(262, &[3]), (320, &[9; 768])]].concat())),
        ("twelve_bits", of("", &numbers, &[(273, &[8]), (279, &[10]), (258, &[12])])),
        ("half", of("", &numbers, &[(273, &[8]), (279, &[12]), (258, &[16]), (339, &[3])])),
        ("depth", of("", &numbers, &[(32997, &[4]), (273, &[8, 14, 20, 26]), (279, &[6; 4])])),
        (
            "depth_of_tiles",
            of(
                "",
                &tile,
                &[
                    (32997, &[2]),
                    (322, &[16]),
                    (323, &[16]),
                    (32998, &[2]),
                    (324, &[8]),
                    (325, &[length]),
                    (259, &[8]),
                ],
            ),
        ),
        ("shaped", of(r#"{"shape": [2, 2, 2, 3], "axes": "ZCYX", "truncated": true}"#, &numbers, &strip)),
        ("imagej_run", of("ImageJ=1.54f\nimages=4\nframes=4\ncf=0\nc0=-5\nc1=1\n", &numbers, &strip)),
    ]
}

/// A slice of indices, two in a byte, with gamma and transparency.
fn palette() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 3, 2);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Four);
    encoder.set_palette((0..48).collect::<Vec<u8>>());
    encoder.set_trns(vec![0, 9]);
    encoder.set_source_gamma(png::ScaledFloat::new(0.5));
    encoder.write_header()?.write_image_data(&[0x12, 0x30, 0xf0, 0x10])?;
    Ok(file)
}

/// Two grey pages, of which the first has a description.
fn described(description: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut file = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut file)?;
    for page in 0..2u8 {
        let mut image = encoder.new_image::<tiff::encoder::colortype::Gray8>(3, 2)?;
        if page == 0 {
            image.encoder().write_tag(tiff::tags::Tag::ImageDescription, description)?;
        }
        image.write_data(&[page, 1, 2, 3, 4, 5])?;
    }
    Ok(file.into_inner())
}

/// A NIfTI-2 file of the other byte order would need an encoder of its own; a long axis makes the version.
fn nifti_2(folder: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let path = folder.join("long.nii");
    let header = volumes::nifti::NiftiHeader::new([1, 40_000, 1], [1.0; 3]);
    volumes::nifti::write(&path, &header, &vec![0u8; 40_000])?;
    // The first voxels are enough, once the header says so.
    let mut bytes = fs::read(path)?;
    bytes[32..40].copy_from_slice(&16u64.to_le_bytes());
    bytes.truncate(544 + 16);
    Ok(bytes)
}

/// `state.bin` and the weights of a network of a few hundred numbers.
fn checkpoint(folder: &Path, set: &[&str]) -> Result<[Vec<u8>; 2], Box<dyn Error>> {
    let set = [&["model.base_channels=1", "data.patch_size=[4,8,8]"], set].concat();
    let setup = small::setup(folder, &set, vec![small::case(small::SHAPE, 1, 2, 0)], vec![], 2);
    let model = UNet3d::<f32>::new(setup.plan.model.clone(), &mut ChaCha8Rng::seed_from_u64(3))?;
    let weights: Tensors = model.state_dict().into_iter().collect();
    let memory = |slot: &str| (format!("head.weight.{slot}"), Tensor::zeros([1, 1, 1, 1, 1]));
    let mean = |value: Option<f64>| Mean { value, n: 2, undefined: 1 };
    let taken = PostProcessing { min_component: 30, keep_largest: true, fill_holes: false };
    let class = ClassChoice { name: "lesion".into(), taken, before: mean(None), after: mean(Some(0.75)) };
    let mut card = small::card(&setup);
    card.networks[0].postprocessing = Some(Choice { cases: vec!["case_1".into()], classes: vec![class] });
    let state = State {
        step: 3,
        seconds: 1.5,
        config: "[inference]\noverlap = 0.25\n".into(),
        metric: "dice".into(),
        metric_now: None,
        metric_best: Some(0.25),
        validated: true,
        idle: SkipCounts { empty_batches: 2, ..SkipCounts::default() },
        plateau: *Scheduler::new(Schedule::Constant)?.state(),
        log_bytes: 4096,
    };
    let path = folder.join("last");
    let optimizer = ["exp_avg", "exp_avg_sq"].map(memory).into();
    Checkpoint { state, card, weights, optimizer, report: None }.save(&path)?;
    Ok([fs::read(path.join("state.bin"))?, fs::read(path.join("model.safetensors"))?])
}
