//! A browser without a window, where there is one.

use std::path::Path;
use std::process::Command;

/// Debian's name and others.
pub(crate) fn browser() -> Option<String> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let runs =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|out| out.status.success());
    names.into_iter().find(runs).map(str::to_owned)
}

/// The page's elements in a window of this width, and what it wrote to the console.
pub(crate) fn visit(browser: &str, page: &Path, width: usize) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"])
        .args(["--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--window-size={width},900"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let console = log.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), console)
}

/// Asserts that a page shows these charts, each with a line at least, and these tables, each with a row; that nothing is
/// written to the console; and that it is no wider than a telephone.
pub(crate) fn shows(browser: &str, page: &Path, charts: &[&str], tables: &[&str]) -> String {
    let (elements, console) = visit(browser, page, 1200);
    assert_eq!(console, [""; 0], "nothing is written to the console");
    let part = |start: &str, end: &str| {
        let part = elements.split(start).nth(1).unwrap_or_else(|| panic!("{start} is missing"));
        part.split(end).next().unwrap_or_default().to_owned()
    };
    for chart in charts {
        let lines = part(&format!("<figure id=\"{chart}\">"), "</figure>").matches("<polyline").count();
        // The axes are two.
        assert!(lines > 2, "{chart} shows {lines} lines");
    }
    for table in tables {
        let rows = part(&format!("<table id=\"{table}\">"), "</table>").matches("<tr>").count();
        assert!(rows >= 2, "{table} has {rows} rows");
    }
    // A script of the test asks the browser; the console is heard.
    let narrow = page.with_file_name("narrow.html");
    let html = std::fs::read_to_string(page).unwrap();
    let script = "<script>console.log('wide: ' + document.documentElement.scrollWidth)</script></body>";
    std::fs::write(&narrow, html.replace("</body>", script)).unwrap();
    // Browsers without a window have a least width, which the page's own must not exceed.
    let wide = |width: usize| -> usize {
        let (_, console) = visit(browser, &narrow, width);
        let line = console.iter().find_map(|line| line.split("wide: ").nth(1)).expect("the console is heard");
        line.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap()
    };
    assert!(wide(390) <= 500, "{} pixels wide in a window of 390", wide(390));
    std::fs::remove_file(&narrow).unwrap();
    elements
}
