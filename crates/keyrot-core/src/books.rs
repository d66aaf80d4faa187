//! What reserving and settling do to the records of a pool, whatever holds them: the one set of rules
//! behind every limiter. For authors of limiters; who only uses one needs nothing of this.
//!
//! A limiter gives a [`Home`] to these functions inside one critical section or transaction. Nothing
//! here reads a clock: `now` is the limiter's time, and records see to it that theirs never goes back.

use std::sync::Arc;

pub use crate::counter::COUNTERS_KEPT_FOR;
use crate::counter::{CounterRecord, Tally};
pub use crate::issuer::{ISSUER_KEPT_FOR, IssuerRecord};
use crate::key::KeyId;
use crate::limit::{
    Ask, Candidate, Grant, Group, LimiterError, Millis, Refusal, Reservation, Reserved, ScopeChange,
    SettleBatch, Settled, Settlement, Snapshot, Span, Verdict,
};
use crate::outcome::{Reason, Scope};
use crate::quota::QuotaRecord;
pub use crate::quota::SEND_WITHIN;
pub use crate::scope::KEPT_FOR as SCOPE_KEPT_FOR;
use crate::scope::ScopeRecord;

/// The records of one pool, while one operation is applied to them. Either everything that was put
/// is kept or, if an error comes back, nothing.
pub trait Home {
    /// Edits the record of a group; one that nobody has is the default record. It has to be stored
    /// if [`QuotaRecord::is_news`] says so, and may be forgotten at [`QuotaRecord::kept_until`].
    ///
    /// # Errors
    /// The record cannot be read or written.
    fn quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<R, LimiterError>;

    /// As [`quota`](Self::quota), but a group without a record is left without one.
    ///
    /// # Errors
    /// The record cannot be read or written.
    fn known_quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<Option<R>, LimiterError>;

    /// The record of a scope, if there is one.
    ///
    /// # Errors
    /// The record cannot be read.
    fn scope(&mut self, scope: &Scope) -> Result<Option<ScopeRecord>, LimiterError>;

    /// Stores the record of a scope that changed now. `generation` is that of the change, and from
    /// now on the one of the pool. It may be forgotten [`SCOPE_KEPT_FOR`] ms later.
    ///
    /// # Errors
    /// The record cannot be written.
    fn put_scope(
        &mut self,
        scope: &Scope,
        record: ScopeRecord,
        generation: u64,
        now: Millis,
    ) -> Result<(), LimiterError>;

    /// The generation of the last change of any scope; 0 if there was none.
    ///
    /// # Errors
    /// It cannot be read.
    fn generation(&mut self) -> Result<u64, LimiterError>;

    /// The scopes that changed in a generation after `seen`, each once, as they are now.
    ///
    /// # Errors
    /// They cannot be read.
    fn changed_since(&mut self, seen: u64) -> Result<Vec<ScopeChange>, LimiterError>;

    /// Notes the batches of an issuer: [`IssuerRecord::is_new`] on its record, which may be forgotten
    /// [`ISSUER_KEPT_FOR`] ms later.
    ///
    /// # Errors
    /// The record cannot be read or written.
    fn is_new(&mut self, epoch: u64, number: u64, now: Millis) -> Result<bool, LimiterError>;

    /// Adds to the counters of a key: [`CounterRecord::add`], kept [`COUNTERS_KEPT_FOR`] ms.
    ///
    /// # Errors
    /// The record cannot be read or written.
    fn count(&mut self, tally: &Tally, now: Millis) -> Result<(), LimiterError>;

    /// The counters of a key.
    ///
    /// # Errors
    /// The record cannot be read.
    fn counted(&mut self, key: &KeyId) -> Result<CounterRecord, LimiterError>;

    /// A number that no other reservation of this limiter has.
    fn next_reservation(&mut self) -> u64;

    /// Somebody was turned away. A home that serves one process alone remembers it, to answer
    /// [`worth_telling`](Self::worth_telling); others need not.
    fn turned_away(&mut self, _group: &Arc<Group>, _reason: Reason) {}

    /// Whether somebody may be waiting for the room that this settlement made. A home that does not
    /// know says yes: whoever tries again for nothing loses nothing.
    fn worth_telling(&mut self, _settlement: &Settlement) -> bool {
        true
    }
}

/// [`RateLimiter::reserve`](crate::RateLimiter::reserve).
///
/// # Errors
/// Those of the home.
pub fn reserve(
    home: &mut impl Home,
    now: Millis,
    candidates: &[Candidate],
    asks: &[Ask],
    seen: u64,
) -> Result<Reserved, LimiterError> {
    let generation = home.generation()?;
    let changed = if generation > seen { home.changed_since(seen)? } else { Vec::new() };
    // a home that has lost its memory does not take its callers back
    let mut reply = Reserved { now, generation: generation.max(seen), changed, ..Reserved::default() };
    if reply.changed.is_empty() {
        reply.grants.reserve_exact(asks.len());
        for ask in asks.iter().enumerate() {
            reserve_one(home, now, ask, candidates, &mut reply)?;
        }
    }
    Ok(reply)
}

