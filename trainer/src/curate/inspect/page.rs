//! The page that `inspect` prints.

use std::fmt;

use super::{Inspection, Side};

/// Cases listed one by one; of a larger set the rest are counted.
const MOST_ROWS: usize = 24;

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        writeln!(f, "  channels  {}", numbered(&self.channels))?;
        writeln!(f, "  classes   {}", numbered(&self.classes))?;
        writeln!(f, "  d is the files' {} axis, the one with the largest spacing", self.depth_axis)?;
        writeln!(f, "\nTraining, {}", cases(self.training.cases.len()))?;
        side(f, &self.training)?;
        writeln!(f, "\nTest, {}", cases(self.test.cases.len()))?;
        side(f, &self.test)?;
        if !self.warnings.is_empty() {
            writeln!(f, "\nBeware")?;
        }
        self.warnings.iter().try_for_each(|warning| writeln!(f, "  - {warning}"))
    }
}

fn cases(n: usize) -> String {
    if n == 1 { "1 case".into() } else { format!("{n} cases") }
}

fn numbered(names: &[String]) -> String {
    let each: Vec<String> = names.iter().enumerate().map(|(i, name)| format!("{i} {name}")).collect();
    each.join(", ")
}

fn side(f: &mut fmt::Formatter<'_>, side: &Side) -> fmt::Result {
    if side.cases.is_empty() {
        return Ok(());
    }
    let name_width = side.cases.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).clamp(10, 40);
    writeln!(
        f,
        "  {:name_width$}  {:>15}  {:>18}  {:>18}",
        "case", "d x h x w", "spacing in mm", "foreground"
    )?;
    for case in side.cases.iter().take(MOST_ROWS) {
        let [d, h, w] = case.shape;
        let [sd, sh, sw] = case.spacing;
        let foreground = match &case.class_voxels {
            None => "no labels".to_owned(),
            Some(counts) => {
                let foreground: u64 = counts[1..].iter().sum();
                let share = 100.0 * foreground as f64 / counts.iter().sum::<u64>().max(1) as f64;
                format!("{foreground} ({share:.3} %)")
            }
        };
        let shape = format!("{d} x {h} x {w}");
        let spacing = format!("{sd:.2} x {sh:.2} x {sw:.2}");
        writeln!(f, "  {:name_width$}  {shape:>15}  {spacing:>18}  {foreground:>18}", case.name)?;
    }
    if side.cases.len() > MOST_ROWS {
        writeln!(f, "  and {} more", side.cases.len() - MOST_ROWS)?;
    }
    write!(f, "  {:name_width$}", "intensity")?;
    for title in ["min", "0.5 %", "median", "mean", "sd", "99.5 %", "max"] {
        write!(f, "  {title:>10}")?;
    }
    writeln!(f)?;
    for i in &side.intensities {
        write!(f, "  {:name_width$}", i.channel)?;
        for value in [i.min, i.p00_5, i.median, i.mean, i.sd, i.p99_5, i.max] {
            write!(f, "  {:>10}", short(value))?;
        }
        writeln!(f)?;
    }
    classes(f, side, name_width)
}

fn classes(f: &mut fmt::Formatter<'_>, side: &Side, name_width: usize) -> fmt::Result {
    let labelled = side.cases.iter().filter(|c| c.class_voxels.is_some()).count();
    if labelled == 0 {
        return Ok(());
    }
    let ratio = |r: Option<f64>| r.map_or("undefined, no voxel is positive".into(), short);
    writeln!(f, "  {:name_width$}  {:>12}  {:>10}  {:>10}", "class", "voxels", "share", "neg/pos")?;
    for (value, class) in side.classes.iter().enumerate() {
        // The background is nobody's positive.
        let neg_per_pos = if value == 0 { String::new() } else { ratio(class.neg_per_pos) };
        let share = format!("{:.4} %", 100.0 * class.fraction);
        writeln!(f, "  {:name_width$}  {:>12}  {share:>10}  {neg_per_pos:>10}", class.name, class.voxels)?;
    }
    let foreground: u64 = side.classes[1..].iter().map(|c| c.voxels).sum();
    let share: f64 = side.classes[1..].iter().map(|c| 100.0 * c.fraction).sum();
    let share = format!("{share:.4} %");
    writeln!(
        f,
        "  {:name_width$}  {foreground:>12}  {share:>10}  {:>10}",
        "foreground",
        ratio(side.neg_per_pos)
    )?;
    if side.ignored > 0 {
        writeln!(f, "  {:name_width$}  {:>12}", "ignored", side.ignored)?;
    }
    if labelled < side.cases.len() {
        writeln!(f, "  {} of {} have labels", labelled, cases(side.cases.len()))?;
    }
    if !side.empty_cases.is_empty() {
        let n = side.empty_cases.len();
        let shown: Vec<&str> = side.empty_cases.iter().take(8).map(String::as_str).collect();
        let more = if n > 8 { ", …" } else { "" };
        writeln!(f, "  no foreground in {}: {}{more}", cases(n), shown.join(", "))?;
    }
    Ok(())
}

/// Five significant digits, without an exponent where it is not needed.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        1e6.. => format!("{value:.3e}"),
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.01.. => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}
