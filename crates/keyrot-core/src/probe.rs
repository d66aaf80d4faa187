//! One call at a time through a scope that has yet to show that it works again.

use crate::key::{KeyId, ModelName, ProjectId};
use crate::outcome::Scope;
use crate::plan::Pick;
use crate::roster::Tick;
use crate::state::PoolState;

/// The scopes that one call probes.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeMarks {
    key: Option<KeyId>,
    project: Option<ProjectId>,
    model: Option<ModelName>,
    host: bool,
}

impl ProbeMarks {
    pub(crate) fn is_empty(&self) -> bool {
        self.key.is_none() && self.project.is_none() && self.model.is_none() && !self.host
    }
}

impl PoolState {
    /// Closes behind this call what must be probed, until it is over or `expires`.
    pub(crate) fn begin_probe(&mut self, pick: &Pick, now: Tick, expires: Tick) -> ProbeMarks {
        let mut marks = ProbeMarks::default();
        if let Some(&index) = self.key_index.get(&pick.key.key_id)
            && self.keys[index as usize].block.must_probe
        {
            self.keys[index as usize].block.probe_until = expires;
            self.key_changed(index, now);
            marks.key = Some(pick.key.key_id.clone());
        }
        if let Some(slot) = self.projects.get_mut(&pick.group.project)
            && slot.block.must_probe
        {
            slot.block.probe_until = expires;
            self.project_changed(&pick.group.project, now);
            marks.project = Some(pick.group.project.clone());
        }
        if let Some(model) = self.models.get_mut(&pick.group.model)
            && model.breaker.is_suspicious()
        {
            model.breaker.pass(expires);
            marks.model = Some(pick.group.model.clone());
        }
        if self.host.gate.is_suspicious() {
            self.host.gate.pass(expires);
            marks.host = true;
        }
        marks
    }

    /// The call is over, or was never sent.
    pub(crate) fn end_probe(&mut self, marks: &ProbeMarks, now: Tick) {
        if let Some(index) = marks.key.as_ref().and_then(|key| self.key_index.get(key)).copied() {
            self.keys[index as usize].block.probe_until = 0;
            self.key_changed(index, now);
        }
        if let Some(project) = &marks.project
            && let Some(slot) = self.projects.get_mut(project)
        {
            slot.block.probe_until = 0;
            self.project_changed(project, now);
        }
        if let Some(model) = marks.model.as_ref().and_then(|model| self.models.get_mut(model)) {
            model.breaker.probe_over();
        }
        if marks.host {
            self.host.gate.probe_over();
        }
    }

    /// A project's block changed: its groups are few.
    pub(crate) fn project_changed(&mut self, project: &ProjectId, now: Tick) {
        let groups = self.projects.get(project).map(|slot| slot.groups.clone()).unwrap_or_default();
        for group in groups {
            self.group_changed(group, now);
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
                if let Some(slot) = self.projects.get_mut(project) {
                    merge(&mut slot.block);
                    self.project_changed(project, now);
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
