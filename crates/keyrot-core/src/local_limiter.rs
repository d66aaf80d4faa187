//! The limiter of one process: the books in memory. Also the reference that every other limiter is
//! held against.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::issuer::Issuer;
use crate::limit::{
    Ask, Candidate, Disposition, Grant, Group, LimiterError, Millis, RateLimiter, Refusal, Reservation,
    Reserved, ScopeChange, SettleBatch, Settled, Settlement, Snapshot, Span, Verdict,
};
use crate::map::Map;
use crate::outcome::{Reason, Scope};
use crate::quota::QuotaRecord;
use crate::scope::{KEPT_FOR, ScopeRecord};

/// How long the batches of an issuer that has fallen silent are remembered: as long as a repeat could
/// still give back something of the same day.
const ISSUER_KEPT_FOR: Millis = 25 * 3600 * 1000;
/// How often what is no longer needed is dropped.
const SWEEP_EVERY: Millis = 3600 * 1000;

/// Counts for one process, in wall time. Clones share the books.
#[derive(Clone)]
pub struct LocalLimiter {
    clock: Arc<dyn Clock>,
    books: Arc<Mutex<Books>>,
}

impl fmt::Debug for LocalLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalLimiter").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Books {
    groups: Map<Arc<Group>, Account>,
    scopes: Map<Scope, ScopeEntry>,
    /// Scopes by the generation of their last change.
    changes: BTreeMap<u64, Scope>,
    generation: u64,
    reservations: u64,
    issuers: Map<u64, Issuer>,
    swept_at: Millis,
}

#[derive(Default)]
struct ScopeEntry {
    record: ScopeRecord,
    /// Of its last change.
    generation: u64,
    changed_at: Millis,
}

/// The books of a group, and who was turned away since somebody was last told of room.
#[derive(Default)]
struct Account {
    record: QuotaRecord,
    turned_away: TurnedAway,
}

#[derive(Default)]
struct TurnedAway {
    for_tokens: bool,
    for_probes: bool,
    for_another_reason: bool,
}

impl TurnedAway {
    fn note(&mut self, reason: Reason) {
        match reason {
            Reason::MinuteTokens => self.for_tokens = true,
            Reason::Probing => self.for_probes = true,
            _ => self.for_another_reason = true,
        }
    }

    /// True if what was settled made room for somebody who was turned away.
    fn may_return(&mut self, settled: &Settlement) -> bool {
        let may = match settled.disposition {
            Disposition::Release => self.for_tokens || self.for_probes || self.for_another_reason,
            Disposition::Sent { input_tokens, .. } => {
                let fewer = input_tokens.is_some_and(|used| used < settled.reservation.tokens);
                fewer && self.for_tokens || settled.reservation.probe && self.for_probes
            }
        };
        if may {
            *self = Self::default();
        }
        may
    }
}

impl LocalLimiter {
    /// Empty books.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, books: Arc::default() }
    }

    fn open(&self) -> (MutexGuard<'_, Books>, Millis) {
        let books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let wall = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        (books, Millis::try_from(wall.as_millis()).unwrap_or(Millis::MAX / 2))
    }
}

impl Books {
    fn reserve_one(
        &mut self,
        now: Millis,
        (index, ask): (usize, &Ask),
        candidates: &[Candidate],
        reply: &mut Reserved,
    ) {
        for (candidate_index, candidate) in candidates.iter().enumerate() {
            let account = match self.groups.get_mut(&candidate.group) {
                Some(account) => account,
                None => self.groups.entry(Arc::clone(&candidate.group)).or_default(),
            };
            match account.record.reserve(now, ask.tokens, candidate.limits, ask.probe_ttl) {
                Ok(admitted) => {
                    self.reservations += 1;
                    let reservation = Reservation::new(
                        Arc::clone(&candidate.group),
                        admitted.at,
                        ask.tokens,
                        admitted.day_end,
                        self.reservations,
                        admitted.probe,
                    );
                    reply.grants.push(Grant {
                        ask: index,
                        candidate: candidate_index,
                        reservation,
                        send_by: admitted.send_by,
                    });
                    return;
                }
                Err(denied) => {
                    account.turned_away.note(denied.reason);
                    reply.refused.push(Refusal {
                        ask: index,
                        candidate: candidate_index,
                        not_before: denied.not_before,
                        reason: denied.reason,
                    });
                }
            }
        }
    }