fn reserve_one(
    home: &mut impl Home,
    now: Millis,
    (index, ask): (usize, &Ask),
    candidates: &[Candidate],
    reply: &mut Reserved,
) -> Result<(), LimiterError> {
    for (candidate_index, candidate) in candidates.iter().enumerate() {
        let group = &candidate.group;
        let answer =
            home.quota(group, |record| record.reserve(now, ask.tokens, candidate.limits, ask.probe_ttl))?;
        match answer {
            Ok(admitted) => {
                let number = home.next_reservation();
                let reservation = Reservation::new(
                    Arc::clone(group),
                    admitted.at,
                    ask.tokens,
                    admitted.day_end,
                    number,
                    admitted.probe,
                );
                let send_by = admitted.send_by;
                reply.grants.push(Grant { ask: index, candidate: candidate_index, reservation, send_by });
                return Ok(());
            }
            Err(denied) => {
                home.turned_away(group, denied.reason);
                reply.refused.push(Refusal {
                    ask: index,
                    candidate: candidate_index,
                    not_before: denied.not_before,
                    reason: denied.reason,
                });
            }
        }
    }
    Ok(())
}

/// [`RateLimiter::settle`](crate::RateLimiter::settle).
///
/// # Errors
/// Those of the home.
pub fn settle(home: &mut impl Home, now: Millis, batch: &SettleBatch) -> Result<Settled, LimiterError> {
    let mut freed = Vec::new();
    if home.is_new(batch.epoch, batch.number, now)? {
        for settlement in &batch.settlements {
            let taken = &settlement.reservation;
            let made_room =
                home.known_quota(&taken.group, |record| record.settle(now, taken, settlement.disposition))?;
            if made_room == Some(true) && home.worth_telling(settlement) && !freed.contains(&taken.group) {
                freed.push(Arc::clone(&taken.group));
            }
        }
        for verdict in &batch.verdicts {
            apply(home, now, verdict, batch)?;
        }
        for tally in &batch.tallies {
            home.count(tally, now)?;
        }
    }
    let generation = home.generation()?;
    let changed = if generation > batch.seen { home.changed_since(batch.seen)? } else { Vec::new() };
    Ok(Settled { now, generation: generation.max(batch.seen), changed, freed })
}

fn apply(
    home: &mut impl Home,
    now: Millis,
    verdict: &Verdict,
    batch: &SettleBatch,
) -> Result<(), LimiterError> {
    match verdict {
        Verdict::Block { scope, reason, span, since } => {
            let mut record = home.scope(scope)?.unwrap_or_default();
            let changed = record.block(now, *since, *reason, *span, batch.backoff, batch.jitter);
            if changed {
                change(home, now, scope, record)?;
            }
            let doubt = changed && record.must_probe;
            if let Some(group) = scope.group().filter(|_| doubt || *span == Span::DayEnd) {
                home.quota(&Arc::new(group), |record| {
                    if doubt {
                        record.doubt(now);
                    }
                    if *span == Span::DayEnd {
                        record.exhaust_day(now, *since);
                    }
                })?;
            }
        }
        Verdict::Clear { scope, since } => {
            let known = home.scope(scope)?;
            let mut record = known.unwrap_or_default();
            // even if there is no record any more: the caller believes that there is one
            if record.clear(*since) || known.is_none() {
                change(home, now, scope, record)?;
            }
        }
        Verdict::Learn { group, limit } => home.quota(group, |record| record.learn(now, *limit))?,
        Verdict::Tighten { group, limits, since } => {
            home.quota(group, |record| record.tighten(now, *limits, *since))?;
        }
        Verdict::Recall { group, calls, day_end, day_requests } => {
            home.quota(group, |record| record.recall(now, calls, *day_end, *day_requests))?;
        }
    }
    Ok(())
}

/// [`RateLimiter::reset`](crate::RateLimiter::reset).
///
/// # Errors
/// Those of the home.
pub fn reset(home: &mut impl Home, now: Millis, scope: &Scope) -> Result<(), LimiterError> {
    if let Some(group) = scope.group() {
        home.known_quota(&Arc::new(group), QuotaRecord::forgive)?;
    }
    if let Some(mut record) = home.scope(scope)? {
        record.reset(now);
        change(home, now, scope, record)?;
    }
    Ok(())
}

/// [`RateLimiter::snapshot`](crate::RateLimiter::snapshot). Changes nothing.
///
/// # Errors
/// Those of the home.
pub fn snapshot(
    home: &mut impl Home,
    now: Millis,
    groups: &[Candidate],
    scopes: &[Scope],
    keys: &[KeyId],
) -> Result<Snapshot, LimiterError> {
    let mut reply = Snapshot { now, ..Snapshot::default() };
    for Candidate { group, limits, .. } in groups {
        let usage = home.known_quota(group, |record| record.usage(now, *limits))?;
        reply.groups.push(usage.unwrap_or_else(|| QuotaRecord::default().usage(now, *limits)));
    }
    for scope in scopes {
        reply.scopes.push(home.scope(scope)?.unwrap_or_default());
    }
    for key in keys {
        reply.counters.push(home.counted(key)?);
    }
    Ok(reply)
}

/// Time is part of the number, so that it goes on even after everything was lost.
fn change(home: &mut impl Home, now: Millis, scope: &Scope, record: ScopeRecord) -> Result<(), LimiterError> {
    let generation = (home.generation()? + 1).max(now);
    home.put_scope(scope, record, generation, now)
}
