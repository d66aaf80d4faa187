//! What is simulated: projects with keys and limits, models, windows, latency, faults.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::catalog::{self, Model};
use crate::fault::Fault;
use crate::latency::Latency;
use crate::window::Window;

/// A whole simulated service. Read from JSON with [`Config::from_json`] or built in code:
///
/// ```
/// use gemini_sim::{Config, Limits, Project, Window};
/// let config = Config::default()
///     .window(Window::Sliding)
///     .project(Project::new("alpha").key("a1", "secret-1").limit("*", Limits::default().rpm(10)));
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The projects; each is one quota domain.
    pub projects: Vec<Project>,
    /// The models; default: [`crate::catalog::models`].
    pub models: Vec<Model>,
    /// Names that are answered by another model; default: [`crate::catalog::aliases`].
    pub aliases: BTreeMap<String, String>,
    /// How limits per minute are counted; default: fixed minutes. A project may differ.
    pub window: Window,
    /// From the arrival of a call to the first byte of its reply; default: 50 ms.
    pub latency: Latency,
    /// The same for calls that are refused; default: 5 ms.
    pub refusal_latency: Latency,
    /// Between two chunks of a stream; default: 5 ms.
    pub chunk_latency: Latency,
    /// What goes wrong, and when.
    pub faults: Vec<Fault>,
    /// How many attempts are remembered; the oldest are forgotten first, and counted. Default: 100 000.
    pub record_limit: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            projects: Vec::new(),
            models: catalog::models(),
            aliases: catalog::aliases(),
            window: Window::default(),
            latency: Latency::Fixed { ms: 50 },
            refusal_latency: Latency::Fixed { ms: 5 },
            chunk_latency: Latency::Fixed { ms: 5 },
            faults: Vec::new(),
            record_limit: 100_000,
        }
    }
}

impl Config {
    /// Adds a project.
    #[must_use]
    pub fn project(mut self, project: Project) -> Self {
        self.projects.push(project);
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets how limits per minute are counted.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Sets the latency of accepted calls.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }
}

/// A Cloud project: the quota domain of its keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    /// Name in this configuration and in the record of attempts.
    pub id: String,
    /// The project number that some error bodies print; default: made from the position in the list.
    pub number: Option<u64>,
    /// Free or paid: changes the names of quotas in error bodies.
    #[serde(default)]
    pub tier: Tier,
    /// The keys, which share all quota.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// Limits by model name; `*` holds for all models without an entry. No entry: unlimited.
    #[serde(default)]
    pub limits: BTreeMap<String, Limits>,
    /// How this project's limits per minute are counted; default: as [`Config::window`].
    pub window: Option<Window>,
}

impl Project {
    /// A free project without keys and limits.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            number: None,
            tier: Tier::Free,
            keys: Vec::new(),
            limits: BTreeMap::new(),
            window: None,
        }
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.keys.push(Key { id: id.into(), secret: Secret(secret.into()) });
        self
    }

    /// Sets the limits of a model, or of all others with `*`.
    #[must_use]
    pub fn limit(mut self, model: impl Into<String>, limits: Limits) -> Self {
        self.limits.insert(model.into(), limits);
        self
    }

    /// Sets how this project's limits per minute are counted.
    #[must_use]
    pub fn window(mut self, window: Window) -> Self {
        self.window = Some(window);
        self
    }

    /// The limits that hold for this model.
    pub(crate) fn limits_of(&self, model: &str) -> Limits {
        self.limits.get(model).or_else(|| self.limits.get("*")).copied().unwrap_or_default()
    }
}

/// The billing tier of a project, as far as error bodies show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Quota names end in `-FreeTier`.
    #[default]
    Free,
    /// Quota names without that ending.
    Paid,
}

/// An API key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Name in the record of attempts and in fault filters.
    pub id: String,
    /// What a caller sends in `x-goog-api-key`.
    pub secret: Secret,
}

/// A key's secret; never printed.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub(crate) String);

impl Secret {
    pub(crate) fn trimmed(&self) -> Self {
        Self(self.0.trim().to_owned())
    }
}

/// For looking a caller's secret up.
impl Borrow<str> for Secret {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Limits of one (project, model). None: unlimited; 0: no quota at all on this tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Input tokens per minute.
    pub tpm: Option<u64>,
    /// Requests per day of Los Angeles.
    pub rpd: Option<u64>,
}

impl Limits {
    /// Sets the requests per minute.
    #[must_use]
    pub fn rpm(mut self, rpm: u64) -> Self {
        self.rpm = Some(rpm);
        self
    }

    /// Sets the input tokens per minute.
    #[must_use]
    pub fn tpm(mut self, tpm: u64) -> Self {
        self.tpm = Some(tpm);
        self
    }

    /// Sets the requests per day.
    #[must_use]
    pub fn rpd(mut self, rpd: u64) -> Self {
        self.rpd = Some(rpd);
        self
    }
}
