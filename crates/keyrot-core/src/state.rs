//! The pool without IO: who can serve a request (plan), and what a block changes (apply). Time and
//! randomness are arguments; nothing here waits, locks or calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::Exhausted;
use crate::evidence::{HostGuard, Latest, ModelEvidence};
use crate::index::{Class, GroupIndex, KeyIndex, UnitRef, Views};
use crate::key::{KeyId, KeyMetadata, Limits, ModelName, ProjectId};
use crate::keyset::KeySet;
use crate::limit::Group;
use crate::outcome::{Reason, Scope};
use crate::roster::{NEVER, Tick};

/// A block of a scope as this process knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) until: Tick,
    pub(crate) reason: Option<Reason>,
    pub(crate) strikes: u32,
    pub(crate) must_probe: bool,
    /// A probe is under way, at most until then.
    pub(crate) probe_until: Tick,
}

impl Block {
    fn shut(&self) -> (Tick, Option<Reason>) {
        if self.probe_until > self.until {
            (self.probe_until, Some(Reason::Probing))
        } else {
            (self.until, self.reason)
        }
    }
}

/// What is counted of a key, per process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) last_used: Option<std::time::SystemTime>,
    pub(crate) success: u64,
    pub(crate) error: u64,
    pub(crate) abandoned: u64,
    pub(crate) last_error: Option<String>,
}

#[derive(Debug)]
pub(crate) struct KeySlot {
    pub(crate) meta: Arc<KeyMetadata>,
    pub(crate) project: ProjectId,
    /// It can never serve as it stands in keys.json.
    pub(crate) unusable: Option<Reason>,
    pub(crate) block: Block,
    /// Its secret cannot be had until then, and why.
    pub(crate) secret: Option<(Tick, String)>,
    pub(crate) counters: Counters,
    units: Vec<UnitRef>,
}

impl KeySlot {
    /// When it is usable, and why not before.
    pub(crate) fn shut(&self) -> (Tick, Option<Reason>) {
        if let Some(reason) = self.unusable {
            return (NEVER, Some(reason));
        }
        let secret = self.secret.as_ref().map_or((0, None), |(until, _)| (*until, Some(Reason::SecretUnavailable)));
        later(self.block.shut(), secret)
    }
}

#[derive(Debug)]
pub(crate) struct GroupSlot {
    pub(crate) group: Arc<Group>,
    pub(crate) limits: Limits,
    pub(crate) keys: Vec<KeyIndex>,
    pub(crate) block: Block,
    /// The limiter had no room, whatever the size of the call.
    pub(crate) refused: (Tick, Option<Reason>),
    /// The limiter had no room for calls of this size and above.
    pub(crate) too_big: Option<(u64, Tick)>,
    units: Vec<UnitRef>,
}

#[derive(Debug, Default)]
pub(crate) struct ProjectSlot {
    pub(crate) block: Block,
    pub(crate) groups: Vec<GroupIndex>,
}

