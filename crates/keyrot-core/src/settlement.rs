//! What a limiter is told after a call: what became of reservations, and what follows for scopes.

use std::sync::Arc;
use std::time::Duration;

use crate::cooldown::Backoff;
use crate::counter::Tally;
use crate::key::Limits;
use crate::limit::{Group, Millis, Reservation, ScopeChange};
use crate::outcome::{LearnedLimit, Reason, Scope};

/// What became of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// The call was never sent: everything is given back.
    Release,
    /// The call was sent: its request and day unit are spent; tokens are corrected when known.
    Sent {
        /// Input tokens that the provider counted.
        input_tokens: Option<u64>,
        /// The call showed that the group works: a success, first content, or time without a refusal.
        proven: bool,
    },
}

/// Settles one reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Which one.
    pub reservation: Reservation,
    /// What became of it.
    pub disposition: Disposition,
}

/// How long a scope is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Span {
    /// The provider named the end: that long from now, then fully open.
    Named(Duration),
    /// The schedule 30 s, 60 s, 120 s ...; afterwards the scope is probed.
    Backoff,
    /// Until the provider's midnight, then fully open. The day is that of the failed call.
    DayEnd,
}

/// A change to a scope or to what is known of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// A failure is held against a scope.
    Block {
        /// Whom.
        scope: Scope,
        /// Why.
        reason: Reason,
        /// How long.
        span: Span,
        /// When the failed call was leased. A failure older than the present block adds no strike.
        since: Millis,
    },
    /// A success: strikes of older failures are forgotten.
    Clear {
        /// Whose.
        scope: Scope,
        /// When the successful call was leased.
        since: Millis,
    },
    /// The provider named a limit of this group; it only ever lowers ours, for 24 h.
    Learn {
        /// Which group.
        group: Arc<Group>,
        /// The limit.
        limit: LearnedLimit,
    },
    /// A refusal for the minute which our own books did not expect: the group is paced.
    Tighten {
        /// Which group.
        group: Arc<Group>,
        /// Its limits as keys.json states them.
        limits: Limits,
        /// When the refused call was leased: the refusals of one burst are one step.
        since: Millis,
    },
    /// Calls that were sent without being booked here: the limiter could not be reached, or has lost
    /// its memory since.
    Recall {
        /// Which group.
        group: Arc<Group>,
        /// Those of the last 61 s, oldest first.
        calls: Vec<PastCalls>,
        /// The day in which `day_requests` were sent, by its end.
        day_end: Millis,
        /// How many were sent in it.
        day_requests: u32,
    },
}

/// Calls that were sent at about the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastCalls {
    /// When the last of them was granted, by the limiter's time.
    pub at: Millis,
    /// How many.
    pub requests: u16,
    /// Their input tokens.
    pub tokens: u32,
}

/// What is settled together. A batch that arrives twice counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettleBatch {
    /// Names the issuer: changes with every start of a process.
    pub epoch: u64,
    /// Counts up with each batch of the issuer.
    pub number: u64,
    /// The generation of blocks that the issuer knows.
    pub seen: u64,
    /// Reservations.
    pub settlements: Vec<Settlement>,
    /// Consequences.
    pub verdicts: Vec<Verdict>,
    /// Calls to add to the counters of keys.
    pub tallies: Vec<Tally>,
    /// Random part of every back-off of this batch in thousandths, 0 to 1000: up to 10 % are added.
    pub jitter: u16,
    /// The back-off schedule.
    pub backoff: Backoff,
}

/// Reply to [`RateLimiter::settle`](crate::RateLimiter::settle).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The limiter's time.
    pub now: Millis,
    /// The state of the blocks that the caller now knows.
    pub generation: u64,
    /// Blocks that the caller had not seen, its own included.
    pub changed: Vec<ScopeChange>,
    /// Groups where room was made, or whose probes are over: who waits may try again.
    pub freed: Vec<Arc<Group>>,
}
