//! One call at a time through a scope that has yet to show that it works again.

use crate::outcome::Scope;
use crate::plan::Choice;
use crate::roster::Tick;
use crate::slots::{GroupSlot, Spot};
use crate::state::PoolState;

/// The scopes that one call probes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProbeMarks {
    key: bool,
    project: bool,
    model: bool,
    host: bool,
}

impl ProbeMarks {
    pub(crate) fn is_empty(self) -> bool {
        !(self.key || self.project || self.model || self.host)
    }
}

impl PoolState {
    /// True if a call of this choice would take a probe slot.
    pub(crate) fn must_be_probed(&self, choice: Choice) -> bool {
        !self.marks(choice).is_empty()
    }

    fn marks(&self, choice: Choice) -> ProbeMarks {
        let GroupSlot { project, model, .. } = self.groups[choice.group as usize];
        ProbeMarks {
            key: self.keys[choice.key as usize].block.must_probe,
            project: self.projects[project as usize].block.must_probe,
            model: self.models[model as usize].evidence.breaker.is_suspicious(),
            host: self.host.gate.is_suspicious(),
        }
    }

    /// Closes behind this call what must be probed, until it is over or `expires`.
    pub(crate) fn begin_probe(&mut self, choice: Choice, now: Tick, expires: Tick) -> ProbeMarks {
        let GroupSlot { project, model, .. } = self.groups[choice.group as usize];
        let marks = self.marks(choice);
        if marks.key {
            self.keys[choice.key as usize].block.probe_until = expires;
            self.key_changed(choice.key, now);
        }
        if marks.project {
            self.projects[project as usize].block.probe_until = expires;
            self.project_changed(project, now);
        }
        if marks.model {
            self.models[model as usize].evidence.breaker.pass(expires);
        }
        if marks.host {
            self.host.gate.pass(expires);
        }
        marks
    }

    /// The call is over, or was never sent.
    pub(crate) fn end_probe(&mut self, marks: ProbeMarks, spot: Spot, now: Tick) {
        let GroupSlot { project, model, .. } = self.groups[spot.group as usize];
        if marks.key {
            self.keys[spot.key as usize].block.probe_until = 0;
            self.key_changed(spot.key, now);
        }
        if marks.project {
            self.projects[project as usize].block.probe_until = 0;
            self.project_changed(project, now);
        }
        if marks.model {
            self.models[model as usize].evidence.breaker.probe_over();
        }
        if marks.host {
            self.host.gate.probe_over();
        }
    }

    /// A project's block changed: its groups are few.
    fn project_changed(&mut self, project: u32, now: Tick) {
        for at in 0..self.projects[project as usize].groups.len() {
            self.group_changed(self.projects[project as usize].groups[at], now);
        }
    }

    /// Takes over a scope's record from the limiter; `until` is in the pool's own time.
    pub(crate) fn set_block(&mut self, scope: &Scope, record: &crate::ScopeRecord, until: Tick, now: Tick) {
        let merge = |block: &mut crate::slots::Block| {
            *block = crate::slots::Block {
                until,
                reason: record.reason,
                strikes: record.strikes,
                must_probe: record.must_probe,
                probe_until: block.probe_until,
            };
        };
        match scope {
            Scope::Key(key) => {
                if let Some(&index) = self.key_index.get(key) {
                    merge(&mut self.keys[index as usize].block);
                    self.key_changed(index, now);
                }
            }
            Scope::Project(project) => {
                if let Some(&index) = self.project_index.get(project) {
                    merge(&mut self.projects[index as usize].block);
                    self.project_changed(index, now);
                }
            }
            Scope::ProjectModel(project, model) => {
                let group = crate::Group { project: project.clone(), model: model.clone() };
                if let Some(&index) = self.group_index.get(&group) {
                    merge(&mut self.groups[index as usize].block);
                    self.group_changed(index, now);
                }
            }
            Scope::Host | Scope::Model(_) => {} // kept per process, never shared
        }
    }
}
