//! Four keys in four projects, of which only A is well: B is not valid, C is refused for 30 s, D is overloaded half
//! of the time. The scenario on which other rotations were measured.

use gemini_sim::{Config, Fault, FaultKind, Latency};
use keyrot_core::KeyMetadata;

use crate::world::{entry, project};

/// How many requests one run sends.
pub const REQUESTS: usize = 1000;
/// How many of them are under way at a time.
pub const CONCURRENCY: usize = 16;
/// How long C says that it has to be left alone.
pub const C_RESTS_MS: u64 = 30_000;

/// The four projects without any trouble; a reply takes this long.
pub fn healthy(upstream_ms: u64) -> Config {
    let config = Config::default().latency(Latency::Fixed { ms: upstream_ms });
    ["A", "B", "C", "D"].iter().fold(config, |config, id| config.project(project(id, &[id])))
}

/// The four projects with their troubles.
pub fn troubled(upstream_ms: u64) -> Config {
    healthy(upstream_ms)
        .fault(Fault::new(FaultKind::KeyInvalid).key("B"))
        .fault(Fault::new(FaultKind::Quota { retry_after_s: C_RESTS_MS as f64 / 1000.0 }).key("C"))
        .fault(Fault::new(FaultKind::Overloaded).key("D").probability(0.5))
}

/// All four refused for the minute, each for another time; A is the first to be free again.
pub fn exhausted() -> Config {
    [("A", 20.0), ("B", 30.0), ("C", 40.0), ("D", 50.0)]
        .into_iter()
        .fold(healthy(50), |config, (id, delay)| {
            config.fault(Fault::new(FaultKind::Quota { retry_after_s: delay }).key(id))
        })
}

/// The entries of keys.json, without limits.
pub fn entries() -> Vec<KeyMetadata> {
    ["A", "B", "C", "D"].map(|id| entry(id, id)).into()
}
