//! What the pool remembers of each key, group and project.

use std::sync::Arc;

use crate::evidence::ModelEvidence;
use crate::index::{GroupIndex, KeyIndex, UnitRef};
use crate::key::{KeyMetadata, Limits, ModelName, ProjectId};
use crate::limit::Group;
use crate::outcome::Reason;
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
    pub(crate) fn shut(&self) -> (Tick, Option<Reason>) {
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
    pub(crate) last_used: Option<Tick>,
    pub(crate) success: u64,
    pub(crate) error: u64,
    pub(crate) abandoned: u64,
    pub(crate) last_error: Option<String>,
    pub(crate) secret_changes: u64,
}

#[derive(Debug)]
pub(crate) struct KeySlot {
    pub(crate) meta: Arc<KeyMetadata>,
    /// Index of its project.
    pub(crate) project: u32,
    /// It can never serve as it stands in keys.json.
    pub(crate) unusable: Option<Reason>,
    pub(crate) block: Block,
    /// Its secret cannot be had until then, and why.
    pub(crate) secret: Option<(Tick, String)>,
    /// The newest version of its secret that the pool has noted.
    pub(crate) secret_version: u64,
    pub(crate) counters: Counters,
    pub(crate) units: Vec<UnitRef>,
}

impl KeySlot {
    /// When it is usable, and why not before.
    pub(crate) fn shut(&self) -> (Tick, Option<Reason>) {
        if let Some(reason) = self.unusable {
            return (NEVER, Some(reason));
        }
        let secret =
            self.secret.as_ref().map_or((0, None), |(until, _)| (*until, Some(Reason::SecretUnavailable)));
        later(self.block.shut(), secret)
    }
}

#[derive(Debug)]
pub(crate) struct GroupSlot {
    pub(crate) group: Arc<Group>,
    /// Index of its project.
    pub(crate) project: u32,
    /// Index of its model.
    pub(crate) model: u32,
    pub(crate) limits: Limits,
    pub(crate) keys: Vec<KeyIndex>,
    pub(crate) block: Block,
    /// The limiter had no room, whatever the size of the call.
    pub(crate) refused: (Tick, Option<Reason>),
    /// The limiter had no room for calls of this size and above.
    pub(crate) too_big: Option<(u64, Tick)>,
    pub(crate) units: Vec<UnitRef>,
}

#[derive(Debug)]
pub(crate) struct ProjectSlot {
    pub(crate) id: ProjectId,
    pub(crate) block: Block,
    pub(crate) groups: Vec<GroupIndex>,
}

#[derive(Debug)]
pub(crate) struct ModelSlot {
    pub(crate) name: ModelName,
    pub(crate) evidence: ModelEvidence,
}

/// Where a lease's key and group stand; good for one epoch of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) epoch: u32,
    pub(crate) key: KeyIndex,
    pub(crate) group: GroupIndex,
}

/// Of two obstacles the one that ends later.
pub(crate) fn later(a: (Tick, Option<Reason>), b: (Tick, Option<Reason>)) -> (Tick, Option<Reason>) {
    if b.0 > a.0 { b } else { a }
}
