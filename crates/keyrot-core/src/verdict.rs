//! From the outcome of a call to what the limiter is told and what the caller does next. Pure:
//! docs/failover.md has this file as a table.

use std::sync::Arc;
use std::time::Duration;

use crate::cooldown::LONGEST_NAMED_DELAY;
use crate::day::pacific_day_end;
use crate::key::{KeyId, KeyMetadata, Limits};
use crate::limit::{Group, Millis, Span, Verdict};
use crate::outcome::{Blame, Effect, Outcome, Quota, Reason, Scope};
use crate::plan::{Plan, Tried};
use crate::renewal::Reread;
use crate::roster::Tick;
use crate::slots::Spot;
use crate::state::PoolState;

/// So long after midnight a refusal for the day is not yet believed for the new one.
const NEW_DAY: Millis = 20_000;

/// What a failover loop does after an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another try may help: another key, or this one after a back-off.
    Retry,
    /// The model is the trouble: a fallback model, nothing else.
    OtherModel,
    /// The key's secret was replaced meanwhile: the same key at once.
    SameKey,
    /// Nothing more to try.
    Stop,
}

/// The call that is judged.
pub(crate) struct Judged<'a> {
    pub(crate) spot: Spot,
    pub(crate) key: &'a Arc<KeyMetadata>,
    pub(crate) group: &'a Arc<Group>,
    pub(crate) limits: Limits,
    /// The limiter's time when it was leased.
    pub(crate) since: Millis,
    /// The pool's time when it was sent.
    pub(crate) begun: Tick,
    /// What became of the secret that it was sent with.
    pub(crate) secret: Reread,
}

/// What follows from an outcome.
#[derive(Debug)]
pub(crate) struct Judgement {
    pub(crate) verdicts: Vec<Verdict>,
    /// Keys whose block was a mistake: the host was to blame.
    pub(crate) pardoned: Vec<KeyId>,
    pub(crate) next: Next,
    /// As what it counts for its key; `None` if it is no fault and no success of the key's.
    pub(crate) counted: Option<Counted>,
}

/// What a call adds to the counters of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Success,
    Error,
}

impl Counted {
    fn of(outcome: &Outcome) -> Option<Self> {
        match (outcome.effect, outcome.blame) {
            (Effect::Success, _) => Some(Self::Success),
            (_, Blame::Caller) => None,
            _ => Some(Self::Error),
        }
    }
}

impl Judgement {
    /// For a call whose key was taken out of the pool meanwhile.
    pub(crate) fn of_a_stranger(outcome: &Outcome) -> Self {
        let next = match outcome.effect {
            Effect::Success | Effect::Fail => Next::Stop,
            _ => Next::Retry,
        };
        Self { verdicts: Vec::new(), pardoned: Vec::new(), next, counted: Counted::of(outcome) }
    }

    /// What a call with the old secret has shown says nothing about the one that is in use now.
    fn spare_the_new_secret(&mut self, call: &Judged<'_>) {
        if call.secret == Reread::Replaced {
            self.verdicts.retain(|verdict| !matches!(verdict, Verdict::Block { scope: Scope::Key(_), .. }));
        }
    }
}

