//! The limiter of one process: the books in memory. Also the reference that every other limiter is
//! held against.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;

use crate::books::{self, COUNTERS_KEPT_FOR, Home, ISSUER_KEPT_FOR, IssuerRecord, SCOPE_KEPT_FOR};
use crate::clock::Clock;
use crate::counter::{CounterRecord, Tally};
use crate::key::KeyId;
use crate::limit::{
    Ask, Candidate, Disposition, Group, LimiterError, Millis, RateLimiter, Reserved, ScopeChange,
    SettleBatch, Settled, Settlement, Snapshot,
};
use crate::map::Map;
use crate::outcome::{Reason, Scope};
use crate::quota::QuotaRecord;
use crate::scope::ScopeRecord;

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

/// The records in memory.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) groups: Map<Arc<Group>, Account>,
    scopes: Map<Scope, ScopeEntry>,
    /// Scopes by the generation of their last change.
    changes: BTreeMap<u64, Scope>,
    generation: u64,
    reservations: u64,
    issuers: Map<u64, IssuerRecord>,
    counters: Map<KeyId, CounterRecord>,
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
pub(crate) struct Account {
    pub(crate) record: QuotaRecord,
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
    /// Drops what is no longer needed, once in a while.
    pub(crate) fn sweep(&mut self, now: Millis) {
        if now.abs_diff(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        self.groups.retain(|_, account| account.record.kept_until() > now);
        self.scopes.retain(|_, entry| entry.changed_at + SCOPE_KEPT_FOR > now);
        self.changes.retain(|_, scope| self.scopes.contains_key(scope));
        self.issuers.retain(|_, issuer| issuer.heard_at + ISSUER_KEPT_FOR > now);
        self.counters.retain(|_, counters| counters.last_used + COUNTERS_KEPT_FOR > now);
    }
}

impl Home for Books {
    fn quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<R, LimiterError> {
        let account = match self.groups.get_mut(group) {
            Some(account) => account,
            None => self.groups.entry(Arc::clone(group)).or_default(),
        };
        Ok(edit(&mut account.record))
    }

    fn known_quota<R>(
        &mut self,
        group: &Arc<Group>,
        edit: impl FnOnce(&mut QuotaRecord) -> R,
    ) -> Result<Option<R>, LimiterError> {
        Ok(self.groups.get_mut(group).map(|account| edit(&mut account.record)))
    }

    fn scope(&mut self, scope: &Scope) -> Result<Option<ScopeRecord>, LimiterError> {
        Ok(self.scopes.get(scope).map(|entry| entry.record))
    }

    fn put_scope(
        &mut self,
        scope: &Scope,
        record: ScopeRecord,
        generation: u64,
        now: Millis,
    ) -> Result<(), LimiterError> {
        let entry = self.scopes.entry(scope.clone()).or_default();
        self.changes.remove(&entry.generation);
        self.changes.insert(generation, scope.clone());
        *entry = ScopeEntry { record, generation, changed_at: now };
        self.generation = generation;
        Ok(())
    }

    fn generation(&mut self) -> Result<u64, LimiterError> {
        Ok(self.generation)
    }

    fn changed_since(&mut self, seen: u64) -> Result<Vec<ScopeChange>, LimiterError> {
        let newer = self.changes.range(seen.saturating_add(1)..).map(|(_, scope)| scope);
        let change = |scope: &Scope| {
            let record = self.scopes.get(scope).map(|entry| entry.record).unwrap_or_default();
            ScopeChange { scope: scope.clone(), record }
        };
        Ok(newer.map(change).collect())
    }

    fn is_new(&mut self, epoch: u64, number: u64, now: Millis) -> Result<bool, LimiterError> {
        let issuer = self.issuers.entry(epoch).or_default();
        issuer.heard_at = now;
        Ok(issuer.is_new(number))
    }

    fn count(&mut self, tally: &Tally, _now: Millis) -> Result<(), LimiterError> {
        match self.counters.get_mut(&tally.key) {
            Some(counters) => counters.add(tally),
            None => self.counters.entry(tally.key.clone()).or_default().add(tally),
        }
        Ok(())
    }

    fn counted(&mut self, key: &KeyId) -> Result<CounterRecord, LimiterError> {
        Ok(self.counters.get(key).copied().unwrap_or_default())
    }

    fn next_reservation(&mut self) -> u64 {
        self.reservations += 1;
        self.reservations
    }

    fn turned_away(&mut self, group: &Arc<Group>, reason: Reason) {
        if let Some(account) = self.groups.get_mut(group) {
            account.turned_away.note(reason);
        }
    }

    fn worth_telling(&mut self, settlement: &Settlement) -> bool {
        let account = self.groups.get_mut(&settlement.reservation.group);
        account.is_some_and(|account| account.turned_away.may_return(settlement))
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
        books::reserve(&mut *books, now, candidates, asks, seen)
    }

    async fn settle(&self, batch: SettleBatch) -> Result<Settled, LimiterError> {
        let (mut books, now) = self.open();
        books.sweep(now);
        books::settle(&mut *books, now, &batch)
    }

    async fn snapshot(
        &self,
        groups: &[Candidate],
        scopes: &[Scope],
        keys: &[KeyId],
    ) -> Result<Snapshot, LimiterError> {
        let (mut books, now) = self.open();
        books::snapshot(&mut *books, now, groups, scopes, keys)
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        let (mut books, now) = self.open();
        books::reset(&mut *books, now, scope)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::key::Limits;
    use crate::limit::{Span, Verdict};

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
