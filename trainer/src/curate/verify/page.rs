//! The page that `verify` prints.

use std::fmt;

use super::{Severity, Verification};
use crate::dataset::notes::counted;

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = [self.training_cases, self.test_cases];
        let [training, test] = cases.map(|n| counted(n, "case"));
        writeln!(f, "{}: {training} for training, {test} for testing", self.name)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))?;
        for (severity, title) in [
            (Severity::Error, "Errors: these are refused"),
            (Severity::Warning, "Warnings: it will train, but look"),
        ] {
            let mut findings = self.findings.iter().filter(|f| f.severity == severity).peekable();
            if findings.peek().is_some() {
                writeln!(f, "\n{title}")?;
            }
            for finding in findings {
                writeln!(f, "  {}: {}", finding.subject, finding.message)?;
                writeln!(f, "      -> {}", finding.remedy)?;
            }
        }
        write!(f, "\n{}, {}", counted(self.errors, "error"), counted(self.warnings, "warning"))
    }
}
