//! The contract of a limiter: quota is reserved before a call, settled after it, and blocks are
//! kept beside it, so that everybody who shares the limiter sees them.
//!
//! All times are milliseconds of wall time since 1970, by the limiter's own clock; every reply
//! carries `now`, and callers compute their waits from it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::cooldown::Backoff;
use crate::key::{KeyId, Limits, ModelName, ProjectId};
use crate::outcome::{LearnedLimit, Reason, Scope};
use crate::scope::ScopeRecord;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// One (project, model): the domain in which a provider counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The project.
    pub project: ProjectId,
    /// The model.
    pub model: ModelName,
}

impl Group {
    /// The scope of blocks that hit this group alone.
    pub fn scope(&self) -> Scope {
        Scope::ProjectModel(self.project.clone(), self.model.clone())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in project {}", self.model, self.project)
    }
}

/// A group that could take the call, with the key that would send it.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The group.
    pub group: Arc<Group>,
    /// Its limits as keys.json states them; the record may know lower ones.
    pub limits: Limits,
    /// The key that would send the call.
    pub key: KeyId,
}

/// What is asked of the first candidate that has room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Input tokens to reserve, margin included.
    pub tokens: u64,
    /// When a probe slot that this call takes is free again even if nobody reports: the call's deadline.
    pub probe_ttl: Duration,
}

/// Quota that was taken for one call. Its holder settles it once: a repeat is recognised by its
/// [`SettleBatch`], not by the reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reservation {
    /// Where it was taken.
    pub group: Arc<Group>,
    /// When, by the record's own time, which never goes back; also names the window.
    pub taken_at: Millis,
    /// Input tokens taken.
    pub tokens: u64,
    /// The end of the day that was charged.
    pub day_end: Millis,
    /// Distinguishes reservations of one issuer.
    pub number: u64,
    /// The call took a probe slot, which any settle frees.
    pub probe: bool,
}

impl Reservation {
    /// For limiters.
    pub fn new(
        group: Arc<Group>,
        taken_at: Millis,
        tokens: u64,
        day_end: Millis,
        number: u64,
        probe: bool,
    ) -> Self {
        Self { group, taken_at, tokens, day_end, number, probe }
    }
}

/// One ask that was granted.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Index into the asks.
    pub ask: usize,
    /// Index into the candidates.
    pub candidate: usize,
    /// What was taken.
    pub reservation: Reservation,
    /// The call must be sent before this time; later the reservation is released and taken anew.
    pub send_by: Millis,
}

/// A candidate without room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Index into the asks.
    pub ask: usize,
    /// Index into the candidates.
    pub candidate: usize,
    /// The same ask would be granted then if nothing else happens; `None` means never.
    pub not_before: Option<Millis>,
    /// What is used up.
    pub reason: Reason,
}

/// A block that is new to the caller. A record without a block means that it was lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScopeChange {
    /// Which scope.
    pub scope: Scope,
    /// Its record as it is now.
    pub record: ScopeRecord,
}

/// Reply to [`RateLimiter::reserve`].
#[derive(Clone, Debug, Default)]
pub struct Reserved {
    /// The limiter's time.
    pub now: Millis,
    /// The state of the blocks that the caller now knows. Never goes back, even if the limiter has
    /// lost its memory.
    pub generation: u64,
    /// Blocks that the caller had not seen. When there are any, nothing was granted: plan again.
    pub changed: Vec<ScopeChange>,
    /// Asks that were granted.
    pub grants: Vec<Grant>,
    /// Candidates that had no room for an ask, in the order in which they were asked.
    pub refused: Vec<Refusal>,
}

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
    /// Random part of every back-off of this batch in thousandths, 0 to 1000: up to 10 % are added.
    pub jitter: u16,
    /// The back-off schedule.
    pub backoff: Backoff,
}

/// Reply to [`RateLimiter::settle`].
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

/// Usage of the windows of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupUsage {
    /// Requests in the last minute.
    pub minute_requests: u32,
    /// Input tokens in the last minute.
    pub minute_tokens: u64,
    /// Requests of this day.
    pub day_requests: u32,
    /// When the day ends.
    pub day_end: Millis,
    /// The limits in force, learned ones included.
    pub effective: Limits,
    /// Calls are at least this far apart because the provider refused earlier than our books said.
    pub pace: Option<Duration>,
}

/// Counts quota and keeps blocks, for one process or for many.
///
/// `reserve` takes one request and the tokens from every window of a group, or takes nothing.
#[async_trait]
pub trait RateLimiter: fmt::Debug + Send + Sync + 'static {
    /// Grants each ask to the first candidate that has room in all windows.
    ///
    /// `seen` is the generation of blocks that the caller knows; if there are newer blocks nothing
    /// is granted and they come back in [`Reserved::changed`].
    async fn reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError>;

    /// Settles reservations and applies verdicts, all of them or (a repeated batch) none.
    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError>;

    /// Usage of these groups, and the records of these scopes.
    async fn snapshot(&self, groups: &[Candidate], scopes: &[Scope]) -> Result<Snapshot, LimiterError>;

    /// Lifts a block and forgets the strikes.
    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError>;
}

/// Reply to [`RateLimiter::snapshot`], in the order of the question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The limiter's time.
    pub now: Millis,
    /// Usage of each group.
    pub groups: Vec<GroupUsage>,
    /// The record of each scope; one that never failed has the default record.
    pub scopes: Vec<ScopeRecord>,
}

/// What kind of trouble a limiter had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimiterErrorKind {
    /// A record of a newer version of keyrot, or not ours: never rewritten.
    Incompatible,
    /// Not reachable, too slow, or busy.
    Unavailable,
}

/// The limiter could not answer.
#[derive(Clone, Debug)]
pub struct LimiterError {
    kind: LimiterErrorKind,
    message: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl LimiterError {
    /// `message` says where and what; it must not hold a credential.
    pub fn new(kind: LimiterErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of trouble.
    pub fn kind(&self) -> LimiterErrorKind {
        self.kind
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        self.kind == LimiterErrorKind::Unavailable
    }
}

impl fmt::Display for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LimiterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
