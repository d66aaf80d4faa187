//! The books of one (project, model): a coalesced sliding log of the last minute, the count of the
//! day, a pace learned from refusals, and the probes of a group that has yet to prove itself. Pure.
//!
//! Why a log and not fixed minutes or a token bucket: docs/ARCHITECTURE.md, "Counting".

use std::collections::VecDeque;
use std::time::Duration;

use crate::day::pacific_day_end;
use crate::key::Limits;
use crate::limit::{GroupUsage, Millis};
use crate::outcome::{LearnedLimit, Quota, Reason};
use crate::pace::Pace;

/// What a provider calls a minute.
const MINUTE: Millis = 60_000;
/// Added to the minute, for calls that take different times to arrive.
pub(crate) const GUARD: Millis = 1_000;
/// The window that is counted.
pub(crate) const WINDOW: Millis = MINUTE + GUARD;
/// At most so many cells; calls closer together share one.
const CELLS: u64 = 64;
/// Calls in flight in a group that has yet to prove itself.
const PROBES: usize = 2;
/// A call that is in flight for so long without a refusal proves its group: refusals are fast.
const PROVEN_AFTER: Millis = 1_000;
/// A reservation is sent within this time, or it no longer covers the provider's window.
const SEND_WITHIN: Millis = 500;
/// How long a limit that the provider named is believed.
const LEARNED_FOR: Millis = 24 * 3600 * 1000;

/// Calls that were admitted close together. Leaves the window when its last call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) first: Millis,
    pub(crate) last: Millis,
    pub(crate) requests: u32,
    pub(crate) tokens: u64,
}

/// A limit named by the provider, and until when it is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Learned {
    pub(crate) value: u64,
    pub(crate) until: Millis,
}

/// A call in flight in a group that is not proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) started: Millis,
    pub(crate) expires: Millis,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRecord {
    /// Time never goes back inside a record.
    pub(crate) last_now: Millis,
    pub(crate) cells: VecDeque<Cell>,
    pub(crate) requests: u64,
    pub(crate) tokens: u64,
    pub(crate) day_end: Millis,
    pub(crate) day_count: u32,
    /// The provider has said that the day is used up, whatever was counted here.
    pub(crate) day_gone: bool,
    pub(crate) proven: bool,
    pub(crate) probes: [Probe; PROBES],
    /// rpm, tpm, rpd.
    pub(crate) learned: [Learned; 3],
    pub(crate) pace: Pace,
}

/// A request that found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// When it was booked: the record's time.
    pub at: Millis,
    /// The end of the day that was charged.
    pub day_end: Millis,
    /// It must be sent before this time.
    pub send_by: Millis,
    /// It took a probe slot.
    pub probe: bool,
}

/// A request that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Exact: denied just before, granted then, if nothing else happens. `None`: never.
    pub not_before: Option<Millis>,
    /// The window that frees last.
    pub reason: Reason,
}

impl QuotaRecord {
    /// Takes one request and `tokens` from every window, or nothing.
    pub fn reserve(
        &mut self,
        now: Millis,
        tokens: u64,
        limits: Limits,
        probe_ttl: Duration,
    ) -> Result<Admitted, Denied> {
        let now = self.advance(now);
        let limits = self.effective(limits, now);
        if let Some(denied) = self.denied(now, tokens, limits) {
            return Err(denied);
        }
        self.book(now, 1, tokens);
        self.day_count += 1;
        self.pace.book(now, limits.rpm);
        let probe = !self.proven;
        if probe && let Some(slot) = self.probes.iter_mut().find(|slot| slot.expires <= now) {
            let ttl = Millis::try_from(probe_ttl.as_millis()).unwrap_or(MINUTE).clamp(1, MINUTE);
            *slot = Probe { started: now, expires: now + ttl };
        }
        Ok(Admitted { at: now, day_end: self.day_end, send_by: now + SEND_WITHIN, probe })
    }

