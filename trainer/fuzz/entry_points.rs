//! Where bytes of other people enter the program: one list, for the fuzz targets and for the test that runs without them.

use std::fs;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use memory::{Limit, Machine};
use trainer::config::{Config, NamedFile};
use trainer::curate::convert::{Conversion, MaskPlacement, Pairs};
use trainer::dataset::{CaseFiles, Checksums, CrossValidation, Dataset, Description};
use trainer::preprocess::{Cache, Fingerprint, Found, PatchSource, PreparedCase, Preprocessing};
use trainer::run::checkpoint::{Saved, load_weights};
use trainer::run::{Facts, Plan};
use trainer::training::{CaseMemory, Settled};
use volumes::info::{Entry, to_json};
use volumes::{Role, Stored, Volume, read_header, read_header_as};

/// A parser as the program calls it.
pub(crate) struct EntryPoint {
    /// The fuzz target's, and the folder's of its corpus.
    pub(crate) name: &'static str,
    /// Reads bytes by way of files in a folder that [`prepare`] made; whether they were accepted.
    pub(crate) read: fn(&Path, &[u8]) -> bool,
}

/// All of them.
pub(crate) const ALL: [EntryPoint; 16] = [
    EntryPoint { name: "nifti", read: nifti },
    EntryPoint { name: "nrrd", read: |folder, bytes| volume(folder, "a.nrrd", bytes) },
    EntryPoint { name: "metaimage", read: |folder, bytes| volume(folder, "a.mha", bytes) },
    EntryPoint { name: "tiff", read: |folder, bytes| volume(folder, "a.tif", bytes) },
    EntryPoint { name: "npy", read: |folder, bytes| volume(folder, "a.npy", bytes) },
    EntryPoint { name: "npz", read: |folder, bytes| volume(folder, "a.npz", bytes) },
    EntryPoint { name: "png", read: png },
    EntryPoint { name: "weights", read: weights },
    EntryPoint { name: "checkpoint", read: checkpoint },
    EntryPoint { name: "checkpoint_raw", read: checkpoint_raw },
    EntryPoint { name: "cached_case", read: cached_case },
    EntryPoint { name: "description", read: description },
    EntryPoint { name: "config", read: config },
    EntryPoint { name: "table", read: table },
    EntryPoint { name: "splits", read: splits },
    EntryPoint { name: "groups", read: groups },
];

/// Bytes of memory that a file of so many bytes warrants: buffers of readers and decoders; and of each byte LZW's
/// expansion, the page and the volume, and room to grow by doubling. A tree's node for each byte of a text is less.
pub(crate) fn bound(bytes: usize) -> usize {
    (2 << 20) + 3 * 2600 * bytes
}

/// Where folders are made: in memory, where there is such a place.
pub(crate) fn place() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

/// Makes the folder that entry points write to, with the files that an input may name.
pub(crate) fn prepare(folder: &Path) {
    fs::create_dir_all(folder.join("slices")).unwrap();
    fs::create_dir_all(folder.join("run")).unwrap();
    fs::write(folder.join("voxels.raw"), (0..48).collect::<Vec<u8>>()).unwrap();
    let header = volumes::nifti::NiftiHeader::new([4, 3, 2], [1.0; 3]);
    for (name, voxel) in [("image.nii", 7u8), ("mask.nii", 1)] {
        volumes::nifti::write(folder.join(name), &header, &[voxel; 24]).unwrap();
    }
}

/// By its name alone a file is of one format or another.
fn volume(folder: &Path, name: &str, bytes: &[u8]) -> bool {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    whole(&path)
}

/// What `info`, `verify` and training ask of a volume.
fn whole(path: &Path) -> bool {
    let header = read_header(path);
    let entry = Entry::of(path);
    if let Ok(mask) = Stored::read_as(path, Role::Mask) {
        let header = read_header_as(path, Role::Mask).expect("what can be read has a header that can");
        assert_eq!(mask.header.shape, header.shape);
    }
    // Neither may fail, whatever the numbers.
    let _ = (entry.to_string(), to_json(std::slice::from_ref(&entry)));
    match entry {
        Entry::Read(info) => {
            let header = header.expect("a volume that can be read has a header that can");
            assert_eq!(info.shape, header.shape);
            assert!(info.shape.iter().all(|&n| n > 0), "{info}");
            let volume = Volume::read(path).unwrap();
            assert_eq!(volume.data.len(), header.len());
            let _ = (header.direction(), header.axcodes(), header.apart(&header));
            true
        }
        Entry::Refused { error, .. } => {
            // A detached file lies in the same folder.
            let folder = path.parent().unwrap().to_string_lossy();
            assert!(error.contains(&*folder), "no file is named: {error}");
            false
        }
    }
}

