//! How `keyrot demo` has gone: what callers saw, what the provider refused, and what keyrot did about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use comfy_table::{ContentArrangement, LineStyle, Table, presets};
use gemini_sim::{Attempt, Ruling};
use serde::Serialize;

use crate::demo_load::Finished;
use crate::demo_notes;
use crate::demo_verify::Verification;
use crate::demo_watch::{KeyView, Phase};

/// What callers saw so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) strategies: usize,
    pub(crate) failures: Vec<String>,
    /// The modules, each once.
    pub(crate) modules: Vec<String>,
    attempts: usize,
}

impl Tally {
    /// Counts a generation and says in a line what became of it.
    pub(crate) fn add(&mut self, Finished { result, took }: Finished) -> String {
        let took = demo_notes::seconds(took);
        match result {
            Ok(strategy) => {
                self.strategies += 1;
                if !self.modules.contains(&strategy.code) {
                    self.modules.push(strategy.code.clone());
                }
                self.attempts += strategy.attempts.len();
                let (number, name, key) = (self.strategies, &strategy.class_name, &strategy.key_id);
                let mut line = format!("strategy {number}: {name} with {key} in {took}");
                for tried in strategy.attempts.iter().filter(|tried| tried.outcome != "success") {
                    let _ = write!(line, ", after {} ({})", tried.key_id, tried.outcome); // a String takes all
                }
                line
            }
            Err(error) => {
                self.attempts += error.spent().map_or(0, |spent| spent.attempts.len());
                self.failures.push(error.to_string());
                format!("a caller saw a failure after {took}: {error}")
            }
        }
    }
}

/// The result. Its JSON form is an interface: fields are added, not changed.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    version: u32,
    seconds: f64,
    /// Ended by a signal; what was under way then is counted nowhere but in `sent`.
    interrupted: bool,
    strategies: usize,
    /// Generations that failed for their caller, in words.
    failures: Vec<String>,
    attempts_per_strategy: f64,
    /// Calls that reached the provider, by its own record.
    sent: usize,
    /// Those that it did not answer.
    refused: Vec<Refused>,
    keys: Vec<Key>,
    /// Null if it was interrupted before.
    verification: Option<Verification>,
}

/// Calls that the provider refused for one reason.
#[derive(Debug, Serialize)]
struct Refused {
    reason: Refusal,
    status: Option<u16>,
    calls: usize,
    keys: BTreeSet<String>,
    /// What keyrot did about it.
    keyrot: String,
}

#[derive(Debug, Serialize)]
struct Key {
    key_id: String,
    project: String,
    /// `ready`, `trying`, or the reason why it takes no call.
    state: &'static str,
    /// When it takes calls again; null if that is now or not known.
    seconds_left: Option<f64>,
    answered: u64,
    failed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Refusal {
    KeyInvalid,
    KeyLeaked,
    QuotaUsedUp,
    Overloaded,
    Other,
}

impl Refusal {
    fn of(attempt: &Attempt) -> Self {
        match (attempt.verdict, attempt.status) {
            (ruling, _) if ruling.is_over_quota() => Self::QuotaUsedUp,
            (Ruling::FaultUncharged, Some(400)) => Self::KeyInvalid,
            (Ruling::FaultUncharged, Some(403)) => Self::KeyLeaked,
            (Ruling::FaultCharged, Some(503)) => Self::Overloaded,
            _ => Self::Other,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::KeyInvalid => "key not valid",
            Self::KeyLeaked => "key reported as leaked",
            Self::QuotaUsedUp => "quota of the minute used up",
            Self::Overloaded => "model overloaded",
            Self::Other => "other",
        }
    }

    /// What the pool does about it; docs/failover.md has the rules.
    fn answer(self) -> &'static str {
        match self {
            Self::KeyInvalid => "read the secret again: unchanged; set the key aside, one try a cooldown",
            Self::KeyLeaked => "set this key aside at once; its sibling went on with the same quota",
            Self::QuotaUsedUp => "learned the limit that the provider named and kept to it",
            Self::Overloaded => "rested this project alone, since others succeeded; then tried it again",
            Self::Other => "went on with another key",
        }
    }
}

