//! What recent completions say about a model and about this machine: overload is held against one
//! project only if the others prove that it is alone, and a refusal that hits key after key is
//! held against none of them. Pure; kept per process.

use crate::key::{KeyId, ProjectId};
use crate::roster::Tick;

/// How far back completions count.
const EVIDENCE: Tick = 30_000;
/// Overloads without a success in between that open the breaker of a model.
const BREAKER_AT: u32 = 3;
/// The breaker's first rest; doubles to [`BREAKER_MAX`].
const BREAKER_FIRST: Tick = 1_000;
const BREAKER_MAX: Tick = 30_000;
/// Distinct keys refused alike, and the time in which that makes the host suspect.
const HOST_KEYS: usize = 3;
const HOST_WINDOW: Tick = 60_000;
const HOST_FIRST: Tick = 30_000;
const HOST_MAX: Tick = 15 * 60_000;

/// A gate that opens for one probe at a time after each rest.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    shut_until: Tick,
    /// A probe is under way, at most until then.
    probe_until: Tick,
    rests: u32,
}

impl Gate {
    /// When the next call may pass; `None`: now.
    pub(crate) fn blocked(&self, now: Tick) -> Option<Tick> {
        if self.rests == 0 {
            return None;
        }
        let until = self.shut_until.max(self.probe_until);
        (until > now).then_some(until)
    }

    /// A call passes. While the gate is suspicious, it is the one probe.
    pub(crate) fn pass(&mut self, probe_expires: Tick) {
        if self.rests > 0 {
            self.probe_until = probe_expires;
        }
    }

    /// The call that passed ended without saying anything about the gate.
    pub(crate) fn probe_over(&mut self) {
        self.probe_until = 0;
    }

    fn shut(&mut self, now: Tick, first: Tick, max: Tick) {
        if self.rests > 0 && self.shut_until > now {
            return; // calls in flight when it shut are one incident
        }
        self.shut_until = now + (first << self.rests.min(20)).min(max);
        self.probe_until = 0;
        self.rests += 1;
    }

    fn open(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_suspicious(&self) -> bool {
        self.rests > 0
    }
}

/// The latest completion of a kind, and the latest one by another.
#[derive(Debug)]
pub(crate) struct Latest<T> {
    of: Option<(T, Tick)>,
    other: Option<(T, Tick)>,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self { of: None, other: None }
    }
}

impl<T: Clone + PartialEq> Latest<T> {
    pub(crate) fn note(&mut self, by: &T, now: Tick) {
        match &mut self.of {
            Some((latest, at)) if latest == by => *at = now,
            _ => self.other = self.of.replace((by.clone(), now)),
        }
    }

    pub(crate) fn of_another_than(&self, one: &T, since: Tick) -> bool {
        let counts = |entry: &Option<(T, Tick)>| {
            entry.as_ref().is_some_and(|(other, at)| other != one && *at >= since)
        };
        counts(&self.of) || counts(&self.other)
    }
}

/// Completions of one model over all projects.
#[derive(Debug, Default)]
pub(crate) struct ModelEvidence {
    successes: Latest<ProjectId>,
    overloads: Latest<ProjectId>,
    overloads_in_row: u32,
    pub(crate) breaker: Gate,
}

impl ModelEvidence {
    pub(crate) fn success(&mut self, project: &ProjectId, now: Tick) {
        self.successes.note(project, now);
        self.overloads_in_row = 0;
        self.breaker.open();
    }

    /// True if the overload is this project's alone: another succeeded lately and no other was
    /// overloaded.
    pub(crate) fn overload(&mut self, project: &ProjectId, now: Tick) -> bool {
        let since = now.saturating_sub(EVIDENCE);
        self.overloads.note(project, now);
        let alone =
            self.successes.of_another_than(project, since) && !self.overloads.of_another_than(project, since);
        self.overloads_in_row += 1;
        if self.overloads_in_row >= BREAKER_AT && !alone {
            self.breaker.shut(now, BREAKER_FIRST, BREAKER_MAX);
        }
        alone
    }
}

/// Watches for refusals that hit distinct keys alike.
#[derive(Debug, Default)]
pub(crate) struct HostGuard {
    refused: Vec<(KeyId, Tick, String)>,
    pub(crate) gate: Gate,
}

