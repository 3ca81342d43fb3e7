//! Laws of the reports: lines to the letter, a log whose lines are whole, pixels at known places.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trainer::report::{JsonLines, LogLine, Progress, RunLog, SliceFigure};

/// What a pipe has received.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Progress on a clock that gains a second at each batch.
fn progress(pipe: &Pipe, total: u64, per_epoch: u64) -> (Progress, Arc<Mutex<Duration>>) {
    let now = Arc::new(Mutex::new(Duration::ZERO));
    let clock = Arc::clone(&now);
    let progress =
        Progress::new(total, per_epoch).plain_to(pipe.clone()).clock(move || *clock.lock().unwrap());
    (progress, now)
}

#[test]
fn a_pipe_receives_a_line_every_so_many_batches_and_at_the_end_of_an_epoch() {
    let pipe = Pipe::default();
    let (progress, now) = progress(&pipe, 1000, 250);
    let mut progress = progress.elapsed_before(Duration::from_secs(3600));
    for epoch in 1..=2 {
        for batch in 1..=250 {
            *now.lock().unwrap() += Duration::from_secs(1);
            progress.batch(epoch, batch, 2.886e-5, batch as f64 / 1024.0);
        }
        progress.println(format!("epoch {epoch} is over"));
    }
    progress.finish();
    // Means of 1..=100, 101..=200 and 201..=250, in parts of 1024: sums without rounding.
    let expected = "\
| epoch   1 |   100/  250 batches | lr 2.886e-05 | loss 0.049 | elapsed 1:01:40
| epoch   1 |   200/  250 batches | lr 2.886e-05 | loss 0.147 | elapsed 1:03:20
| epoch   1 |   250/  250 batches | lr 2.886e-05 | loss 0.220 | elapsed 1:04:10
epoch 1 is over
| epoch   2 |   100/  250 batches | lr 2.886e-05 | loss 0.049 | elapsed 1:05:50
| epoch   2 |   200/  250 batches | lr 2.886e-05 | loss 0.147 | elapsed 1:07:30
| epoch   2 |   250/  250 batches | lr 2.886e-05 | loss 0.220 | elapsed 1:08:20
epoch 2 is over
";
    assert_eq!(pipe.text(), expected);
}

#[test]
fn a_closed_pipe_does_not_stop_training() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut progress = Progress::new(2, 2).every(1).plain_to(Closed);
    assert_eq!(progress.batch(1, 1, 0.1, 2.0).unwrap().loss, 2.0);
    assert_eq!(progress.batch(1, 2, 0.1, 1.0).unwrap().loss, 1.0);
}

#[test]
fn the_log_goes_on_after_a_resume_and_drops_a_torn_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let (mut progress, _) = progress(&Pipe::default(), 10, 1);
    let line = progress.batch(1, 1, 1e-3, f64::NAN).unwrap();
    let mut log = JsonLines::append(&path, u64::MAX).unwrap();
    log.write("batch", &line).unwrap();
    // Each line is on disk before the file is closed.
    let first = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        first,
        "{\"event\":\"batch\",\"epoch\":1,\"batch\":1,\"batches_per_epoch\":1,\"lr\":0.001,\"loss\":null,\
         \"elapsed_seconds\":0.0}\n"
    );
    drop(log);
    for torn in ["{\"event\":\"ba".to_owned(), "x".repeat(10_000)] {
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(torn.as_bytes()).unwrap();
        drop(file);
        drop(JsonLines::append(&path, u64::MAX).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
    }
    let mut log = JsonLines::append(&path, u64::MAX).unwrap();
    log.write("end", &serde_json::json!({ "epochs": 3 })).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, format!("{first}{{\"event\":\"end\",\"epochs\":3}}\n"));
    let error = log.write("end", &3).unwrap_err().to_string();
    assert!(error.contains("log.jsonl: event end has no form in JSON"), "{error}");
}

#[test]
fn a_log_is_read_back_as_it_was_written_also_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    let (mut progress, _) = progress(&Pipe::default(), 10, 5);
    let lines: Vec<_> = [0.5, f64::NAN, 0.25]
        .into_iter()
        .zip(1..)
        .filter_map(|(loss, batch)| {
            progress.batch(1, 5 * batch, 1e-3 / f64::from(u8::from(batch != 2)), loss)
        })
        .collect();
    let mut log = JsonLines::append(&path, u64::MAX).unwrap();
    lines.iter().for_each(|line| drop(log.write("batch", line).unwrap()));
    log.write("of a later version", &serde_json::json!({ "what": 1 })).unwrap();
    let bits =
        |lines: &[LogLine]| lines.iter().map(|line| (line.batch, line.loss.to_string())).collect::<Vec<_>>();
    let read = RunLog::read(&path).unwrap();
    assert_eq!(bits(&read.batches), bits(&lines));
    assert_eq!(read.batches[0], lines[0]);
    // A line that is being written is left for later; one that is damaged is named.
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"event\":\"batch\",\"epo").unwrap();
    assert_eq!(bits(&RunLog::read(&path).unwrap().batches), bits(&lines));
    file.write_all(b"\n").unwrap();
    let error = RunLog::read(&path).unwrap_err().to_string();
    assert!(error.contains("log.jsonl: holds a damaged line"), "{error}");
}