impl Summary {
    /// `attempts` is the provider's record.
    pub(crate) fn new(
        took: Duration,
        interrupted: bool,
        tally: Tally,
        attempts: &[Attempt],
        keys: &[KeyView],
        verification: Option<Verification>,
    ) -> Self {
        let mut by_reason: BTreeMap<Refusal, Refused> = BTreeMap::new();
        for attempt in attempts.iter().filter(|attempt| attempt.verdict != Ruling::Accepted) {
            let reason = Refusal::of(attempt);
            let refused = by_reason.entry(reason).or_insert_with(|| Refused {
                reason,
                status: attempt.status,
                calls: 0,
                keys: BTreeSet::new(),
                keyrot: String::new(),
            });
            refused.calls += 1;
            refused.keys.extend(attempt.key_id.as_deref().map(str::to_owned));
        }
        for refused in by_reason.values_mut() {
            refused.keyrot = format!("{}; {}", refused.reason.answer(), now(&refused.keys, keys));
        }
        Self {
            version: 1,
            seconds: rounded(took.as_secs_f64()),
            interrupted,
            strategies: tally.strategies,
            attempts_per_strategy: rounded(tally.attempts as f64 / tally.strategies.max(1) as f64),
            failures: tally.failures,
            sent: attempts.len(),
            refused: by_reason.into_values().collect(),
            keys: keys.iter().map(Key::from).collect(),
            verification,
        }
    }

    /// True if no caller saw a failure, somebody was served, and what was run is good.
    pub(crate) fn is_good(&self) -> bool {
        self.verification.as_ref().is_none_or(Verification::is_good)
            && self.failures.is_empty()
            && (self.strategies > 0 || self.interrupted)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { seconds, strategies, sent, attempts_per_strategy, .. } = self;
        let refused: usize = self.refused.iter().map(|refused| refused.calls).sum();
        let mut text = format!(
            "{strategies} strategies in {seconds} s, {} failures that a caller saw{}\n{sent} calls sent \
             ({attempts_per_strategy} a strategy), of which the provider refused {refused}:\n\n",
            self.failures.len(),
            if self.interrupted { " (interrupted)" } else { "" },
        );
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─')))
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["refused", "calls", "keys", "what keyrot did"]);
        for refused in &self.refused {
            let status = refused.status.map_or_else(|| "cut off".to_owned(), |status| status.to_string());
            let keys: Vec<&str> = refused.keys.iter().map(String::as_str).collect();
            table.add_row([
                format!("{status} {}", refused.reason.text()),
                refused.calls.to_string(),
                keys.join(", "),
                refused.keyrot.clone(),
            ]);
        }
        text += &table.trim_fmt();
        if let Some(verification) = &self.verification {
            text += "\n\n";
            text += &verification.text();
        }
        for failure in &self.failures {
            text += "\n\nfailure: ";
            text += failure;
        }
        text
    }
}

impl From<&KeyView> for Key {
    fn from(key: &KeyView) -> Self {
        let (state, left) = match key.phase {
            Phase::Ready => ("ready", None),
            Phase::Trying => ("trying", None),
            Phase::Blocked { reason, left } => (reason.name(), left),
        };
        Self {
            key_id: key.key_id.clone(),
            project: key.project.clone(),
            state,
            seconds_left: left.map(|left| rounded(left.as_secs_f64())),
            answered: key.succeeded,
            failed: key.failed,
        }
    }
}

/// To hundredths: more digits would be noise.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// How the keys that were refused are in the end.
fn now(refused: &BTreeSet<String>, keys: &[KeyView]) -> String {
    let states: BTreeSet<String> = keys
        .iter()
        .filter(|key| refused.contains(&key.key_id))
        .map(|key| demo_notes::phase(key.phase))
        .collect();
    format!("now: {}", states.into_iter().collect::<Vec<_>>().join(", "))
}
