//! The record of a scope that failed: blocked until when, why, and how often in a row. Pure.

use crate::limit::Millis;
use crate::outcome::Reason;

/// Fixed size; a scope without a record is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScopeRecord {
    /// Raised by a reset or a new secret: deadlines only merge inside one generation.
    pub generation: u32,
    /// Not used before this time; 0 if it was never blocked.
    pub blocked_until: Millis,
    /// When the present block began.
    pub blocked_at: Millis,
    /// Failures in a row.
    pub strikes: u32,
    /// Why it is or was blocked.
    pub reason: Option<Reason>,
    /// After a block without a named end one call at a time probes the scope; this one's slot is
    /// taken until then.
    pub probe_until: Millis,
    /// The block has no end named by the provider: what comes after it is a probe.
    pub must_probe: bool,
}
