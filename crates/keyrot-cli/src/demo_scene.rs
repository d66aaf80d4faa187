//! The scene of `keyrot demo`: six keys in four projects, what goes wrong with them, and when.

use std::time::Duration;

use gemini_sim::{Config, Fault, FaultKind, Latency, Project, Window};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{Backoff, ConfigError, KeyId, KeyMetadata, KeySet, Limits, MemoryStore};

/// The model that all keys serve.
pub(crate) const MODEL: &str = "gemini-2.5-flash";

/// Never valid.
pub(crate) const RETIRED: &str = "prod-old";
/// Reported as leaked in the middle.
pub(crate) const LEAKED: &str = "team-2";
/// In the project whose quota is smaller than its entry says.
pub(crate) const SMALL: &str = "trial-1";
/// In the project that is overloaded for a while.
pub(crate) const STORMY: &str = "eu-1";

/// A key as keys.json would have it, and what the provider really grants its project.
struct Part {
    key: &'static str,
    project: &'static str,
    weight: u32,
    /// Requests a minute that the entry states.
    stated: u32,
    /// Requests a minute that the provider allows.
    allowed: u64,
}

/// Keys to which something happens have more weight, so that it is met soon.
const CAST: [Part; 6] = [
    Part { key: "prod-1", project: "prod", weight: 2, stated: 400, allowed: 400 },
    Part { key: RETIRED, project: "prod", weight: 4, stated: 400, allowed: 400 },
    Part { key: "team-1", project: "team", weight: 1, stated: 45, allowed: 45 },
    Part { key: LEAKED, project: "team", weight: 3, stated: 45, allowed: 45 },
    Part { key: SMALL, project: "trial", weight: 4, stated: 60, allowed: 3 },
    Part { key: STORMY, project: "eu", weight: 3, stated: 60, allowed: 60 },
];

/// When what happens; all of it scales with the length of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    /// How long strategies are asked for.
    pub(crate) lasts: Duration,
}

impl Scene {
    /// The overload begins and ends.
    pub(crate) fn storm(self) -> (Duration, Duration) {
        (self.lasts.mul_f64(0.15), self.lasts.mul_f64(0.5))
    }

    /// The leak is reported.
    pub(crate) fn leak(self) -> Duration {
        self.lasts.mul_f64(0.35)
    }

    /// Short enough to watch a key come back: 3 s doubling to 12 s in a run of 20 s.
    pub(crate) fn cooldown(self) -> Backoff {
        let usual = Backoff::default();
        Backoff {
            base: self.lasts.mul_f64(0.15).min(usual.base),
            max: self.lasts.mul_f64(0.6).min(usual.max),
        }
    }

    /// The provider. Its minutes slide, so that a quota that is used up stays so while one watches.
    pub(crate) fn provider(self) -> Config {
        let mut projects: Vec<Project> = Vec::new();
        for part in &CAST {
            let found = projects.iter().position(|project| project.id == part.project);
            let index = found.unwrap_or_else(|| {
                let limits = gemini_sim::Limits::default().rpm(part.allowed);
                projects.push(Project::new(part.project).limit("*", limits));
                projects.len() - 1
            });
            projects[index] = projects[index].clone().key(part.key, secret(part.key));
        }
        let (begin, end) = self.storm();
        Config {
            projects,
            window: Window::Sliding,
            latency: Latency::Uniform { min_ms: 200, max_ms: 700 },
            refusal_latency: Latency::Uniform { min_ms: 20, max_ms: 80 },
            faults: vec![
                Fault::new(FaultKind::KeyInvalid).key(RETIRED),
                Fault::new(FaultKind::KeyLeaked).key(LEAKED).from_ms(millis(self.leak())),
                Fault::new(FaultKind::Overloaded).key(STORMY).between_ms(millis(begin), millis(end)),
            ],
            ..Config::default()
        }
    }
}

/// The keys as keys.json would have them.
pub(crate) fn keys() -> Result<KeySet, ConfigError> {
    let mut keys = KeySet::default();
    for part in &CAST {
        let limits = Limits::new(Some(part.stated), None, None);
        let key = KeyMetadata::new(KeyId::parse(part.key)?, MODEL)
            .with_project(part.project)
            .with_weight(part.weight)
            .with_limits(limits);
        keys.upsert(key)?;
    }
    Ok(keys)
}

/// The secret of each key.
pub(crate) fn secrets(keys: &KeySet) -> MemoryStore {
    let store = MemoryStore::default();
    for key in keys.iter() {
        store.put(&key.key_id, SecretString::from(secret(key.key_id.as_str())));
    }
    store
}

/// Opens nothing outside this process, and yet is shown nowhere: the demo keeps the rules it shows.
fn secret(key: &str) -> String {
    format!("demo-secret-of-{key}")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_20_seconds_rests_keys_for_3_to_12_seconds_and_no_run_longer_than_usual() {
        let cooldown = |seconds| Scene { lasts: Duration::from_secs(seconds) }.cooldown();
        assert_eq!(cooldown(20), Backoff { base: Duration::from_secs(3), max: Duration::from_secs(12) });
        assert_eq!(cooldown(100_000), Backoff::default());
    }

    #[test]
    fn the_provider_accepts_the_scene_and_knows_six_keys_in_four_projects() {
        let provider = Scene { lasts: Duration::from_secs(20) }.provider();
        provider.check().unwrap();
        let keys: Vec<usize> = provider.projects.iter().map(|project| project.keys.len()).collect();
        assert_eq!(keys, [2, 2, 1, 1]);
        assert_eq!(keys.iter().sum::<usize>(), super::keys().unwrap().len());
    }
}
