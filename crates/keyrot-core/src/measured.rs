//! What is measured, for a program that installs a recorder of the facade `metrics`. Without the feature of that
//! name nothing is. docs/observability.md has the names, which are part of the API.

use std::sync::Arc;
#[cfg(feature = "metrics")]
use std::time::Instant;

use crate::clock::Clock;
use crate::key::ModelName;
use crate::limit::LimiterMode;
use crate::outcome::{Effect, Outcome};
use crate::roster::Tick;
use crate::state::PoolState;

/// Whether anything is measured.
pub(crate) const IS_ON: bool = cfg!(feature = "metrics");

/// What holds at a limiter that many processes share: of its modes one is 1, the others are 0.
pub(crate) fn limiter_mode(mode: &LimiterMode) {
    #[cfg(feature = "metrics")]
    for name in ["shared", "open", "share", "closed"] {
        let holds = if mode.degraded.unwrap_or("shared") == name { 1.0 } else { 0.0 };
        metrics::gauge!("keyrot_limiter_mode", "limiter" => mode.name, "mode" => name).set(holds);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = mode;
}

/// A limiter that many processes share cannot be asked any more.
pub(crate) fn limiter_outage(limiter: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("keyrot_limiter_outages_total", "limiter" => limiter).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = limiter;
}

/// A call has ended.
pub(crate) fn attempt(model: &ModelName, outcome: &Outcome) {
    let scope = if outcome.effect == Effect::Success { "none" } else { outcome.blame.name() };
    ended(model, outcome.effect.name(), scope);
}

/// Somebody dropped the lease of a call that he had sent.
pub(crate) fn abandoned(model: &ModelName) {
    ended(model, "abandoned", "none");
}

fn ended(model: &ModelName, outcome: &'static str, scope: &'static str) {
    #[cfg(feature = "metrics")]
    {
        let model = model.as_str().to_owned();
        metrics::counter!("keyrot_attempts_total", "model" => model, "outcome" => outcome, "scope" => scope)
            .increment(1);
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (model, outcome, scope);
}

/// Somebody has asked for a key and has not got it yet.
pub(crate) struct Waiting {
    #[cfg(feature = "metrics")]
    since: (Arc<dyn Clock>, Instant),
}

impl Waiting {
    pub(crate) fn begin(clock: &Arc<dyn Clock>) -> Self {
        #[cfg(not(feature = "metrics"))]
        let _ = clock;
        Self {
            #[cfg(feature = "metrics")]
            since: (Arc::clone(clock), clock.now()),
        }
    }

    /// He has it, or it is known that there is none for him.
    pub(crate) fn over(self) {
        #[cfg(feature = "metrics")]
        {
            let (clock, since) = self.since;
            let waited = clock.now().saturating_duration_since(since);
            metrics::histogram!("keyrot_wait_seconds").record(waited.as_secs_f64());
        }
    }
}

/// How many of each kind of scope rest. Looks at all of them: for moments at which something has failed.
pub(crate) fn blocked(state: &PoolState, now: Tick) {
    #[cfg(feature = "metrics")]
    {
        let gates = state.models.iter().map(|model| &model.evidence.breaker);
        let counts = [
            ("host", usize::from(state.host.gate.blocked(now).is_some())),
            ("key", state.keys.iter().filter(|slot| slot.block.until > now).count()),
            ("model", gates.filter(|gate| gate.blocked(now).is_some()).count()),
            ("project", state.projects.iter().filter(|slot| slot.block.until > now).count()),
            ("project_model", state.groups.iter().filter(|slot| slot.block.until > now).count()),
        ];
        for (scope, count) in counts {
            metrics::gauge!("keyrot_blocked", "scope" => scope).set(count as f64);
        }
    }
    #[cfg(not(feature = "metrics"))]
    let _ = (state, now);
}

/// A secret was read from its store.
pub(crate) fn secret_read(result: &'static str) {
    #[cfg(feature = "metrics")]
    metrics::counter!("keyrot_secret_refresh_total", "result" => result).increment(1);
    #[cfg(not(feature = "metrics"))]
    let _ = result;
}
