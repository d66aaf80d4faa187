//! The contract of a limiter: quota is reserved before a call, settled after it, and blocks are
//! kept beside it, so that everybody who shares the limiter sees them.
//!
//! All times are milliseconds of wall time since 1970, by the limiter's own clock; every reply
//! carries `now`, and callers compute their waits from it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::counter::CounterRecord;
use crate::key::{KeyId, Limits, ModelName, ProjectId};
pub use crate::limiter_error::{LimiterError, LimiterErrorKind};
use crate::outcome::{Reason, Scope};
use crate::scope::ScopeRecord;
pub use crate::settlement::{Disposition, PastCalls, SettleBatch, Settled, Settlement, Span, Verdict};

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
    /// Which limiter took it, where a limiter stands for several; 0 otherwise. It is settled there.
    pub home: u8,
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
        Self { group, taken_at, tokens, day_end, number, probe, home: 0 }
    }

    /// For a limiter that stands for several.
    #[must_use]
    pub fn at_home(mut self, home: u8) -> Self {
        self.home = home;
        self
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
    /// What keeps the smallest call out now, and until when; `None`: for good.
    pub full: Option<(Reason, Option<Millis>)>,
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

    /// Usage of these groups, the records of these scopes and the counters of these keys.
    async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError>;

    /// Lifts a block and forgets the strikes.
    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError>;

    /// Answers [`LimiterErrorKind::Forgot`]: settles a batch of what the caller remembers. Only then
    /// does this limiter reserve again for it. One that never forgets just settles.
    async fn recall(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        self.settle(batch).await
    }

    /// How many groups a caller should offer at once, if it has so many that could serve: more than
    /// one where a question is a round trip.
    fn candidates_at_once(&self) -> usize {
        1
    }

    /// How many processes share it, the caller included, whom `me` names. Called every few seconds: who
    /// does not call any more is not counted any more.
    async fn processes(&self, _me: u64) -> Result<u32, LimiterError> {
        Ok(1)
    }

    /// In what state it is, for people: `local`, `redis`, `redis, share` ...
    fn mode(&self) -> LimiterMode {
        LimiterMode::default()
    }
}

/// What a limiter is and how it does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimiterMode {
    /// `local`, `sqlite` or `redis`.
    pub name: &'static str,
    /// Whether the counts are those of every process that shares it.
    pub shared: bool,
    /// What holds instead while it cannot be reached: `open`, `share` or `closed`; `None` while all is well.
    pub degraded: Option<&'static str>,
}

impl Default for LimiterMode {
    fn default() -> Self {
        Self { name: "local", shared: false, degraded: None }
    }
}

impl LimiterMode {
    /// A limiter of this name that many processes share, in good order.
    pub fn shared(name: &'static str) -> Self {
        Self { name, shared: true, degraded: None }
    }

    /// The same limiter while it cannot be reached.
    #[must_use]
    pub fn degraded(mut self, policy: &'static str) -> Self {
        self.degraded = Some(policy);
        self
    }
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
    /// The counters of each key; all 0 if nobody used it.
    pub counters: Vec<CounterRecord>,
}
