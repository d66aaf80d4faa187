//! The books of one (project, model): the log of the last minute, the count of the day, a pace
//! learned from refusals, and whether the group has proven itself. Pure.
//!
//! Why a log and not fixed minutes or a token bucket: docs/ARCHITECTURE.md, "Counting".

use std::time::Duration;

use crate::day::pacific_day_end;
use crate::key::Limits;
use crate::limit::{Disposition, GroupUsage, Millis, PastCalls, Reservation};
use crate::outcome::{LearnedLimit, Quota, Reason};
use crate::pace::Pace;
use crate::proof::Proof;
use crate::record_bytes::LARGEST;
use crate::window::{Cell, MINUTE, WINDOW, Window};

/// A reservation is sent within this time, or it no longer covers the provider's window.
pub const SEND_WITHIN: Millis = 500;
/// How long a limit that the provider named is believed.
const LEARNED_FOR: Millis = 24 * 3600 * 1000;
/// A day that ends later was written by a clock that was wrong by more than a day. Until then the
/// day stays: if it were given up, what was counted of it would be forgotten.
const FURTHEST_DAY_END: Millis = (25 + 24) * 3600 * 1000;

/// A limit named by the provider, and until when it is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Learned<T> {
    pub(crate) value: T,
    pub(crate) until: Millis,
}

impl<T: Copy> Learned<T> {
    fn at(self, now: Millis) -> Option<T> {
        (self.until > now).then_some(self.value)
    }
}

/// The limits that the provider named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LearnedLimits {
    pub(crate) rpm: Learned<u32>,
    pub(crate) tpm: Learned<u64>,
    pub(crate) rpd: Learned<u32>,
}

impl LearnedLimits {
    fn untils(&self) -> [Millis; 3] {
        [self.rpm.until, self.tpm.until, self.rpd.until]
    }
}

/// What every limiter stores of a (project, model). It is forgotten at [`kept_until`](Self::kept_until).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuotaRecord {
    /// The record's time, which never goes back; every time in the record but the day's end is of it.
    pub(crate) last_now: Millis,
    /// How far that is ahead of the wall clock, because the clock was put back far.
    pub(crate) ahead: Millis,
    pub(crate) window: Window,
    pub(crate) day_end: Millis,
    pub(crate) day_count: u32,
    /// The provider has said that the day is used up, whatever was counted here.
    pub(crate) day_gone: bool,
    pub(crate) proof: Proof,
    pub(crate) learned: LearnedLimits,
    pub(crate) pace: Pace,
}

/// A request that found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// When it was booked. Two reservations of a record never disagree on which came first, whatever
    /// the clock does.
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
    /// The constraint that ends last.
    pub reason: Reason,
}

impl QuotaRecord {
    /// Takes one request and `tokens` from every window, or nothing. `probe_ttl`: how long a call
    /// that must prove the group keeps its slot if nobody reports, a minute at most.
    ///
    /// # Errors
    /// [`Denied`] says what is used up and until when.
    pub fn reserve(
        &mut self,
        now: Millis,
        tokens: u64,
        limits: Limits,
        probe_ttl: Duration,
    ) -> Result<Admitted, Denied> {
        let send_by = now + SEND_WITHIN;
        let now = self.advance(now);
        if let Some(denied) = self.denied(now, tokens, limits) {
            let Denied { not_before, reason } = self.when_relaxed(now, tokens, limits, denied);
            return Err(Denied { not_before: not_before.map(|at| at - self.ahead), reason });
        }
        self.window.book(now, 1, narrow(tokens));
        self.day_count = self.day_count.saturating_add(1);
        self.pace.book(now, self.effective(limits, now).rpm);
        let probe = self.proof.take(now, Millis::try_from(probe_ttl.as_millis()).unwrap_or(MINUTE));
        Ok(Admitted { at: now, day_end: self.day_end, send_by, probe })
    }

    /// Settles what [`reserve`](Self::reserve) took; true if that made room for somebody.
    ///
    /// A call that was never sent gives everything back. A call that was sent keeps its request and
    /// day unit; fewer tokens than reserved are given back to the cell that holds them, more are
    /// booked now, which expires later than the call itself and so never admits too much. What
    /// belongs to a window or day that is over changes nothing.
    pub fn settle(&mut self, now: Millis, taken: &Reservation, disposition: Disposition) -> bool {
        let now = self.advance(now);
        self.proof.free(taken.taken_at);
        match disposition {
            Disposition::Release => {
                let is_last = self.window.last() == Some(taken.taken_at);
                self.window.give_back(now, taken.taken_at, 1, narrow(taken.tokens));
                if taken.day_end == self.day_end {
                    self.day_count = self.day_count.saturating_sub(1);
                }
                if is_last {
                    self.pace.unbook();
                }
                true
            }
            Disposition::Sent { input_tokens, proven } => {
                let used = input_tokens.unwrap_or(taken.tokens);
                if used < taken.tokens {
                    self.window.give_back(now, taken.taken_at, 0, narrow(taken.tokens - used));
                } else if used > taken.tokens && taken.taken_at + WINDOW > now {
                    self.window.book(now, 0, narrow(used - taken.tokens));
                }
                if proven {
                    self.proof.prove(taken.taken_at);
                }
                taken.probe || used < taken.tokens
            }
        }
    }

