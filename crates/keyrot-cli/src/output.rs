//! Results to stdout, everything else to stderr; colour for people only.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};
use comfy_table::{Attribute, Cell, ContentArrangement, Table, presets};
use jiff::{Timestamp, Unit};
use serde::Serialize;

use crate::failure::Failure;

const BOLD: Style = Style::new().bold();

/// A result. A reader that has gone away is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()?;
    Ok(())
}

/// A result for programs.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&text),
        Err(error) => Err(Failure::failed(format!("the result cannot be written as JSON: {error}"))),
    }
}

/// A line for people beside the result.
pub(crate) fn note(text: &str) {
    to_stderr(format_args!("{text}"));
}

pub(crate) fn info(text: &str) {
    tell("info", AnsiColor::Cyan, text);
}

pub(crate) fn warning(text: &str) {
    tell("warning", AnsiColor::Yellow, text);
}

pub(crate) fn error(text: &str) {
    tell("error", AnsiColor::Red, text);
}

fn tell(kind: &str, colour: AnsiColor, text: &str) {
    let style = BOLD.fg_color(Some(colour.into()));
    to_stderr(format_args!("{style}{kind}:{style:#} {text}"));
}

fn to_stderr(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(anstream::stderr().lock(), "{text}"); // there is nowhere else to complain
}

/// A table without lines, as wide as the terminal allows.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.map(|name| Cell::new(name.to_uppercase()).add_attribute(Attribute::Bold)));
    table
}

/// `2026-11-05T14:03:22Z`
pub(crate) fn moment(at: SystemTime) -> String {
    let at = Timestamp::try_from(at).and_then(|at| at.round(Unit::Second));
    at.map_or_else(|_| "a time far away".to_owned(), |at| at.to_string())
}

/// `2 s`, `1 min 30 s`, `5 h 12 min`
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().ceil() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The line that a person types after this question.
pub(crate) fn ask(question: &str) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("the terminal cannot be read: {error}"));
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question}").and_then(|()| stderr.flush()).map_err(failed)?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(failed)?;
    Ok(line)
}

/// True if somebody watches stderr.
pub(crate) fn is_watched() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_moments_for_people() {
        for (millis, text) in [
            (0, "0 s"),
            (1, "1 s"),
            (59_000, "59 s"),
            (60_000, "1 min"),
            (90_500, "1 min 31 s"),
            (18_720_000, "5 h 12 min"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_762_351_402_400);
        assert_eq!(moment(at), "2025-11-05T14:03:22Z");
    }
}
