//! A line chart as SVG.

use std::ops::Range;

use plotters::prelude::*;

const SIZE: (u32, u32) = (520, 400);
/// Okabe and Ito's colours, which people with any colour vision tell apart; grey last.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(160, 160, 160),
];

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
    /// For the legend.
    pub name: String,
    /// x and y.
    pub points: Vec<(f64, f64)>,
    /// The number of a colour.
    pub colour: usize,
    /// Whether each point has a dot.
    pub marks: bool,
}

impl Chart {
    /// An empty chart.
    pub fn new(x: &str, y: &str, x_range: Range<f64>, y_range: Range<f64>) -> Self {
        Self { x: (x.to_owned(), x_range), y: (y.to_owned(), y_range), series: Vec::new(), dots: Vec::new() }
    }

    /// The colour of a number, as CSS writes it.
    pub fn colour(number: usize) -> String {
        let RGBColor(r, g, b) = COLOURS[number % COLOURS.len()];
        format!("#{r:02x}{g:02x}{b:02x}")
    }

    /// The chart, an `<svg>` element.
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        self.draw(&mut svg).expect("drawing into a string cannot fail");
        svg
    }

    fn draw(&self, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let colour = |number: usize| COLOURS[number % COLOURS.len()];
        let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&root);
        builder.margin(12).x_label_area_size(42).y_label_area_size(56);
        let mut chart = builder.build_cartesian_2d(self.x.1.clone(), self.y.1.clone())?;
        let text = ("sans-serif", 13);
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(&self.x.0).y_desc(&self.y.0).label_style(text).axis_desc_style(text);
        mesh.light_line_style(TRANSPARENT).bold_line_style(BLACK.mix(0.1)).draw()?;
        for series in &self.series {
            let colour = colour(series.colour);
            let line = LineSeries::new(series.points.iter().copied(), colour.stroke_width(2));
            let legend = move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], colour.stroke_width(2));
            chart.draw_series(line)?.label(&series.name).legend(legend);
            if series.marks {
                chart.draw_series(series.points.iter().map(|&p| Circle::new(p, 3, colour.filled())))?;
            }
        }
        for &(place, number, filled) in &self.dots {
            let style = if filled { colour(number).filled() } else { colour(number).stroke_width(2) };
            chart.draw_series([Circle::new(place, 5, style)])?;
        }
        let mut labels = chart.configure_series_labels();
        labels.position(SeriesLabelPosition::MiddleLeft).label_font(text);
        labels.background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw()?;
        root.present()?;
        Ok(())
    }
}