const GAP: usize = 8;
const CAPTION: usize = 7 * 2 + GAP;

/// A decoded figure.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn of(figure: &SliceFigure<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("slices.png");
        figure.save(&path).unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.color_type, png::ColorType::Rgb);
        Self { width: info.width as usize, height: info.height as usize, pixels }
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        self.pixels[at..at + 3].try_into().unwrap()
    }
}

/// Five slices of 4 x 8 voxels whose intensity is the column; one lesion of 1, 4, 2 voxels in slices 1 to 3.
fn case() -> (Vec<f32>, Vec<u8>, Vec<u8>) {
    let image = (0..5 * 4 * 8).map(|i| (i % 8) as f32).collect();
    let mut truth = vec![0; 5 * 4 * 8];
    for [z, y, x] in [[1, 1, 2], [2, 1, 2], [2, 1, 3], [2, 2, 2], [2, 2, 3], [3, 2, 3], [3, 3, 3]] {
        truth[(z * 4 + y) * 8 + x] = 1;
    }
    let mut prediction = vec![0; 5 * 4 * 8];
    prediction[(2 * 4) * 8] = 2;
    (image, truth, prediction)
}

/// A figure of one foreground class, with voxels of 1 mm and no known directions.
fn figure<'a>(
    image: &'a [f32],
    truth: Option<&'a [u8]>,
    prediction: &'a [u8],
    shape: [usize; 3],
) -> SliceFigure<'a> {
    SliceFigure { image, truth, prediction, shape, spacing: [1.0; 3], ends: None, classes: 1 }
}

#[test]
fn the_figure_has_known_colours_at_known_places() {
    let (image, truth, prediction) = case();
    let (shape, spacing) = ([5, 4, 8], [3.0, 1.0, 1.0]);
    let figure = SliceFigure { spacing, ..figure(&image, Some(&truth), &prediction, shape) };
    let picture = Picture::of(&figure);
    // 4 rows of voxels are enlarged 64 times.
    let (width, height, voxel) = (512, 256, 64);
    assert_eq!(picture.width, GAP + 3 * (width + GAP));
    assert_eq!(picture.height, GAP + 3 * (height + CAPTION + GAP));
    // The middle of a voxel of a row's tile.
    let at = |row: usize, column: usize, y: usize, x: usize| {
        let left = GAP + column * (width + GAP) + x * voxel + voxel / 2;
        let top = GAP + row * (height + CAPTION + GAP) + CAPTION + y * voxel + voxel / 2;
        picture.at(left, top)
    };
    for row in 0..3 {
        for x in 0..8 {
            let grey = (x as f32 / 7.0 * 255.0).round() as u8;
            assert_eq!(at(row, 0, 0, x), [grey; 3], "grey rises along w");
        }
    }
    // Rows are slices 1, 2 and 3: the largest section, and half-way to the ends.
    let green = |[r, g, b]: [u8; 3]| g > r && g > b;
    let red = |[r, g, b]: [u8; 3]| r > g && r > b;
    for (row, slice) in [(0, 1), (1, 2), (2, 3)] {
        for y in 0..4 {
            for x in 0..8 {
                let voxel = (slice * 4 + y) * 8 + x;
                assert_eq!(green(at(row, 1, y, x)), truth[voxel] != 0, "slice {slice}, {y}, {x}");
                assert_eq!(red(at(row, 2, y, x)), prediction[voxel] != 0, "slice {slice}, {y}, {x}");
            }
        }
    }
    // Fill is mixed with the grey behind it: 30 % of (40, 220, 60) over 2/7 of white, which is 73.
    assert_eq!(at(1, 1, 1, 2), [63, 117, 69]);
    // The contour, one pixel inside the lesion, is not.
    let (left, top) = (GAP + width + GAP + 2 * voxel, GAP + height + CAPTION + GAP + CAPTION + voxel);
    assert_eq!(picture.at(left, top), [40, 220, 60]);
    assert_eq!(picture.at(left - 1, top), [36; 3]);
    // The edge of the tile is no contour: the red voxel lies in its corner.
    let corner = (GAP + 2 * (width + GAP), GAP + height + CAPTION + GAP + CAPTION);
    assert_eq!(picture.at(corner.0, corner.1), [72, 15, 12]);
}

#[test]
fn voxels_keep_their_proportions() {
    let image = vec![0.0; 2 * 100 * 50];
    let prediction = vec![0; 2 * 100 * 50];
    let spacing = [1.0, 0.5, 1.25];
    let figure = SliceFigure { spacing, ..figure(&image, None, &prediction, [2, 100, 50]) };
    let picture = Picture::of(&figure);
    // 100 x 0.5 mm by 50 x 1.25 mm is 100 x 125 pixels, three times that to reach 256. Two slices, two columns.
    assert_eq!(picture.height, GAP + 2 * (300 + CAPTION + GAP));
    assert_eq!(picture.width, GAP + 2 * (375 + GAP));
}

