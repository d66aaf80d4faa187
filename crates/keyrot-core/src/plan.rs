//! Who serves a request: the best priority that has room, inside it a group by weight, inside that
//! a key. Ready members only are looked at, so the cost does not grow with those that rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Exhausted;
use crate::index::{Class, KeyIndex, UnitKeys};
use crate::key::{KeyId, KeyMetadata, Limits, ModelName};
use crate::limit::Group;
use crate::outcome::{Reason, Scope};
use crate::request::KeyRequest;
use crate::roster::Tick;
use crate::slots::KeySlot;
use crate::state::PoolState;

/// A group that can take a call now, and the key to send it with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pick {
    /// The group.
    pub group: Arc<Group>,
    /// Its limits: the lowest that its keys state.
    pub limits: Limits,
    /// The key.
    pub key: Arc<KeyMetadata>,
}

/// What a call has tried already; another is taken first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) keys: Vec<KeyId>,
}

/// Why nothing was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) earliest: Option<Tick>,
    pub(crate) limiting: Option<Scope>,
    pub(crate) counts: BTreeMap<Reason, usize>,
}

/// A reply of [`PoolState::plan`].
pub(crate) enum Plan {
    Picked(Pick),
    Refused(Refused),
    /// No key fits, now or later.
    NoMatch,
}

impl PoolState {
    /// A key of the best priority that has one ready, drawn by weight; or why there is none.
    ///
    /// `now` is in milliseconds since the pool was built.
    pub fn select(
        &mut self,
        request: &KeyRequest,
        now: u64,
        rng: &mut fastrand::Rng,
    ) -> Result<Pick, Option<Exhausted>> {
        match self.plan(request, request.model.as_ref(), &Tried::default(), now, rng) {
            Plan::Picked(pick) => Ok(pick),
            Plan::NoMatch => Err(None),
            Plan::Refused(refused) => Err(Some(Exhausted {
                retry_after: refused.earliest.map(|at| Duration::from_millis(at - now)),
                earliest: None,
                counts: refused.counts,
                limiting: refused.limiting,
            })),
        }
    }

    pub(crate) fn plan(
        &mut self,
        request: &KeyRequest,
        model: Option<&ModelName>,
        tried: &Tried,
        now: Tick,
        rng: &mut fastrand::Rng,
    ) -> Plan {
        let view = match self.views.find(request, model) {
            Some(view) => view,
            None => match self.add_view(Class::of(request, model), now) {
                Some(view) => view,
                None => return Plan::NoMatch,
            },
        };
        let mut plan = Draw { out: Vec::new(), earliest: None, skipped: None };
        if let Some(until) = self.host.gate.blocked(now) {
            plan.skip(until, Scope::Host, Reason::HostSuspected, 0);
        }
        if let Some(model) = model
            && let Some(until) = self.models.get(model).and_then(|known| known.breaker.blocked(now))
        {
            plan.skip(until, Scope::Model(model.clone()), Reason::ModelOverloaded, 0);
        }
        let picked = match plan.skipped {
            Some(_) => None,
            None => self.draw(view, request.input_tokens, tried, now, rng, &mut plan),
        };
        self.put_back(view, &plan.out);
        match picked {
            Some(pick) => Plan::Picked(pick),
            None => Plan::Refused(self.refused(view, plan)),
        }
    }

    fn draw(
        &mut self,
        view: u32,
        tokens: u64,
        tried: &Tried,
        now: Tick,
        rng: &mut fastrand::Rng,
        plan: &mut Draw,
    ) -> Option<Pick> {
        let Self { views, groups, keys, models, .. } = self;
        let view = views.get(view);
        let any_model = view.class.model.is_none();
        for (tier_number, tier) in (0_u32..).zip(&mut view.tiers) {
            tier.roster.wake(now);
            while let Some(unit_number) = tier.roster.draw(rng) {
                let unit = &mut tier.units[unit_number as usize];
                let slot = &groups[unit.group as usize];
                let group = &slot.group;
                let breaker = any_model.then(|| models.get(&group.model)?.breaker.blocked(now)).flatten();
                let too_big = slot.too_big.filter(|(size, until)| *until > now && *size <= tokens);
                if let Some(until) = breaker {
                    plan.skip(until, Scope::Model(group.model.clone()), Reason::ModelOverloaded, 1);
                } else if let Some((_, until)) = too_big {
                    plan.skip(until, group.scope(), Reason::MinuteTokens, 1);
                } else if !tried.groups.contains(group) {
                    let place = (tier_number, unit_number);
                    if let Some(key) = draw_key(&mut unit.keys, keys, tried, now, rng, place, &mut plan.out) {
                        let key = Arc::clone(&keys[key as usize].meta);
                        return Some(Pick { group: Arc::clone(group), limits: slot.limits, key });
                    }
                }
                tier.roster.take_out(unit_number);
                plan.out.push((tier_number, unit_number, None));
            }
        }
        None
    }

    fn put_back(&mut self, view: u32, out: &[(u32, u32, Option<u32>)]) {
        for (tier, unit, member) in out {
            let tier = &mut self.views.get(view).tiers[*tier as usize];
            match (member, &mut tier.units[*unit as usize].keys) {
                (Some(member), UnitKeys::Many { roster, .. }) => roster.put_in(*member),
                _ => tier.roster.put_in(*unit),
            }
        }
    }

    fn refused(&mut self, view: u32, plan: Draw) -> Refused {
        let view = self.views.get(view);
        let mut counts = view.counts();
        let next = view.next_ready();
        let mut best = plan.earliest;
        if let Some((reason, keys)) = plan.skipped {
            *counts.entry(reason).or_default() += keys.max(1);
        }
        if let Some((at, group)) = next
            && plan.skipped.is_none_or(|(_, keys)| keys > 0)
            && best.as_ref().is_none_or(|(until, _)| at < *until)
        {
            best = Some((at, self.groups[group as usize].group.scope()));
        }
        let (earliest, limiting) = best.unzip();
        Refused { earliest, limiting, counts }
    }
}

impl Tried {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.keys.is_empty()
    }
}

/// What one plan took out of the rosters, and what it passed over.
struct Draw {
    /// Tier, unit, and the key inside the unit.
    out: Vec<(u32, u32, Option<u32>)>,
    earliest: Option<(Tick, Scope)>,
    skipped: Option<(Reason, usize)>,
}

impl Draw {
    fn skip(&mut self, until: Tick, scope: Scope, reason: Reason, keys: usize) {
        if self.earliest.as_ref().is_none_or(|(earliest, _)| until < *earliest) {
            self.earliest = Some((until, scope));
        }
        self.skipped = Some((reason, self.skipped.map_or(0, |(_, count)| count) + keys));
    }
}

/// A usable key of a unit that was not tried; those that were are taken out.
fn draw_key(
    members: &mut UnitKeys,
    keys: &[KeySlot],
    tried: &Tried,
    now: Tick,
    rng: &mut fastrand::Rng,
    (tier, unit): (u32, u32),
    out: &mut Vec<(u32, u32, Option<u32>)>,
) -> Option<KeyIndex> {
    let was_tried = |key: KeyIndex| tried.keys.contains(&keys[key as usize].meta.key_id);
    match members {
        UnitKeys::One(key, _) => (!was_tried(*key)).then_some(*key),
        UnitKeys::Many { keys, roster } => {
            roster.wake(now);
            loop {
                let member = roster.draw(rng)?;
                let key = keys[member as usize].0;
                if !was_tried(key) {
                    return Some(key);
                }
                roster.take_out(member);
                out.push((tier, unit, Some(member)));
            }
        }
    }
}