impl PoolState {
    /// Books an outcome and says what follows from it.
    pub(crate) fn judge(&mut self, call: &Judged<'_>, outcome: &Outcome, now: Tick) -> Judgement {
        let counted = self.count(call, outcome);
        let mut judgement =
            Judgement { verdicts: Vec::new(), pardoned: Vec::new(), next: Next::Retry, counted };
        if outcome.effect == Effect::Success {
            judgement.next = Next::Stop;
            judgement.verdicts = self.success(call, now);
            return judgement;
        }
        let project = Scope::Project(call.group.project.clone());
        let of_blame = match outcome.blame {
            Blame::Key => Scope::Key(call.key.key_id.clone()),
            Blame::Project => project.clone(),
            _ => call.group.scope(),
        };
        let named =
            outcome.retry_after.map_or(Span::Backoff, |delay| Span::Named(delay.min(LONGEST_NAMED_DELAY)));
        let mut block = |scope: Scope, reason: Reason, span: Span| {
            judgement.verdicts.push(Verdict::Block { scope, reason, span, since: call.since });
        };
        match outcome.effect {
            Effect::Success | Effect::Fail => judgement.next = Next::Stop,
            Effect::Cooldown => block(of_blame, cooldown_reason(outcome), named),
            Effect::UntilPacificMidnight => {
                block(call.group.scope(), Reason::DayQuota, rest_of_the_day(call.since));
            }
            Effect::NoQuota => block(call.group.scope(), Reason::NoQuota, Span::Named(LONGEST_NAMED_DELAY)),
            Effect::ProjectRejected => block(project, Reason::ProjectRejected, Span::Backoff),
            Effect::OutOfCredit => block(project, Reason::OutOfCredit, Span::Backoff),
            Effect::ModelMissing => {
                block(call.group.scope(), Reason::ModelMissing, Span::Backoff);
                judgement.next = Next::OtherModel;
            }
            Effect::Overload => {
                let model = self.groups[call.spot.group as usize].model;
                if self.models[model as usize].evidence.overload(&call.group.project, now) {
                    block(call.group.scope(), Reason::ModelOverloaded, named);
                }
            }
            Effect::KeyRejected if call.secret == Reread::Replaced => judgement.next = Next::SameKey,
            // perhaps it is another one already: no evidence against the host
            Effect::KeyRejected if call.secret == Reread::Unknown => {
                block(Scope::Key(call.key.key_id.clone()), Reason::KeyRejected, Span::Backoff);
            }
            Effect::KeyRejected => match self.host.refusal(&call.key.key_id, &outcome.detail, now) {
                Some(pardoned) => {
                    judgement.pardoned = pardoned;
                    judgement.next = Next::Stop;
                }
                None => block(Scope::Key(call.key.key_id.clone()), Reason::KeyRejected, Span::Backoff),
            },
            Effect::Transient => {
                let others_work = self.successes.of_another_than(&call.key.key_id, call.begun);
                if others_work && self.another_is_ready(call, now) {
                    block(Scope::Key(call.key.key_id.clone()), Reason::Cooldown, named);
                }
            }
        }
        if let Some(limit) = outcome.learned {
            judgement.verdicts.push(Verdict::Learn { group: Arc::clone(call.group), limit });
            if limit.quota != Quota::RequestsPerDay {
                let group = Arc::clone(call.group);
                judgement.verdicts.push(Verdict::Tighten { group, limits: call.limits, since: call.since });
            }
        }
        judgement.spare_the_new_secret(call);
        judgement
    }

    fn success(&mut self, call: &Judged<'_>, now: Tick) -> Vec<Verdict> {
        let Self { keys, groups, projects, models, .. } = self;
        let (key, group) = (&keys[call.spot.key as usize], &groups[call.spot.group as usize]);
        models[group.model as usize].evidence.success(&call.group.project, now);
        self.host.success();
        self.successes.note(&call.key.key_id, now);
        let mut verdicts = Vec::new();
        let mut clear = |scope: Scope| verdicts.push(Verdict::Clear { scope, since: call.since });
        if key.block.strikes > 0 {
            clear(Scope::Key(call.key.key_id.clone()));
        }
        if projects[group.project as usize].block.strikes > 0 {
            clear(Scope::Project(call.group.project.clone()));
        }
        if group.block.strikes > 0 {
            clear(call.group.scope());
        }
        verdicts
    }

    fn count(&mut self, call: &Judged<'_>, outcome: &Outcome) -> Option<Counted> {
        let counters = &mut self.keys[call.spot.key as usize].counters;
        let counted = Counted::of(outcome);
        match counted {
            Some(Counted::Success) => counters.success += 1,
            Some(Counted::Error) => {
                counters.error += 1;
                if call.secret != Reread::Replaced {
                    counters.last_error = Some(outcome.detail.clone().into_owned());
                }
            }
            None => {}
        }
        counted
    }

    /// True if the model can be served now without this key.
    fn another_is_ready(&mut self, call: &Judged<'_>, now: Tick) -> bool {
        let request = crate::KeyRequest::model(call.group.model.as_str());
        let tried = Tried { keys: vec![call.key.key_id.clone()], ..Tried::default() };
        let mut rng = fastrand::Rng::with_seed(0); // any other key will do
        let model = request.model.clone();
        matches!(self.plan(&request, model.as_ref(), &tried, now, &mut rng), Plan::Chosen(_))
    }
}

/// How long a refusal for the day holds. That of a call from the first moments of a day may be of the day before: its
/// books are closed a little later than ours, or our clock is fast. Taken at its word it would cost the whole new day.
fn rest_of_the_day(leased: Millis) -> Span {
    let is_new = pacific_day_end(leased.saturating_sub(NEW_DAY)) <= leased;
    if is_new { Span::Named(Duration::from_millis(NEW_DAY)) } else { Span::DayEnd }
}

fn cooldown_reason(outcome: &Outcome) -> Reason {
    match outcome.learned.map(|limit| limit.quota) {
        Some(Quota::RequestsPerMinute) => Reason::MinuteRequests,
        Some(Quota::TokensPerMinute) => Reason::MinuteTokens,
        _ => Reason::Cooldown,
    }
}

/// The pause before the same key is tried again: 0.5 s, 1 s, 2 s and up to as much again.
pub(crate) fn same_key_pause(retry: u32, rng: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(500 << retry.min(4)).mul_f64(1.0 + rng.f64())
}