#[test]
fn known_directions_turn_the_patients_right_to_the_left_and_the_front_to_the_top() {
    let (image, truth, prediction) = case();
    let (shape, spacing) = ([5, 4, 8], [3.0, 1.0, 1.0]);
    let ends = Some([['P', 'A'], ['L', 'R']]);
    let figure = SliceFigure { spacing, ends, ..figure(&image, Some(&truth), &prediction, shape) };
    let (turned, plain) = (Picture::of(&figure), Picture::of(&SliceFigure { ends: None, ..figure }));
    assert_eq!((turned.width, turned.height), (plain.width, plain.height));
    // The truth's tile of the second row, which bears no marks.
    let (width, height) = (512, 256);
    let (left, top) = (GAP + width + GAP, GAP + height + CAPTION + GAP + CAPTION);
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let (there, back) = ((left + x, top + y), (left + width - 1 - x, top + height - 1 - y));
        assert_eq!(turned.at(there.0, there.1), plain.at(back.0, back.1), "{y}, {x}");
    }
    // The first tile has a mark in the middle of each edge.
    let is_mark = |x: usize, y: usize| turned.at(x, y) == [255, 220, 90];
    let (left, top) = (GAP, GAP + CAPTION);
    let marked = |xs: std::ops::Range<usize>, ys: std::ops::Range<usize>| {
        ys.flat_map(|y| xs.clone().map(move |x| (x, y))).any(|(x, y)| is_mark(x, y))
    };
    assert!(marked(left..left + 20, top + 100..top + 156), "right, on the left");
    assert!(marked(left + width - 20..left + width, top + 100..top + 156), "left, on the right");
    assert!(marked(left + 240..left + 272, top..top + 20), "front, on top");
    assert!(marked(left + 240..left + 272, top + height - 20..top + height), "back, below");
    assert!(!marked(left + 20..left + 240, top + 20..top + height - 20), "nothing else");
}

#[test]
fn each_of_several_classes_has_a_colour_of_its_own_in_truth_and_prediction() {
    let (image, mut truth, _) = case();
    truth[(2 * 4 + 1) * 8 + 3] = 2;
    let (shape, spacing) = ([5, 4, 8], [3.0, 1.0, 1.0]);
    let figure = SliceFigure { spacing, classes: 2, ..figure(&image, Some(&truth), &truth, shape) };
    let picture = Picture::of(&figure);
    // Contours of two neighbours in the second row, in both columns: the first pixels of their voxels.
    for column in 1..3 {
        let (left, top) = (GAP + column * (512 + GAP), GAP + 256 + CAPTION + GAP + CAPTION + 64);
        assert_eq!(picture.at(left + 2 * 64, top), [0, 114, 178]);
        assert_eq!(picture.at(left + 3 * 64, top), [230, 159, 0]);
    }
}

#[test]
fn captions_of_narrow_volumes_do_not_reach_into_each_other() {
    let voxels = 100 * 300 * 3;
    let (image, prediction) = (vec![0.0; voxels], vec![0; voxels]);
    let figure = figure(&image, None, &prediction, [100, 300, 3]);
    let picture = Picture::of(&figure);
    // "image 100/100" and "prediction" in letters of 12 pixels.
    assert_eq!(picture.width, GAP + 2 * (13 * 12 - 2 + GAP + GAP));
}

#[test]
fn a_figure_without_lesion_or_contrast_or_finite_voxels_is_still_drawn() {
    let prediction = [0; 8];
    for value in [0.0, 7.5, f32::NAN, f32::INFINITY] {
        let image = [value; 8];
        let picture = Picture::of(&figure(&image, Some(&prediction), &prediction, [8, 1, 1]));
        assert_eq!(picture.height, GAP + 3 * (256 + CAPTION + GAP));
    }
}

#[test]
fn a_volume_off_the_grid_is_refused_with_its_size() {
    let figure = figure(&[0.0; 8], Some(&[0; 7]), &[0; 8], [2, 2, 2]);
    let refused = |figure: SliceFigure<'_>| figure.save("nowhere/slices.png").unwrap_err().to_string();
    assert!(refused(figure).contains("the truth has 7 voxels, the figure 2 x 2 x 2 = 8"));
    let flat = SliceFigure { truth: None, spacing: [1.0, 0.0, 1.0], ..figure };
    assert!(refused(flat).contains("spacing [1.0, 0.0, 1.0] must be positive"));
    let empty = SliceFigure { image: &[], truth: None, prediction: &[], shape: [0, 2, 2], ..figure };
    assert!(refused(empty).contains("0 x 2 x 2 voxels"));
}
