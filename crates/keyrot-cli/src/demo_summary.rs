//! What `keyrot demo` has shown: what callers got, and what the provider saw.

use std::collections::BTreeMap;

use gemini_sim::{Attempt, Ruling};
use keyrot::strategy_gen::AttemptReport;
use serde::Serialize;

use crate::demo_world::PLAYERS;
use crate::output;

/// docs/configuration.md describes it.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) strategies: usize,
    /// Calls for a strategy that ended in an error.
    pub(crate) caller_visible_failures: usize,
    seconds: f64,
    calls_sent: usize,
    calls_refused: usize,
    keys: Vec<KeySummary>,
}

#[derive(Debug, Serialize)]
struct KeySummary {
    key_id: &'static str,
    project: &'static str,
    calls: usize,
    accepted: usize,
    refusals: Vec<RefusalSummary>,
}

/// Refusals of one kind.
#[derive(Debug, Serialize)]
struct RefusalSummary {
    status: Option<u16>,
    /// What the pool made of it.
    outcome: String,
    count: usize,
    /// The provider's words.
    detail: String,
}

impl Summary {
    /// `record` is the simulator's, `attempts` what the callers were told of theirs.
    pub(crate) fn new(
        record: &[Attempt],
        attempts: &[AttemptReport],
        strategies: usize,
        failures: usize,
        seconds: f64,
    ) -> Self {
        let keys: Vec<KeySummary> = PLAYERS
            .iter()
            .map(|player| {
                let calls = record.iter().filter(|call| call.key_id.as_deref() == Some(player.id));
                let (accepted, refused): (Vec<&Attempt>, Vec<&Attempt>) =
                    calls.partition(|call| call.verdict == Ruling::Accepted);
                KeySummary {
                    key_id: player.id,
                    project: player.project,
                    calls: accepted.len() + refused.len(),
                    accepted: accepted.len(),
                    refusals: refusals(&refused, player.id, attempts),
                }
            })
            .collect();
        Self {
            strategies,
            caller_visible_failures: failures,
            seconds,
            calls_sent: record.len(),
            calls_refused: record.iter().filter(|call| call.verdict != Ruling::Accepted).count(),
            keys,
        }
    }

    pub(crate) fn for_people(&self) -> String {
        let mut table = output::table(["key", "project", "calls", "accepted", "refused", "why"]);
        for key in &self.keys {
            let refused: usize = key.refusals.iter().map(|refusal| refusal.count).sum();
            let why: Vec<String> = key
                .refusals
                .iter()
                .map(|refusal| format!("{} x {} ({})", refusal.count, refusal.detail, refusal.outcome))
                .collect();
            table.add_row([
                key.key_id.to_owned(),
                key.project.to_owned(),
                key.calls.to_string(),
                key.accepted.to_string(),
                refused.to_string(),
                why.join("\n"),
            ]);
        }
        let Self { strategies, caller_visible_failures, seconds, calls_sent, calls_refused, .. } = self;
        format!(
            "{table}\n\n{strategies} strategies in {seconds:.0} s, {caller_visible_failures} caller-visible \
             failures, {calls_sent} calls sent, {calls_refused} of them refused by the provider"
        )
    }
}

/// The refusals of a key by status, each with the words in which its caller's attempt keeps it.
fn refusals(refused: &[&Attempt], key_id: &str, attempts: &[AttemptReport]) -> Vec<RefusalSummary> {
    let mut by_status: BTreeMap<Option<u16>, usize> = BTreeMap::new();
    for call in refused {
        *by_status.entry(call.status).or_default() += 1;
    }
    let told = |status: Option<u16>| {
        let status = status.map(|status| status.to_string()).unwrap_or_default();
        attempts.iter().find(|attempt| {
            attempt.key_id.as_str() == key_id
                && attempt.outcome != "success"
                && attempt.detail.starts_with(&status)
        })
    };
    let summaries = by_status.into_iter().map(|(status, count)| {
        let told = told(status);
        RefusalSummary {
            status,
            count,
            outcome: told.map_or_else(|| "not told".to_owned(), |attempt| attempt.outcome.to_owned()),
            detail: told.map_or_else(String::new, |attempt| attempt.detail.clone()),
        }
    });
    summaries.collect()
}
