//! What `keyrot demo` plays with: six keys in four projects of a simulated Gemini, most of them in trouble.

use std::time::Duration;

use gemini_sim::{Config, Fault, FaultKind, Latency, Project, SimServer};
use keyrot::gemini::{Gemini, PooledGemini};
use keyrot::secrecy::SecretString;
use keyrot::strategy_gen::StrategyGenerator;
use keyrot::{Backoff, KeyId, KeyMetadata, KeyPool, KeySet, Limits, MemoryStore};

use crate::failure::Failure;

/// The model that every key serves.
pub(crate) const MODEL: &str = "gemini-2.5-flash";

/// When the leak of a key is noticed by the provider.
const LEAKED_AFTER: Duration = Duration::from_secs(7);
/// How long one project answers with 503.
const STORM: Duration = Duration::from_secs(8);
/// Requests per day of the project with the tiny quota.
const TINY_DAY: u32 = 5;
/// A tenth of the real schedule, so that recovery can be watched.
const COOLDOWN: Backoff = Backoff { base: Duration::from_secs(3), max: Duration::from_secs(90) };

/// A key of the demo.
pub(crate) struct Player {
    pub(crate) id: &'static str,
    pub(crate) project: &'static str,
    /// What happens to it.
    pub(crate) fate: &'static str,
}

/// The keys in the order of the table.
pub(crate) const PLAYERS: [Player; 6] = [
    Player { id: "alder_1", project: "alder", fate: "healthy" },
    Player { id: "alder_2", project: "alder", fate: "leaked after 7 s" },
    Player { id: "birch_1", project: "birch", fate: "healthy" },
    Player { id: "birch_2", project: "birch", fate: "invalid" },
    Player { id: "cedar_1", project: "cedar", fate: "5 requests a day" },
    Player { id: "dogwood_1", project: "dogwood", fate: "503 for 8 s" },
];

/// The simulator, and a pool that knows nothing of what is scripted there.
pub(crate) struct World {
    pub(crate) server: SimServer,
    pub(crate) pool: KeyPool,
    pub(crate) generator: StrategyGenerator,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let server = SimServer::start(provider())
            .await
            .map_err(|error| Failure::failed(format!("the simulator cannot be started: {error}")))?;
        let (keys, secrets) = keys()?;
        let pool = KeyPool::builder(keys).secrets(secrets).cooldown(COOLDOWN).build();
        let client = Gemini::builder().base_url(server.base_url()).build()?;
        let generator = StrategyGenerator::new(PooledGemini::new(pool.clone(), client));
        Ok(Self { server, pool, generator })
    }

    pub(crate) async fn end(self) {
        self.pool.close().await;
        self.server.stop().await;
    }
}

fn provider() -> Config {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut config = Config::default()
        .latency(Latency::Uniform { min_ms: 300, max_ms: 900 })
        .fault(Fault::new(FaultKind::KeyInvalid).key("birch_2"))
        .fault(Fault::new(FaultKind::KeyLeaked).key("alder_2").from_ms(millis(LEAKED_AFTER)))
        .fault(Fault::new(FaultKind::Overloaded).project("dogwood").between_ms(0, millis(STORM)));
    config.chunk_latency = Latency::Fixed { ms: 60 };
    let mut projects: Vec<Project> = Vec::new();
    for player in &PLAYERS {
        let same = projects.iter().position(|project| project.id == player.project);
        let project = same.map_or_else(|| Project::new(player.project), |at| projects.remove(at));
        projects.push(project.key(player.id, secret_of(player)));
    }
    for project in projects {
        let limits = match project.id.as_str() {
            "cedar" => gemini_sim::Limits::default().rpm(60).rpd(u64::from(TINY_DAY)),
            _ => gemini_sim::Limits::default().rpm(60),
        };
        config = config.project(project.limit(MODEL, limits));
    }
    config
}

fn keys() -> Result<(KeySet, MemoryStore), Failure> {
    let mut keys = KeySet::default();
    let secrets = MemoryStore::default();
    for player in &PLAYERS {
        let id = KeyId::parse(player.id)?;
        secrets.put(&id, SecretString::from(secret_of(player)));
        let day = (player.project == "cedar").then_some(TINY_DAY);
        let limits = Limits::new(Some(60), None, day);
        keys.upsert(KeyMetadata::new(id, MODEL).with_project(player.project).with_limits(limits))?;
    }
    Ok((keys, secrets))
}

/// Good on the simulator's loopback port only.
fn secret_of(player: &Player) -> String {
    format!("demo-secret-of-{}", player.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_keys_in_four_projects_as_the_simulator_has_them() {
        let config = provider();
        config.check().unwrap();
        assert_eq!((PLAYERS.len(), config.projects.len()), (6, 4));
        let (keys, _) = keys().unwrap();
        for key in &keys {
            let project =
                config.projects.iter().find(|project| project.id == key.quota_project().as_str()).unwrap();
            assert!(project.keys.iter().any(|there| there.id == key.key_id.as_str()), "{}", key.key_id);
        }
    }
}
