//! A line chart as SVG, on whatever lies below it; what its lines are is said beside it.

use std::ops::Range;

use metrics::Reliability;
use plotters::prelude::*;

const SIZE: (u32, u32) = (520, 400);
/// Okabe and Ito's colours, which people with any colour vision tell apart; grey last.
const COLOURS: [[u8; 3]; 8] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 158, 115],
    [204, 121, 167],
    [213, 94, 0],
    [86, 180, 233],
    [0, 0, 0],
    [160, 160, 160],
];

/// The colour of a number; they repeat.
pub(super) fn colour(number: usize) -> [u8; 3] {
    COLOURS[number % COLOURS.len()]
}

/// Lines over two axes.
#[derive(Clone, Debug)]
pub struct Chart {
    x: (String, Range<f64>),
    y: (String, Range<f64>),
    /// The lines.
    pub series: Vec<Series>,
    /// Places, the number of their colour, and whether they are filled.
    pub dots: Vec<((f64, f64), usize, bool)>,
}

/// One line.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// The number of a colour.
    pub colour: usize,
    /// Whether each point has a dot.
    pub marks: bool,
}

impl Series {
    /// A line without points yet.
    pub fn new(name: &str, colour: usize) -> Self {
        Self { name: name.to_owned(), points: Vec::new(), colour, marks: false }
    }
}

impl Chart {
    /// An empty chart.
    pub fn new(x: &str, y: &str, x_range: Range<f64>, y_range: Range<f64>) -> Self {
        Self { x: (x.to_owned(), x_range), y: (y.to_owned(), y_range), series: Vec::new(), dots: Vec::new() }
    }

    /// Mean probability against share of positives, for each of some probabilities of the same voxels.
    pub fn of_reliability(kinds: &[(&str, &Reliability)]) -> Self {
        let groups = || kinds.iter().flat_map(|(_, of)| &of.groups);
        let most = groups().map(|group| group.probability.max(group.positives)).fold(1e-6, f64::max);
        let mut chart = Self::new("mean probability", "share of positives", 0.0..most, 0.0..most);
        let mut ideal = Series::new("ideal", COLOURS.len() - 1);
        ideal.points = vec![(0.0, 0.0), (most, most)];
        chart.series.push(ideal);
        for (colour, (name, of)) in kinds.iter().enumerate() {
            let mut series = Series::new(name, colour);
            series.marks = true;
            series.points = of.groups.iter().map(|group| (group.probability, group.positives)).collect();
            chart.series.push(series);
        }
        chart
    }

    /// The colour of a number, as CSS writes it.
    pub fn colour(number: usize) -> String {
        let [r, g, b] = colour(number);
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// The chart, an `<svg>` element.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        self.draw(&mut svg).expect("drawing into a string cannot fail");
        svg
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let colour = |number: usize| {
            let [r, g, b] = colour(number);
            RGBColor(r, g, b)
        };
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut builder = ChartBuilder::on(&root);
        builder.margin(12).x_label_area_size(42).y_label_area_size(70);
        let mut chart = builder.build_cartesian_2d(self.x.1.clone(), self.y.1.clone())?;
        let text = ("sans-serif", 13);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.x.0).y_desc(&self.y.0).label_style(text).axis_desc_style(text);
        mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.1)).draw()?;
        for series in &self.series {
            let colour = colour(series.colour);
            let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2));
            chart.draw_series(line)?;
            if series.marks {
                chart.draw_series(series.points.iter().map(|&p| Circle::new(p, 3, colour.filled())))?;
            }
        }
        for &(place, number, filled) in &self.dots {
            let style = if filled { colour(number).filled() } else { colour(number).stroke_width(2) };
            chart.draw_series([Circle::new(place, 5, style)])?;
        }
        root.present()?;
        Ok(())
    }
}
