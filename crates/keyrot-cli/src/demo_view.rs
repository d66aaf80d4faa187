//! What `keyrot demo` shows while it runs: a table that changes in place, or lines where nobody sees it change.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use keyrot::{GroupUsage, KeyHealth, KeyPool};

use crate::demo_world::PLAYERS;
use crate::output;

/// Either the lines of a table, or the last state of each key.
pub(crate) enum View {
    Live { table: MultiProgress, lines: Vec<ProgressBar> },
    Plain { states: BTreeMap<&'static str, String> },
}

/// What to show.
pub(crate) struct Moment<'a> {
    pub(crate) elapsed: Duration,
    pub(crate) generated: usize,
    pub(crate) failed: usize,
    /// The latest strategy in words.
    pub(crate) latest: &'a str,
}

impl View {
    pub(crate) fn new() -> Self {
        if output::is_watched() {
            Self::Live { table: MultiProgress::new(), lines: Vec::new() }
        } else {
            Self::Plain { states: BTreeMap::new() }
        }
    }

    /// A strategy, or a failure that a caller sees.
    pub(crate) fn say(&self, elapsed: Duration, text: &str) {
        if let Self::Plain { .. } = self {
            output::note(&format!("{} {text}", at(elapsed)));
        }
    }

    pub(crate) async fn refresh(&mut self, pool: &KeyPool, moment: &Moment<'_>) {
        let health = pool.health();
        match self {
            Self::Live { table, lines } => {
                let usage = pool.usage().await.unwrap_or_default(); // counted in process: it always answers
                let used = |project: &str| {
                    usage
                        .iter()
                        .find(|(id, ..)| id.as_str() == project)
                        .map(|(.., used)| *used)
                        .unwrap_or_default()
                };
                let text = format!("{}\n{}", keys_table(&health, used), moment.in_words());
                for (index, line) in text.lines().enumerate() {
                    if lines.len() == index {
                        lines.push(table.add(line_of_table()));
                    }
                    lines[index].set_message(line.to_owned());
                }
            }
            Self::Plain { states } => {
                for player in &PLAYERS {
                    let Some(key) = health.get(player.id) else { continue };
                    let now = reason(key).to_owned();
                    if states.insert(player.id, now.clone()).unwrap_or_else(|| "ready".to_owned()) != now {
                        output::note(&format!("{} {}: {}", at(moment.elapsed), player.id, state(key)));
                    }
                }
            }
        }
    }

    /// Leaves the table as it is at last.
    pub(crate) fn end(&self) {
        if let Self::Live { lines, .. } = self {
            lines.iter().for_each(ProgressBar::abandon);
        }
    }
}

impl Moment<'_> {
    fn in_words(&self) -> String {
        let Self { elapsed, generated, failed, latest } = self;
        format!("{} {generated} strategies, {failed} failures seen by callers\n{latest}", at(*elapsed))
    }
}

fn line_of_table() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        line.set_style(style);
    }
    line
}

fn keys_table(health: &BTreeMap<String, KeyHealth>, used: impl Fn(&str) -> GroupUsage) -> comfy_table::Table {
    let mut table =
        output::table(["key", "project", "what happens to it", "minute", "day", "ok", "errors", "state"]);
    table.set_width(200); // cut to the terminal line by line, never wrapped
    for player in &PLAYERS {
        let Some(key) = health.get(player.id) else { continue };
        let GroupUsage { minute_requests, day_requests, effective, .. } = used(player.project);
        let window = |used: u32, limit: Option<u32>| match limit {
            Some(limit) => format!("{used}/{limit}"),
            None => used.to_string(),
        };
        table.add_row([
            player.id.to_owned(),
            player.project.to_owned(),
            player.fate.to_owned(),
            window(minute_requests, effective.rpm),
            window(day_requests, effective.rpd),
            key.success_count.to_string(),
            key.error_count.to_string(),
            state(key),
        ]);
    }
    table
}

/// `ready`, or why not and for how long.
fn state(key: &KeyHealth) -> String {
    match key.cooldown_remaining {
        Some(left) => format!("{} for {}", reason(key), output::span(left)),
        None => reason(key).to_owned(),
    }
}

fn reason(key: &KeyHealth) -> &'static str {
    key.reason.map_or("ready", |reason| reason.name())
}

fn at(elapsed: Duration) -> String {
    format!("{:5.1} s ", elapsed.as_secs_f64())
}
