//! Whose view a command shows: this process's, or that of every process that shares a limiter.

use keyrot::LimiterMode;
use serde::Serialize;

use crate::output;

/// Part of the JSON of `status` and `explain`; docs/configuration.md describes it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Whose {
    /// `process`, or the name of the limiter that many processes share.
    scope: &'static str,
    /// What holds while that one cannot be reached: `open`, `share` or `closed`.
    degraded: Option<&'static str>,
}

impl Whose {
    pub(crate) fn of(mode: &LimiterMode) -> Self {
        Self { scope: if mode.shared { mode.name } else { "process" }, degraded: mode.degraded }
    }

    /// Tells people, who have been warned of a limiter that is away; `what` begins the sentence: `counts are`.
    pub(crate) fn tell(self, what: &str) {
        let Self { scope, degraded } = self;
        match degraded {
            _ if scope == "process" => output::note(&format!("{what} of this process, which has just begun")),
            None => output::note(&format!("{what} of every process that shares {scope}")),
            Some(policy) => output::note(&format!(
                "{scope} cannot be reached: its failure policy {policy} holds, {what} of this process alone"
            )),
        }
    }
}
