//! The limiter of one process: the books in memory. Also the reference that every other limiter is
//! held against.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use async_trait::async_trait;

use crate::clock::Clock;
use crate::key::Limits;
use crate::limit::{
    Ask, Candidate, Disposition, Grant, Group, LimiterError, Millis, RateLimiter, Refusal, Reservation,
    Reserved, ScopeChange, SettleBatch, Settled, Settlement, Snapshot, Span, Verdict,
};
use crate::outcome::Scope;
use crate::quota::QuotaRecord;
use crate::scope::ScopeRecord;

/// How many batches of one issuer are remembered to recognise a repeat.
const REMEMBERED_BATCHES: usize = 1024;

/// Counts for one process. Clones share the books.
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

struct Books {
    time: Anchor,
    groups: HashMap<Arc<Group>, QuotaRecord>,
    scopes: HashMap<Scope, (ScopeRecord, u64)>,
    /// Scopes by the generation of their last change.
    changes: BTreeMap<u64, Scope>,
    generation: u64,
    reservations: u64,
    batches: HashMap<u64, BTreeSet<u64>>,
}

/// Wall time that never goes back: monotonic time, moved forward when the wall clock jumps ahead
/// (a machine that slept).
struct Anchor {
    mono: Instant,
    wall: Millis,
}

impl Anchor {
    fn read(&mut self, clock: &dyn Clock) -> Millis {
        let mono = clock.now();
        let elapsed = mono.saturating_duration_since(self.mono);
        let steady = self.wall + millis(elapsed);
        let wall = wall_millis(clock);
        if wall > steady + 1_000 {
            *self = Self { mono, wall };
            return wall;
        }
        steady
    }
}

fn wall_millis(clock: &dyn Clock) -> Millis {
    millis(clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX / 2)
}

impl LocalLimiter {
    /// Empty books.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let time = Anchor { mono: clock.now(), wall: wall_millis(&*clock) };
        let books = Books {
            time,
            groups: HashMap::new(),
            scopes: HashMap::new(),
            changes: BTreeMap::new(),
            generation: 0,
            reservations: 0,
            batches: HashMap::new(),
        };
        Self { clock, books: Arc::new(Mutex::new(books)) }
    }

    fn open(&self) -> (MutexGuard<'_, Books>, Millis) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let now = books.time.read(&*self.clock);
        (books, now)
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
            let record = match self.groups.get_mut(&candidate.group) {
                Some(record) => record,
                None => self.groups.entry(Arc::clone(&candidate.group)).or_default(),
            };
            match record.reserve(now, ask.tokens, candidate.limits, ask.probe_ttl) {
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
                Err(denied) => reply.refused.push(Refusal {
                    candidate: candidate_index,
                    not_before: denied.not_before,
                    reason: denied.reason,
                }),
            }
        }
    }

    fn settle_one(&mut self, now: Millis, settlement: Settlement) -> Option<Arc<Group>> {
        let Settlement { reservation: taken, disposition } = settlement;
        let record = self.groups.get_mut(&taken.group)?;
        match disposition {
            Disposition::Release => {
                record.release(now, taken.taken_at, taken.tokens, taken.day_end, taken.probe);
                Some(taken.group)
            }
            Disposition::Sent { input_tokens, proven } => {
                let used = input_tokens.unwrap_or(taken.tokens);
                record.settle(now, taken.taken_at, taken.tokens, used);
                if taken.probe {
                    record.free_probe(taken.taken_at);
                    if proven {
                        record.prove();
                    }
                }
                (taken.probe || used < taken.tokens).then_some(taken.group)
            }
        }
    }

    fn apply(&mut self, now: Millis, verdict: Verdict, batch: &SettleBatch) {
        match verdict {
            Verdict::Block { scope, reason, span, since } => {
                if let Scope::ProjectModel(project, model) = &scope {
                    let group = Group { project: project.clone(), model: model.clone() };
                    if let Some(record) = self.groups.get_mut(&group) {
                        match span {
                            Span::Backoff => record.doubt(),
                            Span::DayEnd => record.day_gone(now, since),
                            Span::Named(_) => {}
                        }
                    }
                }
                self.change(scope, |record| {
                    record.block(now, since, reason, span, batch.backoff, batch.jitter);
                    true
                });
            }
            Verdict::Clear { scope, since } => {
                if self.scopes.contains_key(&scope) {
                    self.change(scope, |record| record.clear(since));
                }
            }
            Verdict::Learn { group, limit } => {
                self.groups.entry(group).or_default().learn(now, limit);
            }
            Verdict::Tighten { group, limits } => {
                self.groups.entry(group).or_default().tighten(now, limits);
            }
        }
    }

    fn change(&mut self, scope: Scope, edit: impl FnOnce(&mut ScopeRecord) -> bool) {
        let (record, seen_in) = self.scopes.entry(scope.clone()).or_default();
        if edit(record) {
            self.generation += 1;
            self.changes.remove(seen_in);
            *seen_in = self.generation;
            self.changes.insert(self.generation, scope);
        }
    }

    fn changed_since(&self, seen: u64) -> Vec<ScopeChange> {
        if seen >= self.generation {
            return Vec::new();
        }
        self.changes
            .range(seen + 1..)
            .filter_map(|(_, scope)| {
                self.scopes
                    .get(scope)
                    .map(|(record, _)| ScopeChange { scope: scope.clone(), record: *record })
            })
            .collect()
    }

    /// True the first time a batch is seen.
    fn is_new(&mut self, batch: &SettleBatch) -> bool {
        let seen = self.batches.entry(batch.epoch).or_default();
        let oldest = seen.first().copied().unwrap_or(0);
        if seen.len() >= REMEMBERED_BATCHES {
            if batch.number < oldest {
                return false; // older than what is remembered: a repeat
            }
            seen.pop_first();
        }
        seen.insert(batch.number)
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

    async fn settle(&self, mut batch: SettleBatch) -> Result<Settled, LimiterError> {
        let (mut books, now) = self.open();
        let mut freed = Vec::new();
        if books.is_new(&batch) {
            for settlement in std::mem::take(&mut batch.settlements) {
                freed.extend(books.settle_one(now, settlement));
            }
            for verdict in std::mem::take(&mut batch.verdicts) {
                books.apply(now, verdict, &batch);
            }
        }
        Ok(Settled { now, generation: books.generation, changed: books.changed_since(batch.seen), freed })
    }

    async fn snapshot(&self, groups: &[Candidate], scopes: &[Scope]) -> Result<Snapshot, LimiterError> {
        let (books, now) = self.open();
        let empty = QuotaRecord::default();
        let usage = |candidate: &Candidate| {
            let limits: Limits = candidate.limits;
            books.groups.get(&candidate.group).unwrap_or(&empty).usage(now, limits)
        };
        Ok(Snapshot {
            now,
            groups: groups.iter().map(usage).collect(),
            scopes: scopes
                .iter()
                .map(|scope| books.scopes.get(scope).map(|(record, _)| *record).unwrap_or_default())
                .collect(),
        })
    }

    async fn reset(&self, scope: &Scope) -> Result<(), LimiterError> {
        let (mut books, _) = self.open();
        if let Scope::ProjectModel(project, model) = scope {
            let group = Group { project: project.clone(), model: model.clone() };
            if let Some(record) = books.groups.get_mut(&group) {
                record.forgive();
            }
        }
        if books.scopes.contains_key(scope) {
            books.change(scope.clone(), |record| {
                record.reset();
                true
            });
        }
        Ok(())
    }
}