    /// Gives back what a call took that was never sent.
    pub fn release(&mut self, now: Millis, taken_at: Millis, tokens: u64, day_end: Millis, probe: bool) {
        let now = self.advance(now);
        self.take_from_cell(taken_at, 1, tokens);
        if day_end == self.day_end {
            self.day_count = self.day_count.saturating_sub(1);
        }
        self.pace.release(now);
        if probe {
            self.free_probe(taken_at);
        }
    }

    /// Corrects the tokens of a call that was sent. Sent is spent: its request stays booked.
    ///
    /// Less than reserved is given back to the cell that holds it, if that is still in the window;
    /// more is booked now, which expires later than the call itself and so never admits too much.
    pub fn settle(&mut self, now: Millis, taken_at: Millis, reserved: u64, used: u64) {
        let now = self.advance(now);
        if used < reserved {
            self.take_from_cell(taken_at, 0, reserved - used);
        } else if used > reserved && taken_at + WINDOW > now {
            self.book(now, 0, used - reserved);
        }
    }

    /// The call that took a probe slot is over.
    pub fn free_probe(&mut self, taken_at: Millis) {
        if let Some(slot) = self.probes.iter_mut().find(|slot| slot.started == taken_at && slot.expires > 0) {
            *slot = Probe::default();
        }
    }

    /// The group works: more than two calls may be in flight.
    pub fn prove(&mut self) {
        self.proven = true;
        self.probes = Default::default();
    }

    /// The group failed in a way that has no end named by the provider.
    pub fn doubt(&mut self) {
        self.proven = false;
    }

    /// A person lifted the block: what the provider said of the day and the pace is forgotten.
    pub fn forgive(&mut self) {
        self.day_gone = false;
        self.pace = Pace::default();
    }

    /// The provider named a limit. It only lowers ours, and for 24 h.
    pub fn learn(&mut self, now: Millis, limit: LearnedLimit) {
        let now = self.advance(now);
        if let Some(value) = limit.value.filter(|value| *value > 0) {
            self.learned[slot(limit.quota)] = Learned { value, until: now + LEARNED_FOR };
        }
    }

    /// The provider says that the day's requests are used up.
    /// `since` is when the refused call was leased: the refusal of a day that is over says nothing.
    pub fn day_gone(&mut self, now: Millis, since: Millis) {
        self.advance(now);
        self.day_gone |= pacific_day_end(since) == self.day_end;
    }

    /// The provider refused for the minute. If these books had expected that, nothing changes;
    /// otherwise the group is paced more strictly. `true` if it was.
    pub fn tighten(&mut self, now: Millis, limits: Limits) -> bool {
        let now = self.advance(now);
        let limits = self.effective(limits, now);
        let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
        if over(self.requests, limits.rpm.map(u64::from)) || over(self.tokens, limits.tpm) {
            return false;
        }
        let Some(rpm) = limits.rpm.filter(|rpm| *rpm > 0) else { return false };
        self.pace.tighten(now, rpm);
        true
    }

    /// Usage as of `now`, without changing anything.
    pub fn usage(&self, now: Millis, limits: Limits) -> GroupUsage {
        let mut copy = self.clone();
        let now = copy.advance(now);
        let effective = copy.effective(limits, now);
        GroupUsage {
            minute_requests: u32::try_from(copy.requests).unwrap_or(u32::MAX),
            minute_tokens: copy.tokens,
            day_requests: copy.day_count,
            day_end: copy.day_end,
            effective,
            pace: copy.pace.interval(effective.rpm),
        }
    }

    /// Moves the record's time, never back; drops what has left the window and the day.
    fn advance(&mut self, now: Millis) -> Millis {
        let now = now.max(self.last_now);
        self.last_now = now;
        while let Some(cell) = self.cells.front().filter(|cell| cell.last + WINDOW <= now) {
            self.requests -= u64::from(cell.requests);
            self.tokens -= cell.tokens;
            self.cells.pop_front();
        }
        if now >= self.day_end {
            self.day_end = pacific_day_end(now);
            self.day_count = 0;
            self.day_gone = false;
        } else if self.day_end > now + 25 * 3600 * 1000 {
            self.day_end = pacific_day_end(now); // a clock that was far ahead wrote it
        }
        if !self.proven
            && self.probes.iter().any(|slot| slot.expires > 0 && slot.started + PROVEN_AFTER <= now)
        {
            self.prove();
        }
        self.pace.recover(now);
        now
    }

