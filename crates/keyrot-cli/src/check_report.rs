//! What `keyrot check` found, for people and for programs.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use keyrot::ConfigError;
use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok,
    Info,
    Warning,
    Error,
}

impl Level {
    fn mark(self) -> (char, AnsiColor) {
        match self {
            Self::Ok => ('✓', AnsiColor::Green),
            Self::Info => ('i', AnsiColor::Cyan),
            Self::Warning => ('!', AnsiColor::Yellow),
            Self::Error => ('✗', AnsiColor::Red),
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// A key id, a variable or a file.
    pub(crate) subject: String,
    pub(crate) message: String,
    /// What to do; `null` if there is nothing to do.
    pub(crate) fix: Option<String>,
}

impl Finding {
    pub(crate) fn new(level: Level, subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self { level, subject: subject.into(), message: message.into(), fix: None }
    }

    pub(crate) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// A text that may say what to do behind its first semicolon. It stays whole, so that it can be searched for.
    pub(crate) fn told(level: Level, subject: impl Into<String>, text: &str) -> Self {
        let fix = text.split_once("; ").map(|(_, fix)| fix.to_owned());
        Self { fix, ..Self::new(level, subject, text) }
    }

    /// Each problem as an error about the variable that it begins with, else about `subject`.
    pub(crate) fn of_problems(subject: &str, error: &ConfigError) -> Vec<Self> {
        let file = format!("{subject}: ");
        let each = error.problems().iter().map(|problem| {
            let problem = problem.strip_prefix(&file).unwrap_or(problem);
            Self::told(Level::Error, variable(problem).unwrap_or(subject), problem)
        });
        each.collect()
    }
}

/// The variable that a text begins with.
pub(crate) fn variable(text: &str) -> Option<&str> {
    let first = text.split(' ').next()?;
    let letters = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (first.contains('_') && first.chars().all(letters)).then_some(first)
}

/// All findings, in the order in which things were looked at.
#[derive(Debug, Default)]
pub(crate) struct Report {
    findings: Vec<Finding>,
    /// Errors that came from asking the provider, not from the configuration.
    refused: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReportJson<'a> {
    ok: bool,
    findings: &'a [Finding],
}

impl Report {
    pub(crate) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }

    /// What the provider said to a key.
    pub(crate) fn add_probed(&mut self, finding: Finding) {
        self.refused += usize::from(finding.level == Level::Error);
        self.findings.push(finding);
    }

    fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match (self.count(Level::Error) - self.refused, self.refused) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        }
    }

    pub(crate) fn for_programs(&self) -> ReportJson<'_> {
        ReportJson { ok: self.exit_code() == 0, findings: &self.findings }
    }

    /// One line for each finding, one for what to do about it unless the text has said so, and a sum.
    pub(crate) fn for_people(&self) -> String {
        let mut text = String::new();
        for Finding { level, subject, message, fix } in &self.findings {
            let (mark, colour) = level.mark();
            let style = Style::new().fg_color(Some(colour.into()));
            let subject = if message.starts_with(subject.as_str()) { "" } else { &format!("{subject}: ") };
            let _ = writeln!(text, "{style}{mark}{style:#} {subject}{message}"); // a String takes everything
            if let Some(fix) = fix.as_deref().filter(|fix| !message.contains(fix)) {
                let _ = writeln!(text, "  → {fix}");
            }
        }
        let (errors, warnings) = (self.count(Level::Error), self.count(Level::Warning));
        let sum = match (errors, warnings) {
            (0, 0) => "no error, no warning".to_owned(),
            (0, _) => format!("no error, {}", counted(warnings, "warning")),
            (_, 0) => counted(errors, "error"),
            _ => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        };
        let _ = writeln!(text, "{sum}");
        text
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_1_and_something_to_put_right_is_2() {
        let mut report = Report::default();
        report.add([Finding::new(Level::Warning, "a", "odd")]);
        assert_eq!(report.exit_code(), 0);
        report.add_probed(Finding::new(Level::Warning, "a", "tired"));
        assert_eq!(report.exit_code(), 0);
        report.add_probed(Finding::new(Level::Error, "a", "rejected"));
        assert_eq!(report.exit_code(), 1);
        report.add([Finding::new(Level::Error, "b", "wrong")]);
        assert_eq!(report.exit_code(), 2);
    }

    #[test]
    fn problems_are_about_the_variable_they_begin_with_or_the_file() {
        let problems =
            ["REDIS_URL is bad; do this", "k.json: keys[0] is null; allowed: an object", "REALLY bad"];
        let error = ConfigError::of(problems.map(str::to_owned).to_vec()).unwrap();
        let found = Finding::of_problems("k.json", &error);
        let short: Vec<_> =
            found.iter().map(|f| (f.subject.as_str(), f.message.as_str(), f.fix.as_deref())).collect();
        assert_eq!(
            short,
            [
                ("REDIS_URL", "REDIS_URL is bad; do this", Some("do this")),
                ("k.json", "keys[0] is null; allowed: an object", Some("allowed: an object")),
                ("k.json", "REALLY bad", None),
            ]
        );
    }

    #[test]
    fn people_are_told_once() {
        let mut report = Report::default();
        report.add([
            Finding::told(Level::Error, "V_X", "V_X is bad; do this"),
            Finding::new(Level::Warning, "a", "odd").fix("do that"),
        ]);
        let text = anstream::adapter::strip_str(&report.for_people()).to_string();
        assert_eq!(text, "✗ V_X is bad; do this\n! a: odd\n  → do that\n1 error, 1 warning\n");
    }
}
