//! Units of length that headers name.

/// Millimetres of a unit of length; `None` where it is none that is known.
pub(super) fn unit_in_mm(unit: &str) -> Option<f64> {
    // ImageJ escapes the micro sign, and once wrote it in Latin-1; the Greek letter looks the same.
    let unit = unit.trim().replace("\\u00B5", "µ").replace(['\u{3bc}', '\u{fffd}'], "µ");
    // Short ones are symbols: Mm is no mm.
    let unit = if unit.chars().count() > 2 { unit.to_lowercase() } else { unit };
    Some(match unit.as_str() {
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => 1e6,
        "m" | "meter" | "meters" | "metre" | "metres" => 1e3,
        "dm" => 1e2,
        "cm" => 10.0,
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 1.0,
        "µm" | "um" | "micron" | "microns" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            1e-3
        }
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => 1e-6,
        "Å" | "angstrom" | "angstroms" => 1e-7,
        "pm" => 1e-9,
        "fm" => 1e-12,
        "yd" | "yard" | "yards" => 914.4,
        "ft" | "foot" | "feet" => 304.8,
        // A line is a twelfth of an inch, a point a 72nd.
        "li" => 25.4 / 12.0,
        "pt" => 25.4 / 72.0,
        "thou" | "mil" => 0.0254,
        "in" | "inch" | "inches" => 25.4,
        _ => return None,
    })
}

/// That lengths in a unit were converted, where there was something to convert.
pub(crate) fn converted(unit: &str, mm: f64) -> Option<String> {
    (mm != 1.0).then(|| format!("its lengths are in {}, and converted to millimetres", unit.escape_debug()))
}