    fn settle_one(&mut self, now: Millis, settlement: &Settlement) -> Option<Arc<Group>> {
        let taken = &settlement.reservation;
        let account = self.groups.get_mut(&taken.group)?;
        account.record.settle(now, taken, settlement.disposition);
        account.turned_away.may_return(settlement).then(|| Arc::clone(&taken.group))
    }

    fn apply(&mut self, now: Millis, verdict: &Verdict, batch: &SettleBatch) {
        match verdict {
            Verdict::Block { scope, reason, span, since } => {
                let changed = self.change(now, scope, |record| {
                    record.block(now, *since, *reason, *span, batch.backoff, batch.jitter)
                });
                if let Some(group) = scope.group() {
                    let Account { record, .. } = self.groups.entry(Arc::new(group)).or_default();
                    if changed.is_some_and(|record| record.must_probe) {
                        record.doubt(now);
                    }
                    if *span == Span::DayEnd {
                        record.exhaust_day(now, *since);
                    }
                }
            }
            // even if there is no record any more: the caller believes that there is one
            Verdict::Clear { scope, since } if !self.scopes.contains_key(scope) => {
                self.change(now, scope, |record| {
                    record.clear(*since);
                    true
                });
            }
            Verdict::Clear { scope, since } => {
                self.change(now, scope, |record| record.clear(*since));
            }
            Verdict::Learn { group, limit } => {
                self.groups.entry(Arc::clone(group)).or_default().record.learn(now, *limit);
            }
            Verdict::Tighten { group, limits, since } => {
                self.groups.entry(Arc::clone(group)).or_default().record.tighten(now, *limits, *since);
            }
        }
    }

    /// The record as it is now, if `edit` says that it changed it.
    fn change(
        &mut self,
        now: Millis,
        scope: &Scope,
        edit: impl FnOnce(&mut ScopeRecord) -> bool,
    ) -> Option<ScopeRecord> {
        let entry = self.scopes.entry(scope.clone()).or_default();
        if !edit(&mut entry.record) {
            return None;
        }
        self.generation += 1;
        self.changes.remove(&entry.generation);
        self.changes.insert(self.generation, scope.clone());
        entry.generation = self.generation;
        entry.changed_at = now;
        Some(entry.record)
    }

    fn changed_since(&self, seen: u64) -> Vec<ScopeChange> {
        let newer = self.changes.range(seen.saturating_add(1)..).map(|(_, scope)| scope);
        newer.map(|scope| ScopeChange { scope: scope.clone(), record: self.record(scope) }).collect()
    }

    fn record(&self, scope: &Scope) -> ScopeRecord {
        self.scopes.get(scope).map(|entry| entry.record).unwrap_or_default()
    }

    /// Drops what is no longer needed, once in a while.
    fn sweep(&mut self, now: Millis) {
        if now.abs_diff(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        self.groups.retain(|_, account| account.record.kept_until() > now);
        self.scopes.retain(|_, entry| entry.changed_at + KEPT_FOR > now);
        self.changes.retain(|_, scope| self.scopes.contains_key(scope));
        self.issuers.retain(|_, issuer| issuer.heard_at + ISSUER_KEPT_FOR > now);
    }
}

#[async_trait]
impl RateLimiter for LocalLimiter {
    async fn reserve(
        &self,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
    ) -> Result<Reserved, LimiterError> {
        let (mut books, now) = self.open();
        let changed = books.changed_since(seen);
        let mut reply = Reserved { now, generation: books.generation, changed, ..Reserved::default() };
        if reply.changed.is_empty() {
            for ask in asks.iter().enumerate() {
                books.reserve_one(now, ask, candidates, &mut reply);
            }
        }
        Ok(reply)
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        let (mut books, now) = self.open();
        books.sweep(now);
        let mut freed = Vec::new();
        let issuer = books.issuers.entry(batch.epoch).or_default();
        issuer.heard_at = now;
        if issuer.is_new(batch.number) {
            freed.extend(batch.settlements.iter().filter_map(|one| books.settle_one(now, one)));
            for verdict in &batch.verdicts {
                books.apply(now, verdict, &batch);
            }
        }
        Ok(Settled { now, generation: books.generation, changed: books.changed_since(batch.seen), freed })
    }