    /// What keeps a request out, if anything; the constraint that ends last decides.
    fn denied(&self, now: Millis, tokens: u64, limits: Limits) -> Option<Denied> {
        let mut worst: Option<Denied> = None;
        let mut keep = |not_before: Option<Millis>, reason: Reason| {
            let later = match (&worst, not_before) {
                (None, _) => true,
                (Some(Denied { not_before: None, .. }), _) => false,
                (Some(_), None) => true,
                (Some(Denied { not_before: Some(old), .. }), Some(new)) => new > *old,
            };
            if later {
                worst = Some(Denied { not_before, reason });
            }
        };
        if limits.forbids_everything() {
            keep(None, Reason::LimitZero);
        }
        if let Some(tpm) = limits.tpm
            && self.tokens + tokens > tpm
        {
            match self.when_freed(0, (self.tokens + tokens - tpm, tokens > tpm)) {
                Some(at) => keep(Some(at), Reason::MinuteTokens),
                None => keep(None, Reason::TooLarge),
            }
        }
        if let Some(rpm) = limits.rpm.map(u64::from)
            && self.requests >= rpm
            && rpm > 0
        {
            keep(self.when_freed(self.requests + 1 - rpm, (0, false)), Reason::MinuteRequests);
        }
        if self.day_gone || limits.rpd.is_some_and(|rpd| self.day_count >= rpd) {
            keep(Some(self.day_end), Reason::DayQuota);
        }
        if let Some(at) = self.pace.not_before(limits.rpm).filter(|at| *at > now) {
            keep(Some(at), Reason::Pace);
        }
        if !self.proven && self.probes.iter().all(|slot| slot.expires > now) {
            let first = self.probes.iter().map(|slot| slot.expires.min(slot.started + PROVEN_AFTER)).min();
            keep(first, Reason::Probing);
        }
        worst
    }

    /// When so many requests and tokens have left the window; `None` if they never will.
    fn when_freed(&self, requests: u64, (tokens, too_large): (u64, bool)) -> Option<Millis> {
        if too_large {
            return None;
        }
        let (mut freed_requests, mut freed_tokens) = (0, 0);
        for cell in &self.cells {
            freed_requests += u64::from(cell.requests);
            freed_tokens += cell.tokens;
            if freed_requests >= requests && freed_tokens >= tokens {
                return Some(cell.last + WINDOW);
            }
        }
        None
    }

    fn book(&mut self, now: Millis, requests: u32, tokens: u64) {
        self.requests += u64::from(requests);
        self.tokens += tokens;
        match self.cells.back_mut().filter(|cell| now - cell.first <= WINDOW / CELLS) {
            Some(cell) => {
                cell.last = now;
                cell.requests += requests;
                cell.tokens += tokens;
            }
            None => self.cells.push_back(Cell { first: now, last: now, requests, tokens }),
        }
    }

    fn take_from_cell(&mut self, taken_at: Millis, requests: u32, tokens: u64) {
        let Some(cell) = self.cells.iter_mut().find(|cell| cell.first <= taken_at && taken_at <= cell.last)
        else {
            return; // it has left the window already
        };
        let (requests, tokens) = (requests.min(cell.requests), tokens.min(cell.tokens));
        cell.requests -= requests;
        cell.tokens -= tokens;
        self.requests -= u64::from(requests);
        self.tokens -= tokens;
    }

    fn effective(&self, limits: Limits, now: Millis) -> Limits {
        let value = |quota| {
            let learned = self.learned[slot(quota)];
            (learned.until > now).then_some(learned.value)
        };
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        limits.lowest(Limits::new(
            value(Quota::RequestsPerMinute).map(narrow),
            value(Quota::TokensPerMinute),
            value(Quota::RequestsPerDay).map(narrow),
        ))
    }
}

fn slot(quota: Quota) -> usize {
    match quota {
        Quota::RequestsPerMinute => 0,
        Quota::TokensPerMinute => 1,
        Quota::RequestsPerDay => 2,
    }
}
