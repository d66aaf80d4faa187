//! What holds while a shared limiter cannot be reached: the policy, and the books of this process that
//! it is applied to.

use std::sync::Arc;

use crate::books::{self, Home};
use crate::key::Limits;
use crate::limit::{
    Ask, Candidate, Group, LimiterError, Millis, PastCalls, Refusal, Reservation, Reserved, ScopeChange,
    SettleBatch, Settled, Verdict,
};
use crate::local_limiter::{Account, Books};
use crate::map::Map;
use crate::outcome::{Reason, Scope};
use crate::window::WINDOW;

/// A part that holds nothing is looked at again after this time.
const TRY_AGAIN: Millis = 1_000;

/// What holds while a shared limiter cannot be reached; `KEYROT_REDIS_FAILURE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// Calls go on without limits. Cooldowns still work in each process.
    #[default]
    Open,
    /// Each process spends its part of every limit.
    Share,
    /// Calls are refused.
    Closed,
}

impl FailurePolicy {
    /// `open`, `share` or `closed`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Share => "share",
            Self::Closed => "closed",
        }
    }

    /// The policy of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Share, Self::Closed].into_iter().find(|policy| policy.name() == name)
    }
}

/// What this process was granted, whoever granted it, and what of that the limiter does not know yet.
#[derive(Default)]
pub(crate) struct OwnBooks {
    /// Every call of this process, and every block that it knows.
    all: Books,
    /// Calls that were granted here while the limiter was away.
    away: Books,
    /// Requests and tokens that the limiter is being asked for. Its answer may be a grant, so they are spent until
    /// it is known.
    asked: Map<Arc<Group>, (u32, u64)>,
    lost: Option<Lost>,
}

/// The limiter was lost, or its memory.
///
/// All processes together had no more in the window then than the limit. If none of them has more than
/// it had, nor more than its part, that stays so; when the window is over each may have its part.
struct Lost {
    at: Millis,
    /// What this process had in the window.
    held: Map<Arc<Group>, (u32, u64)>,
}

/// The limiter's own reservations, and those that were granted here.
pub(crate) const THERE: u8 = 0;
pub(crate) const HERE: u8 = 1;

/// What may be spent from a process's own books.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spends {
    Anything,
    Part { processes: u32 },
}

impl OwnBooks {
    /// Grants from these books alone.
    pub(crate) fn reserve(
        &mut self,
        now: Millis,
        candidates: &[Candidate],
        asks: &[Ask],
        seen: u64,
        spends: Spends,
    ) -> Result<Reserved, LimiterError> {
        let limits = |candidate: &Candidate| match spends {
            Spends::Part { processes } => self.part(now, candidate, processes),
            // a key that is never to be used is not used
            Spends::Anything if candidate.limits.forbids_everything() => candidate.limits,
            Spends::Anything => Limits::default(),
        };
        let limited: Vec<Candidate> = candidates
            .iter()
            .map(|candidate| Candidate { limits: limits(candidate), ..candidate.clone() })
            .collect();
        let mut reply = books::reserve(&mut self.all, now, &limited, asks, seen)?;
        for grant in &mut reply.grants {
            grant.reservation.home = HERE;
            note(&mut self.away, now, &grant.reservation)?;
        }
        for refusal in &mut reply.refused {
            *refusal = self.soften(*refusal, now, &candidates[refusal.candidate], asks[refusal.ask].tokens);
        }
        Ok(reply)
    }

    /// Why this process would exceed its part of the limits, if it would.
    pub(crate) fn exceeds_share(
        &self,
        now: Millis,
        candidate: &Candidate,
        ask: &Ask,
        processes: u32,
    ) -> Option<(Option<Millis>, Reason)> {
        let limits = self.part(now, candidate, processes);
        let known = self.all.groups.get(&candidate.group);
        let mut record = known.map(|account| account.record.clone()).unwrap_or_default();
        let denied = record.reserve(now, ask.tokens, limits, ask.probe_ttl).err()?;
        if denied.reason == Reason::Probing {
            return None; // the limiter knows better who is under way
        }
        let refusal = Refusal { ask: 0, candidate: 0, not_before: denied.not_before, reason: denied.reason };
        let Refusal { not_before, reason, .. } = self.soften(refusal, now, candidate, ask.tokens);
        Some((not_before, reason))
    }

