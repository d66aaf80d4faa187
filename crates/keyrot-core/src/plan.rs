//! Who serves a request: the best priority that has room, inside it a group by weight, inside that
//! a key. Ready members only are looked at, so the cost does not grow with those that rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::index::{Class, GroupIndex, KeyIndex, SEVERAL, UnitKeys};
use crate::key::{KeyId, KeyMetadata, ModelName};
use crate::limit::Group;
use crate::outcome::{Reason, Scope};
use crate::request::KeyRequest;
use crate::roster::{NEVER, Tick};
use crate::slots::{GroupSlot, KeySlot};
use crate::state::PoolState;

/// A group that can take a call now, and the key to send it with; by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub(crate) group: GroupIndex,
    pub(crate) key: KeyIndex,
}

/// What a call has tried already; another is taken first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) keys: Vec<KeyId>,
}

/// What will be free first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limiting {
    Group(GroupIndex),
    Host,
    Model(u32),
    Nothing,
}

/// Nothing can serve the request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    view: u32,
    earliest: Tick,
    limiting: Limiting,
    /// Units that were ready but passed over, by the last reason for it.
    passed_over: Option<(Reason, u32)>,
}

/// A [`Refusal`] in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) earliest: Tick,
    pub(crate) limiting: Option<Scope>,
    pub(crate) counts: BTreeMap<Reason, usize>,
}

/// A reply of [`PoolState::plan`].
pub(crate) enum Plan {
    Chosen(Choice),
    Refused(Refusal),
    /// No key fits, now or later.
    NoMatch,
}

impl Refusal {
    /// When the request can be served, in milliseconds since the pool was built; `None`: never.
    pub fn earliest(&self) -> Option<u64> {
        (self.earliest != NEVER).then_some(self.earliest)
    }
}

impl PoolState {
    /// A key of the best priority that has one ready, drawn by weight. `now` is in milliseconds
    /// since the pool was built.
    ///
    /// # Errors
    /// When one will be ready; `None` if no key fits the request.
    pub fn select(
        &mut self,
        request: &KeyRequest,
        now: u64,
        rng: &mut fastrand::Rng,
    ) -> Result<Choice, Option<Refusal>> {
        match self.plan(request, request.model.as_ref(), &Tried::default(), now, rng) {
            Plan::Chosen(choice) => Ok(choice),
            Plan::Refused(refusal) => Err(Some(refusal)),
            Plan::NoMatch => Err(None),
        }
    }

    /// The key that was chosen.
    pub fn key(&self, choice: Choice) -> &KeyMetadata {
        &self.keys[choice.key as usize].meta
    }

    /// Keeps a key out of selection until this time, in milliseconds since the pool was built.
    pub fn rest(&mut self, key: &KeyId, until: u64, now: u64) {
        if let Some(&index) = self.key_index.get(key) {
            self.keys[index as usize].block.until = until;
            self.key_changed(index, now);
        }
    }

    /// True if a key that was not tried fits the request and is not out for good. Looks at every key: for calls
    /// that have failed several times.
    pub(crate) fn has_untried(&self, request: &KeyRequest, model: Option<&ModelName>, tried: &Tried) -> bool {
        let class = Class::of(request, model);
        let untried_key = |group: &GroupSlot, key: &KeyIndex| {
            let key = &self.keys[*key as usize];
            class.takes(&key.meta, &group.group)
                && key.shut().0 != NEVER
                && !tried.keys.contains(&key.meta.key_id)
        };
        (0..).zip(&self.groups).any(|(index, group)| {
            !tried.groups.contains(&group.group)
                && self.group_shut(index).0 != NEVER
                && group.keys.iter().any(|key| untried_key(group, key))
        })
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
        if let Some(until) = self.host.gate.blocked(now) {
            return Plan::Refused(Refusal::of(view).because(until, Limiting::Host, Reason::HostSuspected));
        }
        let looked_at = self.views.get(view);
        if let Some(model) = looked_at.model
            && let Some(until) = self.models[model as usize].evidence.breaker.blocked(now)
        {
            let limiting = Limiting::Model(model);
            return Plan::Refused(Refusal::of(view).because(until, limiting, Reason::ModelOverloaded));
        }
        if !looked_at.wake(now) {
            let (earliest, limiting) = match looked_at.next_ready() {
                Some((at, group)) => (at, Limiting::Group(group)),
                None => (NEVER, Limiting::Nothing),
            };
            return Plan::Refused(Refusal { view, earliest, limiting, passed_over: None });
        }
        let mut passed = Passed { out: Vec::new(), refusal: Refusal::of(view) };
        let choice = self.draw(request.input_tokens, tried, now, rng, &mut passed);
        self.put_back(view, &passed.out);
        match choice {
            Some(choice) => Plan::Chosen(choice),
            None => {
                if let Some((at, group)) = self.views.get(view).next_ready()
                    && at < passed.refusal.earliest
                {
                    passed.refusal.earliest = at;
                    passed.refusal.limiting = Limiting::Group(group);
                }
                Plan::Refused(passed.refusal)
            }
        }
    }

