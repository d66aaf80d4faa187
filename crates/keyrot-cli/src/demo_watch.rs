//! Watches the pool of `keyrot demo`: what each key is doing, and what has changed since the last look.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use keyrot_core::{Clock, KeyHealth, KeyPool, KeyRequest, Limits, Reason, SystemClock};

use crate::demo_notes::{self, Note};
use crate::demo_scene::MODEL;

/// What a key is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It takes calls.
    Ready,
    /// Its rest is over; the next calls show whether it works again.
    Trying,
    /// It takes none.
    Blocked {
        /// Why.
        reason: Reason,
        /// For how long still.
        left: Option<Duration>,
    },
}

/// A key at one moment.
#[derive(Clone, Debug)]
pub(crate) struct KeyView {
    pub(crate) key_id: String,
    pub(crate) project: String,
    pub(crate) phase: Phase,
    /// Requests of its project in the last minute.
    pub(crate) used: u32,
    /// How many a minute has, as far as the pool knows.
    pub(crate) limit: Option<u32>,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    /// The last thing that happened to it.
    pub(crate) last: String,
}

/// Something that happened to a key.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key_id: String,
    pub(crate) note: Note,
}

/// What is remembered of a key between two looks.
#[derive(Clone, Debug)]
struct Known {
    phase: Phase,
    limit: Option<u32>,
    /// Successes when it was last seen blocked.
    succeeded: u64,
    /// Failures at the last look.
    failed: u64,
    /// The provider refuses the key itself.
    rejected: bool,
    last: String,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Watch {
    pool: KeyPool,
    known: BTreeMap<String, Known>,
}

impl Watch {
    pub(crate) fn new(pool: KeyPool) -> Self {
        Self { pool, known: BTreeMap::new() }
    }

    /// Every key as it is now, in the order of its file, and what has happened meanwhile.
    pub(crate) async fn look(&mut self) -> Result<(Vec<KeyView>, Vec<Event>), Box<dyn Error>> {
        let usage = self.pool.usage().await?;
        let why = self.pool.explain(&KeyRequest::model(MODEL)).await?;
        let now = SystemClock.wall();
        let health = self.pool.health();
        let (mut views, mut events) = (Vec::new(), Vec::new());
        for key in self.pool.keys().iter() {
            let id = key.key_id.as_str();
            let Some(health) = health.get(id) else { continue };
            let project = key.quota_project();
            let used =
                usage.iter().find(|(of, ..)| *of == project).map(|(.., used)| *used).unwrap_or_default();
            let blocked = why.blocked.iter().find(|blocked| blocked.key_id == key.key_id).map(|blocked| {
                let left = blocked.until.map(|until| until.duration_since(now).unwrap_or_default());
                (blocked.reason, left)
            });
            let known = self.known.entry(id.to_owned()).or_insert_with(|| Known {
                phase: Phase::Ready,
                limit: key.limits.rpm,
                succeeded: 0,
                failed: 0,
                rejected: false,
                last: String::new(),
            });
            for note in known.update(blocked, health, used.effective) {
                known.last.clone_from(&note.short);
                events.push(Event { key_id: id.to_owned(), note });
            }
            views.push(KeyView {
                key_id: id.to_owned(),
                project: project.to_string(),
                phase: known.phase,
                used: used.minute_requests,
                limit: used.effective.rpm,
                succeeded: health.success_count,
                failed: health.error_count,
                last: known.last.clone(),
            });
        }
        Ok((views, events))
    }
}

impl Known {
    fn update(
        &mut self,
        blocked: Option<(Reason, Option<Duration>)>,
        health: &KeyHealth,
        effective: Limits,
    ) -> Vec<Note> {
        let mut notes = Vec::new();
        if let (Some(stated), Some(allowed)) = (self.limit, effective.rpm)
            && allowed < stated
        {
            notes.push(Note::learned(allowed, stated));
        }
        self.limit = effective.rpm;
        let before = self.phase;
        let rejects = matches!(blocked, Some((Reason::KeyRejected, _)));
        self.rejected = health.strikes > 0 && (self.rejected || rejects);
        self.phase = match (blocked, before) {
            // Two calls at a time until the first has succeeded: not worth a word.
            (Some((Reason::Probing, _)), _) => before,
            (Some((reason, left)), _) => {
                // Its project may be the last thing in its way, but not the first.
                let reason = if self.rejected { Reason::KeyRejected } else { reason };
                self.succeeded = health.success_count;
                Phase::Blocked { reason, left }
            }
            (None, Phase::Ready) => Phase::Ready,
            (None, _) if health.success_count > self.succeeded => Phase::Ready,
            (None, _) => Phase::Trying,
        };
        let failed = health.error_count > self.failed;
        self.failed = health.error_count;
        notes.extend(demo_notes::of_step(before, self.phase, failed, health.last_error.as_deref()));
        notes
    }
}