    /// The group's scope was blocked without an end named by the provider: it must prove itself
    /// when it comes back.
    pub fn doubt(&mut self, now: Millis) {
        let now = self.advance(now);
        self.proof.doubt(now);
    }

    /// The provider says that the day's requests are used up.
    /// `since` is when the refused call was leased: the refusal of a day that is over says nothing.
    pub fn exhaust_day(&mut self, now: Millis, since: Millis) {
        self.advance(now);
        self.day_gone |= pacific_day_end(since) == self.day_end;
    }

    /// A person lifted the block: what the provider said of limits, day and pace is forgotten.
    pub fn forgive(&mut self) {
        self.day_gone = false;
        self.learned = LearnedLimits::default();
        self.pace = Pace::default();
    }

    /// The provider named a limit. It only lowers ours, and for 24 h.
    pub fn learn(&mut self, now: Millis, limit: LearnedLimit) {
        let until = self.advance(now) + LEARNED_FOR;
        let Some(value) = limit.value.filter(|value| *value > 0) else { return };
        match limit.quota {
            Quota::RequestsPerMinute => self.learned.rpm = Learned { value: narrow(value), until },
            Quota::TokensPerMinute => self.learned.tpm = Learned { value: value.min(LARGEST), until },
            Quota::RequestsPerDay => self.learned.rpd = Learned { value: narrow(value), until },
        }
    }

    /// The provider refused for the minute a call that was leased at `since`. If these books had
    /// expected that, nothing changes; otherwise the group is paced more strictly. `true` if it was.
    pub fn tighten(&mut self, now: Millis, limits: Limits, since: Millis) -> bool {
        let now = self.advance(now);
        let limits = self.effective(limits, now);
        let expected = limits.rpm.is_some_and(|rpm| self.window.requests > rpm)
            || limits.tpm.is_some_and(|tpm| self.window.tokens > tpm);
        match limits.rpm.filter(|rpm| *rpm > 0) {
            Some(rpm) if !expected => self.pace.tighten(now, rpm, since + self.ahead),
            _ => false,
        }
    }

    /// Usage as of `now`, without changing anything.
    pub fn usage(&self, now: Millis, limits: Limits) -> GroupUsage {
        let mut copy = self.clone();
        let now = copy.advance(now);
        let effective = copy.effective(limits, now);
        GroupUsage {
            minute_requests: copy.window.requests,
            minute_tokens: copy.window.tokens,
            day_requests: copy.day_count,
            day_end: copy.day_end,
            effective,
            pace: copy.pace.interval(effective.rpm),
            full: copy
                .denied(now, 0, limits)
                .map(|denied| (denied.reason, denied.not_before.map(|at| at.saturating_sub(copy.ahead)))),
        }
    }

    /// Books calls that were sent without being booked here, as if they had been; see
    /// [`Verdict::Recall`](crate::Verdict::Recall). What has left the window or the day changes nothing.
    pub fn recall(&mut self, now: Millis, calls: &[PastCalls], day_end: Millis, day_requests: u32) {
        let now = self.advance(now);
        for past in calls {
            let at = (past.at + self.ahead).min(now);
            if at + WINDOW > now {
                self.window.insert(at, past.requests, past.tokens);
            }
        }
        if day_end == self.day_end {
            self.day_count = self.day_count.saturating_add(day_requests);
        }
    }

    /// What this record would have another one [`recall`](Self::recall).
    pub fn recollection(&self, now: Millis) -> (Vec<PastCalls>, Millis, u32) {
        let mut copy = self.clone();
        copy.advance(now);
        let past = |cell: &Cell| PastCalls {
            at: cell.last.saturating_sub(copy.ahead),
            requests: cell.requests,
            tokens: cell.tokens,
        };
        (copy.window.cells.iter().map(past).collect(), copy.day_end, copy.day_count)
    }