/// Alone, compressed, and as header and voxels of their own.
fn nifti(folder: &Path, bytes: &[u8]) -> bool {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return volume(folder, "a.nii.gz", bytes);
    }
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    fs::write(folder.join("a.img"), bytes.get(352..).unwrap_or_default()).unwrap();
    let alone = volume(folder, "a.nii", bytes);
    let compressed = volume(folder, "a.nii.gz", &packed.finish().unwrap());
    assert_eq!(alone, compressed, "compression alters nothing");
    volume(folder, "a.hdr", bytes) | alone
}

/// One slice, and a folder of two.
fn png(folder: &Path, bytes: &[u8]) -> bool {
    let slices = folder.join("slices");
    for name in ["1.png", "2.png"] {
        fs::write(slices.join(name), bytes).unwrap();
    }
    whole(&slices) & volume(folder, "a.png", bytes)
}

/// `--init`, which goes on where every number is finite.
fn weights(folder: &Path, bytes: &[u8]) -> bool {
    let path = folder.join("init.safetensors");
    fs::write(&path, bytes).unwrap();
    let Ok(weights) = load_weights(&path) else { return false };
    weights.values().all(|weight| weight.is_finite())
}

/// Lengths of state and optimiser (u16 each), state, optimiser, weights: into a checkpoint whose checksums are right.
fn checkpoint(folder: &Path, bytes: &[u8]) -> bool {
    let Some((lengths, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let length = |at: usize| usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
    let (state, rest) = rest.split_at(length(0).min(rest.len()));
    let (optimizer, weights) = rest.split_at(length(2).min(rest.len()));
    let mut file = b"UNET3D-C\x05\0\0\0".to_vec();
    file.extend((state.len() as u64).to_le_bytes());
    file.extend((optimizer.len() as u64).to_le_bytes());
    for part in [state, optimizer, weights] {
        file.extend(crc32c::crc32c(part).to_le_bytes());
    }
    file.extend_from_slice(state);
    file.extend_from_slice(optimizer);
    load(folder, &file, weights)
}

/// The length of `state.bin` (u16), `state.bin`, the weights: as they are.
fn checkpoint_raw(folder: &Path, bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let (file, weights) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    load(folder, file, weights)
}

/// What `predict` asks of a checkpoint before it looks at an image.
fn load(folder: &Path, file: &[u8], weights: &[u8]) -> bool {
    let path = folder.join("run");
    fs::write(path.join("state.bin"), file).unwrap();
    fs::write(path.join("model.safetensors"), weights).unwrap();
    let Ok(mut checkpoint) = Saved::open(&path) else { return false };
    if checkpoint.optimizer().is_err() {
        return false;
    }
    let network = checkpoint.card.networks[0].clone();
    let words = (network.decision.to_string(), network.preparation().reader.preprocessing.to_string());
    let _ = (words, network.postprocessing.as_ref().map(ToString::to_string));
    checkpoint.into_network().is_ok()
}

/// The length of the header (u16), the header, the body: into a cached case whose checksums are right.
fn cached_case(folder: &Path, bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else { return false };
    let (header, body) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let mut file = b"UNET3D-V\x06\0\0\0".to_vec();
    file.extend((header.len() as u64).to_le_bytes());
    file.extend((body.len() as u64).to_le_bytes());
    file.extend(crc32c::crc32c(body).to_le_bytes());
    file.extend(crc32c::crc32c_append(crc32c::crc32c(&file), header).to_le_bytes());
    file.extend_from_slice(header);
    file.extend_from_slice(body);
    fs::write(folder.join("case.voxels"), &file).unwrap();
    let fingerprint = Fingerprint::of(&cached_files(folder), &[], &Checksums::default()).unwrap();
    let case = match Cache::new(folder).find("case", &fingerprint).unwrap() {
        Found::Case(case) => PreparedCase::from(*case),
        Found::Nothing => panic!("the file that was written is not found"),
        Found::Unusable { why } => {
            assert!(why.contains("case.voxels"), "no file is named: {why}");
            return false;
        }
    };
    let whole = case.voxels().unwrap();
    assert_eq!(whole.image().len(), case.summary().voxels() * case.summary().channels);
    let source = PatchSource::from(&case);
    for (i, class) in source.foreground().iter().enumerate() {
        let voxels = [0, class.voxels as usize - 1].map(|voxel| source.foreground_voxel(i, voxel));
        assert!(voxels.into_iter().flatten().all(|voxel| voxel < case.summary().voxels()));
    }
    let summaries = [case.summary().clone()];
    let _ = (CaseMemory::of(&summaries, &[], 2).in_files(), Facts::of(&summaries, 2));
    true
}

/// Which files the cached case is of.
pub(crate) fn cached_files(folder: &Path) -> CaseFiles {
    let [image, label] = ["image.nii", "mask.nii"].map(|name| folder.join(name));
    CaseFiles { name: "case".into(), images: vec![image], label: Some(label) }
}

/// `dataset.json`.
fn description(folder: &Path, bytes: &[u8]) -> bool {
    fs::write(folder.join("dataset.json"), bytes).unwrap();
    match Description::read(folder) {
        Ok(description) => {
            assert!((2..=255).contains(&description.num_classes()));
            assert!(!description.channel_names.is_empty());
            true
        }
        Err(error) => {
            assert!(error.to_string().contains("dataset.json"), "{error}");
            false
        }
    }
}

/// A configuration's file, or a pair of the command line; then the plan that follows from it.
fn config(_: &Path, bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let _ = Config::load(None, &[text.to_owned()]);
    let Ok(config) = Config::load(Some(("run.toml", text)), &[]) else { return false };
    let again =
        Config::load(Some(("run.toml", &config.to_toml())), &[]).expect("what is written can be read");
    assert_eq!(again.to_toml(), config.to_toml());
    let facts = Facts { shape: [30, 96, 96], spacing: [3.0, 1.0, 1.0], in_channels: 2, classes: 3 };
    let cases =
        CaseMemory { bytes: 1 << 20, largest: facts.shape, channels: 2, count: 4, ..Default::default() };
    // A larger network is measured, for more memory than the file warrants.
    let Ok(plan) = Plan::new(facts, &config) else { return false };
    let voxels: usize = plan.patch_size.iter().product();
    if plan.model.parameters() > 10_000 || voxels > 1 << 14 || config.training.threads > 4 {
        return true;
    }
    let machine = Machine { available: Some(1 << 34), limit: Limit::Machine };
    let Ok(settled) = Settled::new(facts, &config, &cases, Preprocessing::NATIVE, machine) else {
        return false;
    };
    let _ = (settled.outlook.to_string(), settled.outlook.check(), settled.written(&config).to_toml());
    true
}

/// The table of `convert --csv`.
fn table(folder: &Path, bytes: &[u8]) -> bool {
    let path = folder.join("pairs.csv");
    fs::write(&path, bytes).unwrap();
    let conversion = Conversion {
        pairs: Pairs::Table(path),
        out: folder.join("made"),
        labels: Vec::new(),
        names: Vec::new(),
        channel_names: Vec::new(),
        spacing: None,
        geometry: MaskPlacement::Agree,
    };
    match conversion.check(&mut |_| true) {
        Ok(checked) => {
            let checked = checked.expect("nothing stops it");
            let _ = (checked.found.to_string(), checked.files());
            checked.found.errors == 0
        }
        Err(error) => {
            assert!(error.to_string().contains("pairs.csv"), "{error}");
            false
        }
    }
}

/// nnU-Net's file of folds.
fn splits(folder: &Path, bytes: &[u8]) -> bool {
    let mut config = Config::default();
    config.validation.splits = NamedFile::Path("folds.json".into());
    folds(folder, "folds.json", bytes, &config)
}

/// The table of patients or sites.
fn groups(folder: &Path, bytes: &[u8]) -> bool {
    let mut config = Config::default();
    config.validation.groups = NamedFile::Path("groups.csv".into());
    folds(folder, "groups.csv", bytes, &config)
}

/// The folds of the cases `a`, `b` and `c`.
fn folds(folder: &Path, name: &str, bytes: &[u8], config: &Config) -> bool {
    fs::write(folder.join(name), bytes).unwrap();
    let text = r#"{"channel_names": {"0": "T1"}, "labels": {"background": 0, "lesion": 1}}"#;
    let case = |name: &str| CaseFiles { name: name.into(), images: Vec::new(), label: None };
    let dataset = Dataset {
        path: folder.to_owned(),
        description: Description::parse(text).unwrap(),
        training: ["a", "b", "c"].map(case).into(),
        test: Vec::new(),
        headers: Vec::new(),
        notes: Vec::new(),
    };
    match CrossValidation::new(&dataset, config) {
        Ok(folds) => {
            for fold in folds.folds() {
                assert!(!fold.training.is_empty() && !fold.validation.is_empty());
                assert!(fold.training.iter().all(|case| *case < 3 && !fold.validation.contains(case)));
            }
            let _ = folds.notes(&dataset.training);
            true
        }
        Err(error) => {
            assert!(error.to_string().contains(name), "{error}");
            false
        }
    }
}