    async fn snapshot(&self, groups: &[Candidate], scopes: &[Scope]) -> Result<Snapshot, LimiterError> {
        let (books, now) = self.open();
        let unused = QuotaRecord::default();
        let usage = |candidate: &Candidate| {
            books
                .groups
                .get(&candidate.group)
                .map_or(&unused, |account| &account.record)
                .usage(now, candidate.limits)
        };
        Ok(Snapshot {
            now,
            groups: groups.iter().map(usage).collect(),
            scopes: scopes.iter().map(|scope| books.record(scope)).collect(),
        })
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        let (mut books, now) = self.open();
        if let Some(account) = scope.group().and_then(|group| books.groups.get_mut(&group)) {
            account.record.forgive();
        }
        if books.scopes.contains_key(scope) {
            books.change(now, scope, |record| {
                record.reset(now);
                true
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::key::{KeyId, Limits};
    use crate::outcome::Reason;

    #[tokio::test]
    async fn what_nobody_needs_any_more_is_dropped() {
        let clock = ManualClock::default();
        let limiter = LocalLimiter::new(Arc::new(clock.clone()));
        let scope = |number: u32| Scope::Project(format!("p{number}").as_str().into());
        let sizes = || {
            let books = limiter.open().0;
            assert_eq!(books.changes.len(), books.scopes.len());
            (books.groups.len(), books.scopes.len(), books.issuers.len())
        };
        for number in 0..50 {
            let group = Arc::new(Group { project: format!("p{number}").as_str().into(), model: "m".into() });
            let key = KeyId::parse("k").unwrap();
            let candidate = Candidate { group, limits: Limits::default(), key };
            let ask = Ask { tokens: 1, probe_ttl: Duration::from_secs(1) };
            limiter.reserve(&[candidate], &[ask], u64::MAX).await.unwrap();
            for _ in 0..3 {
                let (reason, span) = (Reason::Cooldown, Span::Backoff);
                let since = limiter.open().1;
                clock.advance(Duration::from_secs(1));
                let verdicts = vec![Verdict::Block { scope: scope(number), reason, span, since }];
                let batch = SettleBatch { epoch: number.into(), verdicts, ..SettleBatch::default() };
                limiter.settle(batch).await.unwrap();
            }
        }
        assert_eq!(sizes(), (50, 50, 50));
        let ping = |epoch| SettleBatch { epoch, ..SettleBatch::default() };
        clock.advance(Duration::from_secs(24 * 3600));
        limiter.settle(ping(99)).await.unwrap();
        assert_eq!(sizes(), (0, 50, 51));
        clock.advance(Duration::from_secs(30 * 3600));
        limiter.settle(ping(99)).await.unwrap();
        assert_eq!(sizes(), (0, 0, 1));

        // whoever still believes in a block is told when he clears it
        let verdicts = vec![Verdict::Clear { scope: scope(1), since: limiter.open().1 }];
        let seen = limiter.open().0.generation;
        let batch = SettleBatch { epoch: 99, number: 1, seen, verdicts, ..SettleBatch::default() };
        let settled = limiter.settle(batch).await.unwrap();
        assert_eq!(settled.changed.len(), 1);
        assert!(settled.changed[0].record.is_healthy());
    }
}
