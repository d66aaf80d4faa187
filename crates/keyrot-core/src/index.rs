//! Which groups and keys a class of requests can use, and which of those are ready: one view for
//! each class that was asked for, built at its first request.

use std::collections::BTreeMap;

use crate::key::{KeyMetadata, ModelName, ProjectId};
use crate::limit::Group;
use crate::map::Map;
use crate::outcome::Reason;
use crate::request::KeyRequest;
use crate::roster::{NEVER, Roster, Tick};

/// Index of a key in the pool's state.
pub(crate) type KeyIndex = u32;
/// Index of a group in the pool's state.
pub(crate) type GroupIndex = u32;

/// More classes than this are not kept: the views are dropped and built anew when asked for.
const MOST_VIEWS: usize = 256;

/// What a request demands of a key, its size aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) model: Option<ModelName>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) pin: Option<ProjectId>,
}

impl Class {
    pub(crate) fn of(request: &KeyRequest, model: Option<&ModelName>) -> Self {
        Self { model: model.cloned(), tags: request.tags.clone(), pin: request.pin.clone() }
    }

    fn is_that_of(&self, request: &KeyRequest) -> bool {
        self.pin == request.pin && self.tags == request.tags
    }

    /// True if a key of this group fits.
    pub(crate) fn takes(&self, key: &KeyMetadata, group: &Group) -> bool {
        *self.model.as_ref().unwrap_or(&key.model_name) == group.model
            && self.pin.as_ref().is_none_or(|pin| *pin == group.project)
            && self.tags.iter().all(|(name, value)| key.tags.get(name) == Some(value))
    }
}

/// Where a unit stands: view, tier, place in the tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnitRef {
    pub(crate) view: u32,
    pub(crate) tier: u32,
    pub(crate) unit: u32,
    /// For a key: its number in the unit.
    pub(crate) member: u32,
}

/// The keys of one group that fit a class and share a priority.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) group: GroupIndex,
    pub(crate) keys: UnitKeys,
    /// The largest weight of its usable keys, or of all when none is.
    weight: u32,
    /// Why it is not ready, as counted in its view.
    reason: Option<Reason>,
}

/// Most groups have one key; only siblings need a roster of their own.
#[derive(Debug)]
pub(crate) enum UnitKeys {
    One(KeyIndex, u32),
    Many { keys: Vec<(KeyIndex, u32)>, roster: Roster },
}

impl UnitKeys {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(..) => 1,
            Self::Many { keys, .. } => keys.len(),
        }
    }

    /// The largest weight of its usable keys, or of all when none is.
    fn weight(&self) -> u32 {
        match self {
            Self::One(_, weight) => *weight,
            Self::Many { keys, roster } => {
                let of = |usable: bool| {
                    let each = (0_u32..).zip(keys).filter(|(number, _)| !usable || roster.is_in(*number));
                    each.map(|(_, (_, weight))| *weight).max()
                };
                of(true).or_else(|| of(false)).unwrap_or(0)
            }
        }
    }
}

/// What a draw looks at first, small so that many fit into the processor's cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hot {
    pub(crate) group: GroupIndex,
    /// The unit's only key, or [`SEVERAL`].
    pub(crate) key: KeyIndex,
    /// The group has no room for calls of some size.
    pub(crate) sized: bool,
}

/// The unit has a roster of keys.
pub(crate) const SEVERAL: KeyIndex = KeyIndex::MAX;

/// Units of one priority.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) priority: u32,
    pub(crate) roster: Roster,
    /// One for each of `units`.
    pub(crate) hot: Vec<Hot>,
    pub(crate) units: Vec<Unit>,
}

/// All units of one class, best priority first.
#[derive(Debug)]
pub(crate) struct View {
    class: Class,
    /// Index of the class's model, if it names one.
    pub(crate) model: Option<u32>,
    pub(crate) tiers: Vec<Tier>,
    /// Keys that are not ready, by reason; exact when no unit is ready.
    counts: BTreeMap<Reason, usize>,
}

impl View {
    pub(crate) fn counts(&self) -> BTreeMap<Reason, usize> {
        self.counts.iter().filter(|(_, count)| **count > 0).map(|(reason, count)| (*reason, *count)).collect()
    }

    /// Takes note of when a unit is ready, and why not before.
    pub(crate) fn set(&mut self, at: UnitRef, ready: (Tick, Option<Reason>), now: Tick) {
        let tier = &mut self.tiers[at.tier as usize];
        let unit = &mut tier.units[at.unit as usize];
        let reason = ready.1.filter(|_| ready.0 > now);
        if unit.reason != reason {
            let keys = unit.keys.len();
            if let Some(count) = unit.reason.and_then(|old| self.counts.get_mut(&old)) {
                *count -= keys;
            }
            if let Some(new) = reason {
                *self.counts.entry(new).or_default() += keys;
            }
            unit.reason = reason;
        }
        tier.roster.set_weight(at.unit, unit.weight);
        tier.roster.set_ready_at(at.unit, ready.0, now);
    }

    /// Puts in who has become ready; false if nobody is.
    #[inline]
    pub(crate) fn wake(&mut self, now: Tick) -> bool {
        let mut any = false;
        for tier in &mut self.tiers {
            tier.roster.wake(now);
            any |= tier.roster.ready() > 0;
        }
        any
    }

    /// The earliest time at which a unit becomes ready.
    #[inline]
    pub(crate) fn next_ready(&mut self) -> Option<(Tick, GroupIndex)> {
        let mut earliest = None;
        for tier in &mut self.tiers {
            if let Some((at, unit)) = tier.roster.next_ready()
                && earliest.is_none_or(|(known, _)| at < known)
            {
                earliest = Some((at, tier.hot[unit as usize].group));
            }
        }
        earliest
    }