impl HostGuard {
    pub(crate) fn success(&mut self) {
        if !self.refused.is_empty() || self.gate.is_suspicious() {
            self.refused.clear();
            self.gate.open();
        }
    }

    /// A key was refused; `Some` with all keys refused alike if that makes the host suspect. While it is, what made it so
    /// stands, however long ago: each probe that is refused in the same words is one more of them.
    pub(crate) fn refusal(&mut self, key: &KeyId, detail: &str, now: Tick) -> Option<Vec<KeyId>> {
        let stands = self.gate.is_suspicious();
        self.refused.retain(|(other, at, _)| other != key && (stands || *at + HOST_WINDOW > now));
        self.refused.push((key.clone(), now, detail.to_owned()));
        let alike: Vec<KeyId> = self
            .refused
            .iter()
            .filter(|(_, _, other)| other == detail)
            .map(|(key, ..)| key.clone())
            .collect();
        if alike.len() < HOST_KEYS {
            return None;
        }
        self.gate.shut(now, HOST_FIRST, HOST_MAX);
        Some(alike)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        name.into()
    }

    #[test]
    fn overload_is_blamed_on_a_project_only_when_another_works() {
        let mut model = ModelEvidence::default();
        assert!(!model.overload(&project("d"), 0));
        model.success(&project("a"), 10);
        assert!(model.overload(&project("d"), 20));
        assert!(!model.overload(&project("a"), 30), "d was overloaded as well: it is the model");
        assert!(!model.overload(&project("d"), 20 + EVIDENCE + 20), "the success is too old");
    }

    #[test]
    fn the_breaker_opens_at_three_overloads_in_a_row_and_probes_one_at_a_time() {
        let mut model = ModelEvidence::default();
        model.overload(&project("a"), 0);
        model.overload(&project("b"), 0);
        assert_eq!(model.breaker.blocked(0), None);
        model.overload(&project("c"), 0);
        assert_eq!(model.breaker.blocked(999), Some(1_000));
        assert_eq!(model.breaker.blocked(1_000), None);
        model.breaker.pass(61_000);
        assert_eq!(model.breaker.blocked(1_000), Some(61_000));
        model.overload(&project("a"), 1_050);
        assert_eq!(model.breaker.blocked(1_050), Some(3_050));
        model.success(&project("a"), 3_100);
        assert_eq!(model.breaker.blocked(3_100), None);
    }

    #[test]
    fn three_keys_refused_alike_make_the_host_suspect() {
        let key = |name| KeyId::parse(name).unwrap();
        let mut host = HostGuard::default();
        assert!(host.refusal(&key("a"), "denied", 0).is_none());
        assert!(host.refusal(&key("a"), "denied", 1).is_none(), "the same key again");
        assert!(host.refusal(&key("b"), "denied", 2).is_none());
        assert!(host.refusal(&key("x"), "leaked", 3).is_none(), "another refusal");
        assert_eq!(host.refusal(&key("c"), "denied", 4).unwrap().len(), 3);
        assert_eq!(host.gate.blocked(5), Some(30_004));
        host.success();
        assert_eq!(host.gate.blocked(5), None);
    }

    #[test]
    fn each_probe_that_is_refused_alike_doubles_the_rest_of_the_host() {
        let keys = ["a", "b", "c"].map(|name| KeyId::parse(name).unwrap());
        let mut host = HostGuard::default();
        let refused = keys.iter().filter(|key| host.refusal(key, "denied", 0).is_some()).count();
        assert_eq!(refused, 1);
        let mut now = 0;
        for (probe, rest) in (0..).zip([30, 60, 120, 240, 480, 900, 900]) {
            assert_eq!(host.gate.blocked(now), Some(now + rest * 1000), "after {probe} probes");
            now += rest * 1000;
            host.gate.pass(now + 60_000);
            assert!(host.refusal(&keys[probe % 3], "denied", now).is_some(), "no key is held to blame");
        }
    }

    #[test]
    fn old_refusals_and_successes_between_clear_the_suspicion() {
        let key = |name| KeyId::parse(name).unwrap();
        let mut host = HostGuard::default();
        host.refusal(&key("a"), "denied", 0);
        host.refusal(&key("b"), "denied", 1);
        host.success();
        assert!(host.refusal(&key("c"), "denied", 2).is_none());
        host.refusal(&key("d"), "denied", 3);
        assert!(host.refusal(&key("e"), "denied", 70_000).is_none());
    }
}
