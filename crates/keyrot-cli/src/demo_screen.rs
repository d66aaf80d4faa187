//! What `keyrot demo` shows while it runs: on a terminal a table that is drawn anew, elsewhere one line an event.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, LineStyle, Row, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::demo_notes::{self, seconds};
use crate::demo_watch::{Event, KeyView, Phase};

/// How many of the latest events stand below the table.
const EVENTS: usize = 6;

/// Where progress goes: standard error, always.
#[derive(Debug)]
pub(crate) enum Screen {
    /// A terminal.
    Live {
        /// Redraws its message in place.
        bar: ProgressBar,
        /// Above the table.
        title: String,
        latest: VecDeque<String>,
        colour: bool,
    },
    /// A file, a pipe or a terminal that cannot move its cursor.
    Lines,
}

impl Screen {
    /// `plain`: lines even on a terminal.
    pub(crate) fn open(title: &str, plain: bool) -> Self {
        let target = ProgressDrawTarget::stderr();
        if plain || target.is_hidden() {
            say(title);
            return Self::Lines;
        }
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        let colour = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
        Self::Live { bar, title: title.to_owned(), latest: VecDeque::new(), colour }
    }

    /// Something happened to a key.
    pub(crate) fn event(&mut self, at: Duration, event: &Event) {
        let line = format!("{:>5.1} s  {:<8}  {}", at.as_secs_f64(), event.key_id, event.note.text);
        match self {
            Self::Lines => say(&line),
            Self::Live { latest, .. } => {
                latest.push_back(line);
                if latest.len() > EVENTS {
                    latest.pop_front();
                }
            }
        }
    }

    /// A generation has ended; a terminal shows only how many.
    pub(crate) fn generation(&self, at: Duration, text: &str) {
        if matches!(self, Self::Lines) {
            say(&format!("{:>5.1} s  {text}", at.as_secs_f64()));
        }
    }

    /// The keys as they are now; `status` is one line.
    pub(crate) fn draw(&self, keys: &[KeyView], status: &str) {
        if let Self::Live { bar, title, latest, colour } = self {
            let table = table(keys, *colour);
            let width = table.width().map_or(80, usize::from);
            let mut text = format!("{title}\n\n{}\n\n{status}\n", table.trim_fmt());
            for line in latest {
                text.push('\n');
                text.extend(line.chars().take(width.saturating_sub(1)));
            }
            bar.set_message(text);
        }
    }

    /// Leaves the last picture where it is.
    pub(crate) fn close(self) {
        if let Self::Live { bar, .. } = self {
            bar.abandon();
            say("\n");
        }
    }
}

/// A line on standard error. If that is closed the demo goes on: its result goes elsewhere.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn table(keys: &[KeyView], colour: bool) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─')))
        .use_stderr()
        .set_truncation_indicator("…")
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["key", "project", "state", "minute", "ok", "failed", "last event"]);
    for key in keys {
        let limit = key.limit.map_or_else(|| "∞".to_owned(), |limit| limit.to_string());
        let number = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
        let mut state = Cell::new(format!("{:<16}", demo_notes::phase(key.phase)));
        if colour {
            state = state.fg(tint(key.phase));
        }
        let mut row = Row::from(vec![
            Cell::new(&key.key_id),
            Cell::new(&key.project),
            state,
            number(format!("{}/{limit}", key.used)),
            number(key.succeeded.to_string()),
            number(key.failed.to_string()),
            Cell::new(format!("{:<18}", key.last)),
        ]);
        row.max_height(1);
        table.add_row(row);
    }
    table
}

fn tint(phase: Phase) -> Color {
    match phase {
        Phase::Ready => Color::Green,
        Phase::Trying => Color::Cyan,
        Phase::Blocked { reason, .. } if demo_notes::is_quota(reason) => Color::Yellow,
        Phase::Blocked { .. } => Color::Red,
    }
}

/// What stands between the table and the events.
pub(crate) fn status(at: Duration, strategies: usize, failures: usize) -> String {
    format!("{}: {strategies} strategies, {failures} failures that a caller saw", seconds(at))
}

#[cfg(test)]
mod tests {
    use keyrot_core::Reason;

    use super::*;

    fn view() -> KeyView {
        KeyView {
            key_id: "eu-1".to_owned(),
            project: "eu".to_owned(),
            phase: Phase::Blocked { reason: Reason::ModelOverloaded, left: Some(Duration::from_secs(3)) },
            used: 7,
            limit: Some(60),
            succeeded: 5,
            failed: 2,
            last: "overloaded".to_owned(),
        }
    }

    #[test]
    fn a_row_says_what_the_key_is_doing() {
        let text = table(&[view()], false).to_string();
        let row: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
        assert_eq!(row, ["eu-1", "eu", "cooldown", "3.0", "s", "7/60", "5", "2", "overloaded"]);
    }

    #[test]
    fn without_colours_no_escape_is_written() {
        let mut plain = table(&[view()], false);
        plain.enforce_styling();
        assert!(!plain.to_string().contains('\u{1b}'));
        let mut coloured = table(&[view()], true);
        coloured.enforce_styling();
        assert!(coloured.to_string().contains('\u{1b}'));
    }
}