/// The decisions of a pool as a value.
///
/// [`KeyPool`](crate::KeyPool) puts locks, secrets and a limiter around it; simulations and
/// benches can drive it alone.
#[derive(Debug, Default)]
pub struct PoolState {
    pub(crate) keys: Vec<KeySlot>,
    pub(crate) groups: Vec<GroupSlot>,
    pub(crate) projects: HashMap<ProjectId, ProjectSlot>,
    pub(crate) models: HashMap<ModelName, ModelEvidence>,
    pub(crate) host: HostGuard,
    pub(crate) successes: Latest<KeyId>,
    pub(crate) key_index: HashMap<KeyId, KeyIndex>,
    pub(crate) group_index: HashMap<Arc<Group>, GroupIndex>,
    views: Views,
}

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
    /// The state of a fresh pool.
    pub fn new(keys: &KeySet) -> Self {
        let mut state = Self::default();
        for meta in keys.iter() {
            state.add_key(Arc::new(meta.clone()));
        }
        state
    }

    fn add_key(&mut self, meta: Arc<KeyMetadata>) {
        let key = index(self.keys.len());
        let project = meta.quota_project();
        for (model, limits) in meta.served_models() {
            let group = self.group(Arc::new(Group { project: project.clone(), model }));
            let slot = &mut self.groups[group as usize];
            slot.limits = if slot.keys.is_empty() { limits } else { slot.limits.lowest(limits) };
            slot.keys.push(key);
        }
        let unusable = match &*meta {
            KeyMetadata { active: false, .. } => Some(Reason::Inactive),
            KeyMetadata { provider, .. } if provider != "gemini" => Some(Reason::UnknownProvider),
            KeyMetadata { weight: 0, .. } => Some(Reason::WeightZero),
            _ => None,
        };
        self.key_index.insert(meta.key_id.clone(), key);
        self.keys.push(KeySlot {
            meta,
            project,
            unusable,
            block: Block::default(),
            secret: None,
            counters: Counters::default(),
            units: Vec::new(),
        });
    }

    fn group(&mut self, group: Arc<Group>) -> GroupIndex {
        if let Some(found) = self.group_index.get(&group) {
            return *found;
        }
        let new = index(self.groups.len());
        self.projects.entry(group.project.clone()).or_default().groups.push(new);
        self.models.entry(group.model.clone()).or_default();
        self.group_index.insert(Arc::clone(&group), new);
        self.groups.push(GroupSlot {
            group,
            limits: Limits::default(),
            keys: Vec::new(),
            block: Block::default(),
            refused: (0, None),
            too_big: None,
            units: Vec::new(),
        });
        new
    }

    /// Takes over what is known of the keys, groups and projects that are still there.
    pub(crate) fn inherit(&mut self, old: &mut Self) {
        for slot in &mut self.keys {
            let Some(known) = old.key_index.get(&slot.meta.key_id) else { continue };
            let known = &mut old.keys[*known as usize];
            slot.counters = std::mem::take(&mut known.counters);
            if known.meta.secret == slot.meta.secret {
                slot.block = known.block;
                slot.secret = known.secret.take();
            }
        }
        for slot in &mut self.groups {
            if let Some(known) = old.group_index.get(&slot.group) {
                slot.block = old.groups[*known as usize].block;
            }
        }
        for (project, slot) in &mut self.projects {
            slot.block = old.projects.get(project).map(|known| known.block).unwrap_or_default();
        }
        for (model, evidence) in &mut self.models {
            if let Some(known) = old.models.remove(model) {
                *evidence = known;
            }
        }
        self.host = std::mem::take(&mut old.host);
        self.successes = std::mem::take(&mut old.successes);
    }

    /// A key of the best priority that has one ready, drawn by weight; or why there is none.
    ///
    /// `now` is in milliseconds since the pool was built.
    pub fn select(
        &mut self,
        request: &crate::KeyRequest,
        now: u64,
        rng: &mut fastrand::Rng,
    ) -> Result<Pick, Option<Exhausted>> {
        match self.plan(request, request.model.as_ref(), &Tried::default(), now, rng) {
            Plan::Picked(pick) => Ok(pick),
            Plan::NoMatch => Err(None),
            Plan::Refused(refused) => Err(Some(Exhausted {
                retry_after: refused.earliest.map(|at| std::time::Duration::from_millis(at - now)),
                earliest: None,
                counts: refused.counts,
                limiting: refused.limiting,
            })),
        }
    }

    pub(crate) fn plan(
        &mut self,
        request: &crate::KeyRequest,
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
                let group = &groups[unit.group as usize];
                let mut skip = |until: Option<(Tick, Scope, Reason)>| {
                    tier.roster.take_out(unit_number);
                    plan.out.push((tier_number, unit_number, None));
                    if let Some((until, scope, reason)) = until {
                        plan.skip(until, scope, reason, 1);
                    }
                };
                if let Some((_, until)) = group.too_big.filter(|(size, until)| *until > now && *size <= tokens) {
                    skip(Some((until, group.group.scope(), Reason::MinuteTokens)));
                    continue;
                }
                if any_model
                    && let Some(until) = models.get(&group.group.model).and_then(|known| known.breaker.blocked(now))
                {
                    skip(Some((until, Scope::Model(group.group.model.clone()), Reason::ModelOverloaded)));
                    continue;
                }
                if tried.groups.contains(&group.group) {
                    skip(None);
                    continue;
                }
                let key = match &mut unit.keys {
                    crate::index::UnitKeys::One(key, _) => {
                        let untried = !tried.keys.contains(&keys[*key as usize].meta.key_id);
                        untried.then_some(*key)
                    }
                    crate::index::UnitKeys::Many { keys: members, roster } => {
                        roster.wake(now);
                        loop {
                            let Some(member) = roster.draw(rng) else { break None };
                            let key = members[member as usize].0;
                            if !tried.keys.contains(&keys[key as usize].meta.key_id) {
                                break Some(key);
                            }
                            roster.take_out(member);
                            plan.out.push((tier_number, unit_number, Some(member)));
                        }
                    }
                };
                match key {
                    Some(key) => {
                        let slot = &keys[key as usize];
                        return Some(Pick {
                            group: Arc::clone(&group.group),
                            limits: group.limits,
                            key: Arc::clone(&slot.meta),
                        });
                    }
                    None => skip(None),
                }
            }
        }
        None
    }

    fn put_back(&mut self, view: u32, out: &[(u32, u32, Option<u32>)]) {
        for (tier, unit, member) in out {
            let tier = &mut self.views.get(view).tiers[*tier as usize];
            match (member, &mut tier.units[*unit as usize].keys) {
                (Some(member), crate::index::UnitKeys::Many { roster, .. }) => roster.put_in(*member),
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

    /// Builds the view of a class; `None` if no key fits.
    fn add_view(&mut self, class: Class, now: Tick) -> Option<u32> {
        if self.views.is_full() {
            self.views.clear();
            self.keys.iter_mut().for_each(|key| key.units.clear());
            self.groups.iter_mut().for_each(|group| group.units.clear());
        }
        let mut members = Vec::new();
        let mut fits_somebody = false;
        for (group_index, group) in (0..).zip(&self.groups) {
            for key_index in &group.keys {
                let key = &self.keys[*key_index as usize];
                if class.takes(&key.meta, &group.group) {
                    fits_somebody = true;
                    members.push((group_index, *key_index, key.meta.priority, key.meta.weight));
                }
            }
        }
        if !fits_somebody {
            return None;
        }
        let places = self.views.add(class, &members);
        let view = places.first()?.view;
        for (place, (group, key, ..)) in places.iter().zip(&members) {
            self.keys[*key as usize].units.push(*place);
            let units = &mut self.groups[*group as usize].units;
            if units.last().is_none_or(|last| (last.view, last.tier, last.unit) != (place.view, place.tier, place.unit)) {
                units.push(*place);
            }
        }
        for (place, (_, key, ..)) in places.iter().zip(&members) {
            self.place_key(*key, *place, now);
        }
        Some(view)
    }

    /// Says anew when the unit of a key is ready.
    fn place_key(&mut self, key: KeyIndex, place: UnitRef, now: Tick) {
        let key_shut = self.keys[key as usize].shut();
        let unit = &mut self.views.get(place.view).tiers[place.tier as usize].units[place.unit as usize];
        let first = unit.set_key(place.member, key_shut.0, now);
        let group = unit.group;
        let shut = later(self.group_shut(group), (first, key_shut.1));
        self.views.get(place.view).set(place, shut, now);
    }

    /// A key's block or secret changed.
    pub(crate) fn key_changed(&mut self, key: KeyIndex, now: Tick) {
        for place in self.keys[key as usize].units.clone() {
            self.place_key(key, place, now);
        }
    }

    /// A group's block, its project's, or its room changed.
    pub(crate) fn group_changed(&mut self, group: GroupIndex, now: Tick) {
        let shut = self.group_shut(group);
        for at in 0..self.groups[group as usize].units.len() {
            let place = self.groups[group as usize].units[at];
            let Self { views, keys, .. } = self;
            let view = views.get(place.view);
            let unit = &mut view.tiers[place.tier as usize].units[place.unit as usize];
            let mut why = None;
            let first = unit.keys_ready_at(now, |key| keys[key as usize].shut().0);
            if first > now
                && let crate::index::UnitKeys::One(key, _) = &unit.keys
            {
                why = keys[*key as usize].shut().1;
            }
            view.set(place, later(shut, (first, why)), now);
        }
    }

    pub(crate) fn key_slot(&mut self, key: &KeyId) -> Option<&mut KeySlot> {
        self.key_index.get(key).map(|index| &mut self.keys[*index as usize])
    }

    /// True if a lease of this key and group may no longer be sent.
    pub(crate) fn is_blocked(&self, key: &KeyId, group: &Group, now: Tick) -> bool {
        let key = self.key_index.get(key).map_or(0, |index| self.keys[*index as usize].block.until);
        let of_group = self.group_index.get(group).map_or(0, |index| self.groups[*index as usize].block.until);
        let project = self.projects.get(&group.project).map_or(0, |slot| slot.block.until);
        key > now || of_group > now || project > now
    }

    /// True if the key was refused: each probe of it is preceded by a fresh read of the secret.
    pub(crate) fn wants_fresh_secret(&self, key: &KeyId) -> bool {
        self.key_index.get(key).is_some_and(|index| {
            let block = &self.keys[*index as usize].block;
            block.must_probe && block.reason == Some(Reason::KeyRejected)
        })
    }

    /// The limiter had no room in this group for a call of this size.
    pub(crate) fn limiter_refused(
        &mut self,
        group: &Group,
        (until, reason): (Tick, Reason),
        size: u64,
        now: Tick,
    ) {
        let Some(&index) = self.group_index.get(group) else { return };
        let slot = &mut self.groups[index as usize];
        if matches!(reason, Reason::MinuteTokens | Reason::TooLarge) {
            slot.too_big = match slot.too_big.filter(|(_, known)| *known > now) {
                Some((known_size, known)) if known_size <= size => Some((known_size, known.min(until))),
                _ => Some((size, until)),
            };
        } else {
            slot.refused = (until, Some(reason));
            self.group_changed(index, now);
        }
    }

    /// Room was made in this group.
    pub(crate) fn freed(&mut self, group: &Group, now: Tick) {
        let Some(&index) = self.group_index.get(group) else { return };
        let slot = &mut self.groups[index as usize];
        slot.too_big = None;
        if slot.refused.0 > now {
            slot.refused = (0, None);
            self.group_changed(index, now);
        }
    }

    /// When a group can be used, whatever its keys, and why not before.
    pub(crate) fn group_shut(&self, group: GroupIndex) -> (Tick, Option<Reason>) {
        let slot = &self.groups[group as usize];
        if slot.limits.forbids_everything() {
            return (NEVER, Some(Reason::LimitZero));
        }
        let project = self.projects.get(&slot.group.project).map_or((0, None), |project| project.block.shut());
        later(later(slot.block.shut(), project), slot.refused)
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

/// Of two obstacles the one that ends later.
pub(crate) fn later(a: (Tick, Option<Reason>), b: (Tick, Option<Reason>)) -> (Tick, Option<Reason>) {
    if b.0 > a.0 { b } else { a }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