    /// Whom else the request would go to if the first one has no room, best first: at most `most`, each of another
    /// group. Ends at the first that must be probed, for a probe is one call and has nobody beside it.
    pub(crate) fn others(
        &mut self,
        (request, model): (&KeyRequest, Option<&ModelName>),
        tried: &Tried,
        first: GroupIndex,
        most: usize,
        now: Tick,
        rng: &mut fastrand::Rng,
    ) -> Vec<Choice> {
        let Some(view) = self.views.find(request, model) else { return Vec::new() };
        let mut passed = Passed { out: Vec::new(), refusal: Refusal::of(view) };
        let mut others = Vec::new();
        self.pass_group(first, &mut passed);
        while others.len() < most
            && let Some(choice) = self.draw(request.input_tokens, tried, now, rng, &mut passed)
            && !self.must_be_probed(choice)
        {
            others.push(choice);
            self.pass_group(choice.group, &mut passed);
        }
        self.put_back(view, &passed.out);
        others
    }

    /// The group is not drawn again in this plan, by no key of it.
    fn pass_group(&mut self, group: GroupIndex, passed: &mut Passed) {
        let view = passed.refusal.view;
        for place in self.groups[group as usize].units.iter().filter(|place| place.view == view) {
            if self.views.get(view).tiers[place.tier as usize].roster.take_out(place.unit) {
                passed.out.push((place.tier, place.unit, None));
            }
        }
    }

    /// Inlined: the call would cost the hot path a tenth.
    #[inline(always)]
    fn draw(
        &mut self,
        tokens: u64,
        tried: &Tried,
        now: Tick,
        rng: &mut fastrand::Rng,
        passed: &mut Passed,
    ) -> Option<Choice> {
        let Self { views, groups, keys, models, .. } = self;
        let view = views.get(passed.refusal.view);
        let wary = view.model.is_none() && models.iter().any(|model| model.evidence.breaker.is_suspicious());
        let plain = tried.is_empty() && !wary;
        for (tier_number, tier) in (0_u32..).zip(&mut view.tiers) {
            while let Some(unit) = tier.roster.draw(rng) {
                let hot = tier.hot[unit as usize];
                if plain && hot.key != SEVERAL && !hot.sized {
                    return Some(Choice { group: hot.group, key: hot.key });
                }
                let slot = &groups[hot.group as usize];
                let breaker = models[slot.model as usize].evidence.breaker.blocked(now);
                let too_big = slot.too_big.filter(|(size, until)| *until > now && *size <= tokens);
                if let Some(until) = breaker {
                    let limiting = Limiting::Model(slot.model);
                    passed.refusal = passed.refusal.because(until, limiting, Reason::ModelOverloaded);
                } else if let Some((_, until)) = too_big {
                    let limiting = Limiting::Group(hot.group);
                    passed.refusal = passed.refusal.because(until, limiting, Reason::MinuteTokens);
                } else if !tried.groups.contains(&slot.group) {
                    let members = &mut tier.units[unit as usize].keys;
                    let place = (tier_number, unit);
                    if let Some(key) = draw_key(members, keys, tried, now, rng, place, &mut passed.out) {
                        return Some(Choice { group: hot.group, key });
                    }
                }
                tier.roster.take_out(unit);
                passed.out.push((tier_number, unit, None));
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

    /// A refusal in words. Call it before the state changes.
    pub(crate) fn describe(&mut self, refusal: Refusal) -> Described {
        let mut counts = self.views.get(refusal.view).counts();
        if let Some((reason, keys)) = refusal.passed_over {
            *counts.entry(reason).or_default() += keys as usize;
        }
        let limiting = match refusal.limiting {
            Limiting::Group(group) => Some(self.groups[group as usize].group.scope()),
            Limiting::Host => Some(Scope::Host),
            Limiting::Model(model) => Some(Scope::Model(self.models[model as usize].name.clone())),
            Limiting::Nothing => None,
        };
        Described { earliest: refusal.earliest, limiting, counts }
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

impl Tried {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.keys.is_empty()
    }
}

/// What one plan took out of the rosters, and what it passed over.
struct Passed {
    /// Tier, unit, and the key inside the unit.
    out: Vec<(u32, u32, Option<u32>)>,
    refusal: Refusal,
}

impl Refusal {
    fn of(view: u32) -> Self {
        Self { view, earliest: NEVER, limiting: Limiting::Nothing, passed_over: None }
    }

    /// Adds an obstacle that a ready unit met.
    fn because(mut self, until: Tick, limiting: Limiting, reason: Reason) -> Self {
        if until < self.earliest {
            (self.earliest, self.limiting) = (until, limiting);
        }
        self.passed_over = Some((reason, self.passed_over.map_or(0, |(_, units)| units) + 1));
        self
    }
}
