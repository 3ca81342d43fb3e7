//! Event files for TensorBoard: curves that `tensorboard --logdir` draws while a run goes on.
//!
//! A file is a sequence of TFRecords, each a protocol buffer `Event` of a wall time, a step, and either a version, the start of
//! a session or a `Summary` of tagged values.
//!
//! # Source
//! tensorflow/core/lib/io/record_writer.h and crc32c.h (framing); event.proto, summary.proto, tensor.proto and
//! plugins/pr_curve/{plugin_data.proto, metadata.py, summary.py} of github.com/tensorflow/tensorboard (contents).

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::ScoreHistogram;

use crate::run::folder::EVENT_FILES;
use crate::{Error, Result};

/// Thresholds of a precision-recall curve, evenly from 0 to 1.
const THRESHOLDS: usize = 201;

/// An event file that is being written; each event is handed to the system before the next begins.
#[derive(Debug)]
pub(crate) struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Makes a file in a run's folder, behind those that are there. What they hold from step `first` on is no longer shown:
    /// these steps are taken again.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn create(folder: &Path, first: u64) -> Result<Self> {
        let mut seconds = wall_time() as u64;
        for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
            let name = entry.map_err(Error::io(folder))?.file_name();
            let began = name.to_str().and_then(|name| name.strip_prefix(EVENT_FILES)?.split('.').next());
            if let Some(other) = began.and_then(|seconds| seconds.parse::<u64>().ok()) {
                seconds = seconds.max(other + 1);
            }
        }
        let path = folder.join(format!("{EVENT_FILES}{seconds:010}.trainer"));
        let file = File::create_new(&path).map_err(Error::io(&path))?;
        let mut events = Self { path, file };
        let version = Message::default().text(3, "brain.Event:2");
        events.write(0, &version)?;
        // SessionLog { status: START }
        events.write(first, &Message::default().message(7, &Message::default().varint(1, 1)))?;
        Ok(events)
    }

    /// Writes tagged numbers of a step.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn scalars(&mut self, step: u64, scalars: &[(String, f64)]) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in scalars {
            let value = Message::default().text(1, tag).float(2, *value as f32);
            summary = summary.message(1, &value);
        }
        self.write(step, &Message::default().message(5, &summary))
    }

    /// Writes the precision-recall curve of a class, by the probabilities that the network gives.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn pr_curve(&mut self, step: u64, tag: &str, scores: &ScoreHistogram) -> Result<()> {
        let rows = pr_curve(scores);
        let bytes: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
        let size = |size: usize| Message::default().varint(1, size as u64);
        let shape = Message::default().message(2, &size(rows.len())).message(2, &size(THRESHOLDS));
        // TensorProto { dtype: DT_FLOAT }
        let tensor = Message::default().varint(1, 1).message(2, &shape).bytes(4, &bytes);
        // PrCurvePluginData
        let content = Message::default().varint(2, THRESHOLDS as u64);
        let plugin = Message::default().text(1, "pr_curves").message(2, &content);
        // SummaryMetadata { data_class: DATA_CLASS_TENSOR }
        let metadata = Message::default().message(1, &plugin).varint(4, 2);
        let value = Message::default().text(1, tag).message(9, &metadata).message(8, &tensor);
        self.write(step, &Message::default().message(5, &Message::default().message(1, &value)))
    }

    /// One record: length, its checksum, the event, its checksum.
    fn write(&mut self, step: u64, what: &Message) -> Result<()> {
        let mut event = Message::default().double(1, wall_time()).varint(2, step).0;
        event.extend_from_slice(&what.0);
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend_from_slice(&masked_crc32c(&length).to_le_bytes());
        record.extend_from_slice(&event);
        record.extend_from_slice(&masked_crc32c(&event).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io(&self.path))
    }
}

/// True positives, false positives, true negatives, false negatives, precision and recall where what is at least as probable
/// as each threshold counts as positive. The precision of nothing is 1.
fn pr_curve(scores: &ScoreHistogram) -> [[f32; THRESHOLDS]; 6] {
    let (mut positives, mut negatives) = ([0u64; THRESHOLDS], [0u64; THRESHOLDS]);
    for bin in scores.bins() {
        let probability: f64 = autograd::Real::sigmoid(bin.logit);
        let threshold = (probability * (THRESHOLDS - 1) as f64) as usize;
        positives[threshold] += bin.positives;
        negatives[threshold] += bin.negatives;
    }
    let all: [u64; 2] = [positives.iter().sum(), negatives.iter().sum()];
    let mut rows = [[0.0; THRESHOLDS]; 6];
    let (mut tp, mut fp) = (0, 0);
    for threshold in (0..THRESHOLDS).rev() {
        tp += positives[threshold];
        fp += negatives[threshold];
        let ratio =
            |part: u64, whole: u64, none: f64| if whole > 0 { part as f64 / whole as f64 } else { none };
        let counts = [tp, fp, all[1] - fp, all[0] - tp].map(|count| count as f64);
        let ratios = [ratio(tp, tp + fp, 1.0), ratio(tp, all[0], 0.0)];
        for (row, value) in rows.iter_mut().zip(counts.into_iter().chain(ratios)) {
            row[threshold] = value as f32;
        }
    }
    rows
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// CRC-32C, rotated and shifted as the format wants it.
fn masked_crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol buffer's fields, in the order in which they are added.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// An integer.
    fn varint(mut self, field: u64, value: u64) -> Self {
        self.push_varint(field << 3);
        self.push_varint(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.push_varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.push_varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.push_varint(field << 3 | 2);
        self.push_varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// Seven bits a byte, the lowest first.
    fn push_varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
