//! The pool without IO: who can serve a request (plan), and what a block changes (apply). Time and
//! randomness are arguments; nothing here waits, locks or calls.

use std::sync::Arc;

use crate::evidence::{HostGuard, Latest, ModelEvidence};
use crate::index::{Class, GroupIndex, KeyIndex, UnitKeys, UnitRef, Views};
use crate::key::{KeyId, KeyMetadata, Limits, ModelName, ProjectId};
use crate::keyset::KeySet;
use crate::limit::Group;
use crate::map::Map;
use crate::outcome::Reason;
use crate::roster::{NEVER, Tick};
use crate::slots::{Block, Counters, GroupSlot, KeySlot, ModelSlot, ProjectSlot, Spot, later};

/// The decisions of a pool as a value.
///
/// [`KeyPool`](crate::KeyPool) puts locks, secrets and a limiter around it; simulations and
/// benches can drive it alone.
#[derive(Debug, Default)]
pub struct PoolState {
    pub(crate) keys: Vec<KeySlot>,
    pub(crate) groups: Vec<GroupSlot>,
    pub(crate) projects: Vec<ProjectSlot>,
    pub(crate) models: Vec<ModelSlot>,
    pub(crate) host: HostGuard,
    pub(crate) successes: Latest<KeyId>,
    pub(crate) views: Views,
    pub(crate) key_index: Map<KeyId, KeyIndex>,
    pub(crate) group_index: Map<Arc<Group>, GroupIndex>,
    pub(crate) project_index: Map<ProjectId, u32>,
    pub(crate) model_index: Map<ModelName, u32>,
    /// Counts up when the keys are replaced: older indices mean something else.
    epoch: u32,
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
            let group = self.add_group(Arc::new(Group { project: project.clone(), model }));
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
        let project = self.add_project(&project);
        self.keys.push(KeySlot {
            project,
            meta,
            unusable,
            block: Block::default(),
            secret: None,
            secret_version: 0,
            counters: Counters::default(),
            units: Vec::new(),
        });
    }

    fn add_group(&mut self, group: Arc<Group>) -> GroupIndex {
        if let Some(found) = self.group_index.get(&group) {
            return *found;
        }
        let new = index(self.groups.len());
        let project = self.add_project(&group.project);
        self.projects[project as usize].groups.push(new);
        let model = *self.model_index.entry(group.model.clone()).or_insert_with(|| {
            let evidence = ModelEvidence::default();
            self.models.push(ModelSlot { name: group.model.clone(), evidence });
            index(self.models.len() - 1)
        });
        self.group_index.insert(Arc::clone(&group), new);
        self.groups.push(GroupSlot {
            group,
            project,
            model,
            limits: Limits::default(),
            keys: Vec::new(),
            block: Block::default(),
            refused: (0, None),
            too_big: None,
            units: Vec::new(),
        });
        new
    }

    fn add_project(&mut self, project: &ProjectId) -> u32 {
        *self.project_index.entry(project.clone()).or_insert_with(|| {
            self.projects.push(ProjectSlot {
                id: project.clone(),
                block: Block::default(),
                groups: Vec::new(),
            });
            index(self.projects.len() - 1)
        })
    }

    /// Takes over what is known of the keys, groups, projects and models that are still there.
    pub(crate) fn inherit(&mut self, old: &mut Self) {
        self.epoch = old.epoch.wrapping_add(1);
        for slot in &mut self.keys {
            let Some(known) = old.key_index.get(&slot.meta.key_id) else { continue };
            let known = &mut old.keys[*known as usize];
            slot.counters = std::mem::take(&mut known.counters);
            slot.secret_version = known.secret_version;
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
        for slot in &mut self.projects {
            if let Some(known) = old.project_index.get(&slot.id) {
                slot.block = old.projects[*known as usize].block;
            }
        }
        for slot in &mut self.models {
            if let Some(known) = old.model_index.get(&slot.name) {
                slot.evidence = std::mem::take(&mut old.models[*known as usize].evidence);
            }
        }
        self.host = std::mem::take(&mut old.host);
        self.successes = std::mem::take(&mut old.successes);
    }

    /// Where a key and a group of this state stand.
    pub(crate) fn spot(&self, key: KeyIndex, group: GroupIndex) -> Spot {
        Spot { epoch: self.epoch, key, group }
    }

    /// Where a key and a group stand now, if they still do.
    pub(crate) fn find(&self, spot: Spot, key: &KeyId, group: &Group) -> Option<Spot> {
        if spot.epoch == self.epoch {
            return Some(spot);
        }
        Some(self.spot(*self.key_index.get(key)?, *self.group_index.get(group)?))
    }

    /// Builds the view of a class; `None` if no key fits.
    pub(crate) fn add_view(&mut self, class: Class, now: Tick) -> Option<u32> {
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
        let model = class.model.as_ref().and_then(|model| self.model_index.get(model)).copied();
        let places = self.views.add(class, model, &members);
        let view = places.first()?.view;
        for (place, (group, key, ..)) in places.iter().zip(&members) {
            self.keys[*key as usize].units.push(*place);
            let units = &mut self.groups[*group as usize].units;
            if units
                .last()
                .is_none_or(|last| (last.view, last.tier, last.unit) != (place.view, place.tier, place.unit))
            {
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
                && let UnitKeys::One(key, _) = &unit.keys
            {
                why = keys[*key as usize].shut().1;
            }
            view.set(place, later(shut, (first, why)), now);
        }
    }

    /// True if a lease of this key and group may no longer be sent.
    pub(crate) fn is_blocked(&self, spot: Spot, now: Tick) -> bool {
        let (key, group) = (&self.keys[spot.key as usize], &self.groups[spot.group as usize]);
        let project = &self.projects[group.project as usize];
        key.block.until > now || group.block.until > now || project.block.until > now
    }

    /// True if the key was refused: each probe of it is preceded by a fresh read of the secret.
    pub(crate) fn wants_fresh_secret(&self, key: KeyIndex) -> bool {
        let block = &self.keys[key as usize].block;
        block.must_probe && block.reason == Some(Reason::KeyRejected)
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
            self.views.set_sized(&slot.units, true);
        } else {
            slot.refused = (until, Some(reason));
            self.group_changed(index, now);
        }
    }

    /// Room was made in this group.
    pub(crate) fn freed(&mut self, group: &Group, now: Tick) {
        let Some(&index) = self.group_index.get(group) else { return };
        let slot = &mut self.groups[index as usize];
        if slot.too_big.take().is_some() {
            self.views.set_sized(&slot.units, false);
        }
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
        let project = self.projects[slot.project as usize].block.shut();
        later(later(slot.block.shut(), project), slot.refused)
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