    /// True if it is worth storing in the place of `before`: more than time has changed.
    pub fn is_news(&self, before: &Self) -> bool {
        let Self { last_now: _, ahead, window, day_end, day_count, day_gone, proof, learned, pace } = self;
        *ahead != before.ahead
            || *window != before.window
            || (*day_end, *day_count, *day_gone) != (before.day_end, before.day_count, before.day_gone)
            || *proof != before.proof
            || *learned != before.learned
            || *pace != before.pace
    }

    /// From then on the record says nothing but that the group was proven once, and is dropped.
    pub fn kept_until(&self) -> Millis {
        let minute = self.window.last().map_or(0, |last| last + WINDOW);
        let [rpm, tpm, rpd] = self.learned.untils();
        let last = [minute, rpm, tpm, rpd, self.pace.over_at()].into_iter().max().unwrap_or(0);
        last.saturating_sub(self.ahead).max(self.day_end)
    }

    /// The record's time at a wall time, after dropping what has left the window and the day.
    ///
    /// While the clock is back by less than a window the record's time stands still. Were it back by
    /// hours that would shut the group for hours: then the record's time goes on from where it was.
    fn advance(&mut self, wall: Millis) -> Millis {
        if wall + self.ahead + WINDOW < self.last_now {
            self.ahead = self.last_now - wall;
        }
        let now = self.last_now.max(wall + self.ahead);
        self.pass_to(now);
        now
    }

    fn pass_to(&mut self, now: Millis) {
        self.last_now = now;
        self.window.advance(now);
        let wall = now - self.ahead;
        if wall >= self.day_end {
            self.day_end = pacific_day_end(wall);
            self.day_count = 0;
            self.day_gone = false;
        } else if self.day_end > wall + FURTHEST_DAY_END {
            self.day_end = pacific_day_end(wall); // what was counted still counts
        }
        self.proof.advance(now);
        self.pace.advance(now);
    }

    /// What keeps a request out, if anything, as the limits are now, in the record's time; the
    /// constraint that ends last decides.
    fn denied(&self, now: Millis, tokens: u64, limits: Limits) -> Option<Denied> {
        let limits = self.effective(limits, now);
        let mut worst: Option<Denied> = None;
        let mut keep = |not_before: Option<Millis>, reason: Reason| {
            let later = match worst.map(|worst| worst.not_before) {
                None => true,
                Some(None) => false,
                Some(Some(old)) => not_before.is_none_or(|new| new > old),
            };
            if later {
                worst = Some(Denied { not_before, reason });
            }
        };
        if limits.forbids_everything() {
            keep(None, Reason::LimitZero);
        }
        if let Some(tpm) = limits.tpm {
            if tokens > tpm.min(u32::MAX.into()) {
                keep(None, Reason::TooLarge);
            } else if self.window.tokens + tokens > tpm {
                keep(self.window.freed_at(0, self.window.tokens + tokens - tpm), Reason::MinuteTokens);
            }
        }
        if let Some(rpm) = limits.rpm.filter(|rpm| *rpm > 0)
            && self.window.requests >= rpm
        {
            let surplus = u64::from(self.window.requests - rpm) + 1;
            keep(self.window.freed_at(surplus, 0), Reason::MinuteRequests);
        }
        if self.day_gone || limits.rpd.is_some_and(|rpd| self.day_count >= rpd) {
            keep(Some(self.day_end + self.ahead), Reason::DayQuota);
        }
        if let Some(at) = self.pace.not_before(limits.rpm).filter(|at| *at > now) {
            keep(Some(at), Reason::Pace);
        }
        if let Some(at) = self.proof.ready_at(now) {
            keep(Some(at), Reason::Probing);
        }
        worst
    }

    /// Brings a refusal forward if a learned limit or a step of the pace ends before it and lets
    /// the request in earlier.
    fn when_relaxed(&self, now: Millis, tokens: u64, limits: Limits, mut denied: Denied) -> Denied {
        let mut later = (now, None::<Self>);
        loop {
            let record = later.1.as_ref().unwrap_or(self);
            let relaxed = record.learned.untils().into_iter().chain(record.pace.relaxed_at());
            let Some(at) = relaxed.filter(|at| *at > later.0).min() else { return denied };
            if denied.not_before.is_some_and(|known| known <= at) {
                return denied;
            }
            let mut record = later.1.unwrap_or_else(|| self.clone());
            record.pass_to(at);
            match record.denied(at, tokens, limits) {
                Some(still) => denied = still,
                None => return Denied { not_before: Some(at), ..denied },
            }
            later = (at, Some(record));
        }
    }

    fn effective(&self, limits: Limits, now: Millis) -> Limits {
        let LearnedLimits { rpm, tpm, rpd } = self.learned;
        limits.lowest(Limits::new(rpm.at(now), tpm.at(now), rpd.at(now)))
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
