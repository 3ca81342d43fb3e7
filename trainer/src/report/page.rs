//! Pages of HTML: one file each, which needs no network and runs no script, light or dark as the reader's screen is, and as
//! wide.

use std::fmt::Write;

use super::Chart;

/// Plotters writes colours as attributes, which these rules come before: so charts are dark where the page is.
const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--line:#d8d8d8;--dim:#555}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e4e4;--paper:#15171a;--line:#3b3f45;--dim:#a3a8ae}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:var(--ink);\
background:var(--paper);overflow-wrap:anywhere}\
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}a{color:inherit}\
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.8rem 0;overflow-wrap:normal}\
td,th{padding:.2rem .7rem;text-align:right;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}\
th{font-weight:600}.left{text-align:left}.wrap{white-space:normal}\
figure{margin:1rem 0;max-width:520px;min-width:0}figure.wide{max-width:100%}figcaption,.dim{color:var(--dim)}\
.charts{display:flex;flex-wrap:wrap;gap:1rem}svg,img{max-width:100%;height:auto;display:block}\
pre{white-space:pre-wrap;font:inherit}code{font:.93em ui-monospace,monospace}\
.swatch{display:inline-block;width:.8em;height:.8em;margin:0 .4em 0 .8em}\
summary{cursor:pointer;margin:.8rem 0}\
svg text,svg [fill=\"#000000\" i]{fill:var(--ink)}svg [stroke=\"#000000\" i]{stroke:var(--ink)}\
svg rect[fill=\"#ffffff\" i]{fill:var(--paper)}";

/// A page that is being written, from top to bottom.
#[derive(Debug)]
pub(crate) struct Page {
    html: String,
}

impl Page {
    /// With this title.
    pub(crate) fn new(title: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
             <meta name=\"generator\" content=\"trainer {}\"><title>{title}</title>\
             <link rel=\"icon\" href=\"data:,\"><style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n",
            env!("CARGO_PKG_VERSION")
        );
        Self { html }
    }

    /// The page's text.
    pub(crate) fn finish(mut self) -> String {
        self.html.push_str("</body></html>\n");
        self.html
    }

    /// A heading.
    pub(crate) fn heading(&mut self, text: &str) {
        self.raw(format_args!("<h2>{}</h2>\n", escape(text)));
    }

    /// A paragraph.
    pub(crate) fn paragraph(&mut self, text: &str) {
        self.raw(format_args!("<p>{}</p>\n", escape(text)));
    }

    /// A paragraph that explains what stands above it.
    pub(crate) fn note(&mut self, text: &str) {
        self.raw(format_args!("<p class=\"dim\">{}</p>\n", escape(text)));
    }

    /// Text whose lines stay lines.
    pub(crate) fn lines(&mut self, id: &str, text: &str) {
        self.raw(format_args!("<pre id=\"{id}\">{}</pre>\n", escape(text)));
    }

    /// A table; its first `left` columns are text, the others numbers.
    pub(crate) fn table(&mut self, id: &str, titles: &[&str], rows: &[Vec<Cell>], left: usize) {
        let class = |column: usize| if column < left { " class=\"left\"" } else { "" };
        self.raw(format_args!("<div class=\"scroll\"><table id=\"{id}\"><tr>"));
        for (column, title) in titles.iter().enumerate() {
            self.raw(format_args!("<th{}>{}</th>", class(column), escape(title)));
        }
        for row in rows {
            self.raw(format_args!("</tr>\n<tr>"));
            for (column, cell) in row.iter().enumerate() {
                let Cell { text, colour, title } = cell;
                let title =
                    if title.is_empty() { String::new() } else { format!(" title=\"{}\"", escape(title)) };
                self.raw(format_args!("<td{}{title}>", class(column)));
                if let Some(colour) = colour {
                    self.swatch(*colour);
                }
                self.raw(format_args!("{}</td>", escape(text)));
            }
        }
        self.raw(format_args!("</tr></table></div>\n"));
    }

    /// What the colours of pictures mean.
    pub(crate) fn legend<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        self.raw(format_args!("<p>"));
        for (colour, name) in names.enumerate() {
            self.swatch(colour % 6);
            self.raw(format_args!("{}", escape(name)));
        }
        self.raw(format_args!("</p>\n"));
    }

    /// Figures beside each other, as many as there is room for.
    pub(crate) fn figures(&mut self, write: impl FnOnce(&mut Self)) {
        self.raw(format_args!("<div class=\"charts\">\n"));
        write(self);
        self.raw(format_args!("</div>\n"));
    }

    /// A chart, the names of its lines, and what it shows.
    pub(crate) fn chart(&mut self, id: &str, chart: &Chart, caption: &str) {
        self.raw(format_args!("<figure id=\"{id}\">{}<figcaption>", chart.svg()));
        for series in &chart.series {
            self.swatch(series.colour);
            self.raw(format_args!("{}", escape(&series.name)));
        }
        self.raw(format_args!("<br>{}</figcaption></figure>\n", escape(caption)));
    }

    /// A picture, which is a PNG file in base64.
    pub(crate) fn picture(&mut self, png: &str, caption: &str) {
        let caption = escape(caption);
        self.raw(format_args!(
            "<figure class=\"wide\"><img alt=\"{caption}\" src=\"data:image/png;base64,{png}\"><figcaption>{caption}</figcaption></figure>\n"
        ));
    }

    /// What is shown where the reader asks for it.
    pub(crate) fn details(&mut self, summary: &str, write: impl FnOnce(&mut Self)) {
        self.raw(format_args!("<details><summary>{}</summary>\n", escape(summary)));
        write(self);
        self.raw(format_args!("</details>\n"));
    }

    fn swatch(&mut self, colour: usize) {
        self.raw(format_args!(
            "<span class=\"swatch\" style=\"background:{}\"></span>",
            Chart::colour(colour)
        ));
    }

    fn raw(&mut self, html: std::fmt::Arguments<'_>) {
        self.html.write_fmt(html).expect("a string takes text");
    }
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    text: String,
    colour: Option<usize>,
    title: String,
}

impl Cell {
    /// The same with the swatch of a colour.
    pub(crate) fn coloured(self, colour: usize) -> Self {
        Self { colour: Some(colour), ..self }
    }

    /// The same with what is shown where a pointer rests on it.
    pub(crate) fn titled(self, title: String) -> Self {
        Self { title, ..self }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), ..Self::default() }
    }
}

/// A number of so many decimals; a dash where it is not defined.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// A count with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    grouped
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_named_stands_on_the_page_as_text() {
        let mut page = Page::new("<b>&\"run\"</b>");
        page.paragraph("a < b");
        page.table("t", &["<i>"], &[vec!["<u>".into()]], 1);
        let html = page.finish();
        assert!(html.contains("<h1>&lt;b&gt;&amp;&quot;run&quot;&lt;/b&gt;</h1>"), "{html}");
        assert!(html.contains("a &lt; b") && html.contains("&lt;i&gt;") && html.contains("&lt;u&gt;"));
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("<u>"));
        assert_eq!(count(1_234_567), "1\u{2009}234\u{2009}567");
        assert_eq!((count(0), count(999), count(1000)), ("0".into(), "999".into(), "1\u{2009}000".into()));
        assert_eq!((number(None, 2), number(Some(0.125), 2)), ("–".into(), "0.12".into()));
    }
}
