//! What is measured, for a program that installs a recorder of the facade `metrics`. Without the feature of that
//! name nothing is. docs/observability.md has the names, which are part of the API.

use crate::limit::LimiterMode;

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