    /// The limiter is asked for a call of one of these groups.
    pub(crate) fn note_asked(&mut self, groups: &[Arc<Group>], tokens: u64) {
        for group in groups {
            let (requests, all_tokens) = self.asked.entry(Arc::clone(group)).or_default();
            *requests += 1;
            *all_tokens += tokens;
        }
    }

    /// It has answered, or nobody waits for its answer any more.
    pub(crate) fn note_answered(&mut self, groups: &[Arc<Group>], tokens: u64) {
        for group in groups {
            let Some((requests, all_tokens)) = self.asked.get_mut(group) else { continue };
            *requests -= 1;
            *all_tokens -= tokens;
            if *requests == 0 {
                self.asked.remove(group);
            }
        }
    }

    /// The limiter has granted a call.
    pub(crate) fn note_grant(&mut self, now: Millis, taken: &Reservation) -> Result<(), LimiterError> {
        note(&mut self.all, now, taken)
    }

    /// The limiter has told of a block.
    pub(crate) fn note_changes(&mut self, now: Millis, changed: &[ScopeChange]) -> Result<(), LimiterError> {
        for ScopeChange { scope, record } in changed {
            if self.all.scope(scope)? != Some(*record) {
                let generation = (self.all.generation()? + 1).max(now);
                self.all.put_scope(scope, *record, generation, now)?;
            }
        }
        Ok(())
    }

    pub(crate) fn settle(&mut self, now: Millis, batch: &SettleBatch) -> Result<Settled, LimiterError> {
        self.all.sweep(now);
        self.away.sweep(now);
        let granted_here = SettleBatch {
            settlements: batch
                .settlements
                .iter()
                .filter(|one| one.reservation.home == HERE)
                .cloned()
                .collect(),
            verdicts: Vec::new(),
            tallies: Vec::new(),
            ..*batch
        };
        books::settle(&mut self.away, now, &granted_here)?;
        books::settle(&mut self.all, now, batch)
    }

    pub(crate) fn reset(&mut self, now: Millis, scope: &Scope) -> Result<(), LimiterError> {
        books::reset(&mut self.all, now, scope)
    }

    pub(crate) fn all(&mut self) -> &mut Books {
        &mut self.all
    }

    /// What the limiter has to book: what was granted while it was away, or everything if it has lost
    /// its memory.
    pub(crate) fn memories(&self, now: Millis, everything: bool) -> Vec<Verdict> {
        let books = if everything { &self.all } else { &self.away };
        let memory = |(group, account): (&Arc<Group>, &Account)| {
            let (calls, day_end, day_requests) = account.record.recollection(now);
            let group = Arc::clone(group);
            (!calls.is_empty() || day_requests > 0).then_some(Verdict::Recall {
                group,
                calls,
                day_end,
                day_requests,
            })
        };
        books.groups.iter().filter_map(memory).collect()
    }

    /// The limiter is lost, or its memory is: from now on the window of this process is what it is.
    pub(crate) fn note_loss(&mut self, now: Millis) {
        let held = |(group, account): (&Arc<Group>, &Account)| {
            let usage = account.record.usage(now, Limits::default());
            (Arc::clone(group), (usage.minute_requests, usage.minute_tokens))
        };
        self.lost = Some(Lost { at: now, held: self.all.groups.iter().map(held).collect() });
    }

    /// What of each limit this process may spend beyond what it has asked for.
    fn part(&self, now: Millis, candidate: &Candidate, processes: u32) -> Limits {
        let part = self.whole_part(now, candidate, processes);
        let (requests, tokens) = self.asked.get(&candidate.group).copied().unwrap_or_default();
        Limits::new(
            part.rpm.map(|rpm| rpm.saturating_sub(requests)),
            part.tpm.map(|tpm| tpm.saturating_sub(tokens)),
            part.rpd.map(|rpd| rpd.saturating_sub(requests)),
        )
    }