    fn tier(&mut self, priority: u32) -> usize {
        match self.tiers.binary_search_by_key(&priority, |tier| tier.priority) {
            Ok(index) => index,
            Err(index) => {
                self.tiers.insert(
                    index,
                    Tier { priority, roster: Roster::default(), hot: Vec::new(), units: Vec::new() },
                );
                index
            }
        }
    }
}

/// Views by class.
#[derive(Debug, Default)]
pub(crate) struct Views {
    views: Vec<View>,
    by_model: Map<ModelName, Vec<u32>>,
    any_model: Vec<u32>,
    /// The view that was asked for last: mostly the one that is asked for next.
    last: usize,
}

impl Views {
    pub(crate) fn find(&mut self, request: &KeyRequest, model: Option<&ModelName>) -> Option<u32> {
        if let Some(view) = self.views.get(self.last)
            && view.class.model.as_ref() == model
            && view.class.is_that_of(request)
        {
            return u32::try_from(self.last).ok();
        }
        let found = self.look_up(request, model)?;
        self.last = found as usize;
        Some(found)
    }

    fn look_up(&self, request: &KeyRequest, model: Option<&ModelName>) -> Option<u32> {
        let candidates = match model {
            Some(model) => self.by_model.get(model)?,
            None => &self.any_model,
        };
        candidates.iter().copied().find(|view| self.views[*view as usize].class.is_that_of(request))
    }

    /// True if the next [`add`](Self::add) must be preceded by a [`clear`](Self::clear).
    pub(crate) fn is_full(&self) -> bool {
        self.views.len() >= MOST_VIEWS
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn get(&mut self, view: u32) -> &mut View {
        &mut self.views[view as usize]
    }

    /// Takes note of whether a group's units must be asked about the size of a call.
    pub(crate) fn set_sized(&mut self, units: &[UnitRef], sized: bool) {
        for at in units {
            self.views[at.view as usize].tiers[at.tier as usize].hot[at.unit as usize].sized = sized;
        }
    }

    /// Adds the view of a class. `members` are the (group, key, priority, weight) that fit it, all
    /// members of a group together. Returns where each stands, in the same order; nothing is ready
    /// until it is said to be.
    pub(crate) fn add(
        &mut self,
        class: Class,
        model: Option<u32>,
        members: &[(GroupIndex, KeyIndex, u32, u32)],
    ) -> Vec<UnitRef> {
        let number = u32::try_from(self.views.len()).unwrap_or(u32::MAX);
        match &class.model {
            Some(model) => self.by_model.entry(model.clone()).or_default().push(number),
            None => self.any_model.push(number),
        }
        let mut view = View { class, model, tiers: Vec::new(), counts: BTreeMap::new() };
        for (_, _, priority, _) in members {
            view.tier(*priority); // first all tiers: inserting one moves those behind it
        }
        let mut units: Map<(GroupIndex, u32), u32> = Map::default();
        let mut places = Vec::with_capacity(members.len());
        for &(group, key, priority, weight) in members {
            let tier_index = view.tier(priority);
            let tier = &mut view.tiers[tier_index];
            let unit = *units.entry((group, priority)).or_insert_with(|| {
                tier.units.push(Unit { group, keys: UnitKeys::One(key, weight), weight, reason: None });
                tier.hot.push(Hot { group, key, sized: false });
                tier.roster.add(weight)
            });
            let member = tier.units[unit as usize].join(key, weight);
            if member > 0 {
                tier.hot[unit as usize].key = SEVERAL;
            }
            let tier = u32::try_from(tier_index).unwrap_or(u32::MAX);
            places.push(UnitRef { view: number, tier, unit, member });
        }
        self.views.push(view);
        places
    }
}

impl Unit {
    /// Adds a key, unless it is the one that the unit was made with. Returns its number.
    fn join(&mut self, key: KeyIndex, weight: u32) -> u32 {
        match &mut self.keys {
            UnitKeys::One(first, _) if *first == key => 0,
            UnitKeys::One(first, first_weight) => {
                let mut roster = Roster::default();
                roster.add(*first_weight);
                let member = roster.add(weight);
                self.keys = UnitKeys::Many { keys: vec![(*first, *first_weight), (key, weight)], roster };
                member
            }
            UnitKeys::Many { keys, roster } => {
                keys.push((key, weight));
                roster.add(weight)
            }
        }
    }

    /// Takes note of when one of its keys is usable; returns when the first of all is.
    pub(crate) fn set_key(&mut self, member: u32, ready_at: Tick, now: Tick) -> Tick {
        match &mut self.keys {
            UnitKeys::One(..) => ready_at,
            UnitKeys::Many { roster, .. } => {
                roster.set_ready_at(member, ready_at, now);
                let ready_at = Self::first_of(roster);
                self.weight = self.keys.weight();
                ready_at
            }
        }
    }

    /// When the first of its keys is usable; a lone key knows that itself.
    pub(crate) fn keys_ready_at(&mut self, now: Tick, lone: impl Fn(KeyIndex) -> Tick) -> Tick {
        match &mut self.keys {
            UnitKeys::One(key, _) => lone(*key),
            UnitKeys::Many { roster, .. } => {
                roster.wake(now);
                Self::first_of(roster)
            }
        }
    }

    fn first_of(roster: &mut Roster) -> Tick {
        if roster.ready() > 0 { 0 } else { roster.next_ready().map_or(NEVER, |(at, _)| at) }
    }
}