    fn whole_part(&self, now: Millis, candidate: &Candidate, processes: u32) -> Limits {
        let part = share(candidate.limits, processes);
        match self.lost.as_ref().filter(|lost| processes > 1 && lost.at + WINDOW > now) {
            Some(lost) => {
                let (requests, tokens) = lost.held.get(&candidate.group).copied().unwrap_or_default();
                let least = |limit: Option<u32>| limit.map(|limit| limit.min(requests));
                Limits::new(least(part.rpm), part.tpm.map(|tpm| tpm.min(tokens)), part.rpd)
            }
            None => part,
        }
    }

    /// A part of a limit is not the limit: what is never possible in it is possible later. And what was asked for may
    /// be refused, which makes room.
    fn soften(&self, refusal: Refusal, now: Millis, candidate: &Candidate, tokens: u64) -> Refusal {
        let whole = candidate.limits;
        let softened = match refusal.reason {
            Reason::LimitZero if !whole.forbids_everything() => Some(Reason::MinuteRequests),
            Reason::TooLarge if whole.tpm.is_none_or(|tpm| tokens <= tpm) => Some(Reason::MinuteTokens),
            _ => None,
        };
        let soon = now + TRY_AGAIN;
        let not_before = if softened.is_some() {
            let first_minute = self.lost.as_ref().map(|lost| lost.at + WINDOW).filter(|ends| *ends > now);
            Some(first_minute.unwrap_or(soon))
        } else {
            refusal.not_before
        };
        let latest = if self.asked.contains_key(&candidate.group) { soon } else { Millis::MAX };
        Refusal {
            not_before: not_before.map(|at| at.min(latest)),
            reason: softened.unwrap_or(refusal.reason),
            ..refusal
        }
    }

    /// Something was granted here that the limiter does not know.
    pub(crate) fn has_away(&self) -> bool {
        !self.away.groups.is_empty()
    }

    /// It is on its way to the limiter now.
    pub(crate) fn forget_away(&mut self) {
        self.away = Books::default();
    }
}

fn note(books: &mut Books, now: Millis, taken: &Reservation) -> Result<(), LimiterError> {
    let tokens = u32::try_from(taken.tokens).unwrap_or(u32::MAX);
    let call = PastCalls { at: taken.taken_at, requests: 1, tokens };
    books.quota(&taken.group, |record| record.recall(now, &[call], taken.day_end, 1))
}

/// The part of each limit that one of so many processes may spend.
pub(crate) fn share(limits: Limits, processes: u32) -> Limits {
    let processes = processes.max(1);
    Limits::new(
        limits.rpm.map(|rpm| rpm / processes),
        limits.tpm.map(|tpm| tpm / u64::from(processes)),
        limits.rpd.map(|rpd| rpd / processes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_add_up_to_more_than_the_limit() {
        for (rpm, tpm, rpd) in [(10, 1000, 100), (3, 7, 1), (0, 0, 0), (60, 250_000, 1_500)] {
            let limits = Limits::new(Some(rpm), Some(tpm), Some(rpd));
            for processes in [0, 1, 2, 3, 4, 7, 100] {
                let part = share(limits, processes);
                let all = processes.max(1);
                assert!(part.rpm.unwrap() * all <= rpm && part.rpd.unwrap() * all <= rpd);
                assert!(part.tpm.unwrap() * u64::from(all) <= tpm);
            }
        }
        assert_eq!(share(Limits::default(), 4), Limits::default());
    }

    #[test]
    fn names_lead_back() {
        for policy in [FailurePolicy::Open, FailurePolicy::Share, FailurePolicy::Closed] {
            assert_eq!(FailurePolicy::of_name(policy.name()), Some(policy));
        }
        assert_eq!(FailurePolicy::of_name("Open"), None);
    }
}
