//! What a key is: its id, its project, its limits. Never its secret.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::error::ConfigError;
use crate::outcome::Quota;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type! {
    /// The id of an entry of keys.json: 1 to 64 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
    ///
    /// The narrow alphabet is what every secret store can hold in a name.
    KeyId
}
name_type! {
    /// A quota domain: the provider counts requests and tokens for each (project, model).
    ProjectId
}
name_type! {
    /// A model as the provider names it, without the `models/` prefix: `gemini-2.5-flash`.
    ModelName
}

impl KeyId {
    /// Checks the alphabet and the length.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if looks_like_an_api_key(text) {
            return Err(ConfigError::new(
                "key_id looks like an API key; allowed: a name of your choice, which is shown and logged. Take \
                 the key out, and replace it at the provider if others saw it",
            ));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(allowed) {
            return Err(ConfigError::bad_value(
                "key_id",
                text,
                "1 to 64 letters, digits, '.', '_' or '-', not beginning with '.'",
            ));
        }
        Ok(Self(text.into()))
    }
}

/// True for the two shapes of Google's API keys, which some write where a name belongs.
pub(crate) fn looks_like_an_api_key(text: &str) -> bool {
    text.starts_with("AIza") || text.starts_with("AQ.")
}

impl From<&str> for ProjectId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<&str> for ModelName {
    fn from(text: &str) -> Self {
        Self(text.strip_prefix("models/").unwrap_or(text).into())
    }
}

impl ModelName {
    /// The name as it stands, where a prefix was taken off before.
    pub(crate) fn exactly(text: &str) -> Self {
        Self(text.into())
    }
}

/// Quota of one (project, model). A field that is `None` is not limited; 0 means never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u32>,
    /// Input tokens per minute (Gemini counts input only).
    pub tpm: Option<u64>,
    /// Requests per day; the day ends at midnight America/Los_Angeles.
    pub rpd: Option<u32>,
}

impl Limits {
    /// Limits in the order of the guide's table.
    pub fn new(rpm: Option<u32>, tpm: Option<u64>, rpd: Option<u32>) -> Self {
        Self { rpm, tpm, rpd }
    }

    /// The stricter of both, field by field: siblings that state different limits share the lowest.
    #[must_use]
    pub fn lowest(self, other: Self) -> Self {
        fn low<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self { rpm: low(self.rpm, other.rpm), tpm: low(self.tpm, other.tpm), rpd: low(self.rpd, other.rpd) }
    }

    /// The limit of one window.
    pub(crate) fn of(&self, quota: Quota) -> Option<u64> {
        match quota {
            Quota::RequestsPerDay => self.rpd.map(u64::from),
            Quota::RequestsPerMinute => self.rpm.map(u64::from),
            Quota::TokensPerMinute => self.tpm,
        }
    }

    /// True if some limit is 0: nothing is ever sent there.
    pub fn forbids_everything(&self) -> bool {
        self.rpm == Some(0) || self.tpm == Some(0) || self.rpd == Some(0)
    }
}

/// An entry of keys.json.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyMetadata {
    /// Unique name of the entry; names the secret as well (`GEMINI_KEY_{key_id}`).
    pub key_id: KeyId,
    /// The model this key is used for; `models` lists more.
    pub model_name: ModelName,
    /// `gemini`; a key of another provider is kept but never selected.
    pub provider: String,
    /// Quota domain; without it a key is its own project.
    pub project: Option<ProjectId>,
    /// Lower is used first; default 0. Traffic spills to the next priority when a tier is full.
    pub priority: u32,
    /// Share of the traffic inside a priority; default 1; 0 is never drawn.
    pub weight: u32,
    /// False takes the key out without deleting it.
    pub active: bool,
    /// Free labels; a request may ask for some of them.
    pub tags: BTreeMap<String, String>,
    /// Quota for `model_name`.
    pub limits: Limits,
    /// Further models that this key serves, with their quota. If `model_name` is among them, the quota
    /// here is used for it instead of `limits`.
    pub models: BTreeMap<ModelName, Limits>,
    /// Name of the secret in the store when it differs from what the key id gives.
    pub secret: Option<String>,
    /// RFC 3339, or naive which means UTC; as text, since nothing is computed from it.
    pub created_at: Option<String>,
    /// Set on each change by this program.
    pub updated_at: Option<String>,
}

impl KeyMetadata {
    /// An active Gemini key without limits.
    pub fn new(key_id: KeyId, model: impl Into<ModelName>) -> Self {
        Self {
            key_id,
            model_name: model.into(),
            provider: "gemini".to_owned(),
            project: None,
            priority: 0,
            weight: 1,
            active: true,
            tags: BTreeMap::new(),
            limits: Limits::default(),
            models: BTreeMap::new(),
            secret: None,
            created_at: None,
            updated_at: None,
        }
    }

    /// Sets the quota for `model_name`.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Puts the key into a project.
    #[must_use]
    pub fn with_project(mut self, project: &str) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn with_tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the priority (lower first).
    #[must_use]
    pub fn with_priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the weight inside the priority.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// The quota domain: the named project, or one of the key's own.
    pub fn quota_project(&self) -> ProjectId {
        self.project.clone().unwrap_or_else(|| ProjectId(Arc::clone(&self.key_id.0)))
    }

    /// Each model that this key serves, with its quota.
    pub fn served_models(&self) -> Vec<(ModelName, Limits)> {
        let mut served = self.models.clone();
        served.entry(self.model_name.clone()).or_insert(self.limits);
        served.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_outside_the_alphabet_are_refused_by_name() {
        for bad in ["", ".", ".a", "a/b", "a b", "ключ", &"x".repeat(65)] {
            let error = KeyId::parse(bad).unwrap_err().to_string();
            assert!(error.contains("key_id"), "{error}");
        }
        for good in ["flash_01", "a-b.c", "A"] {
            assert_eq!(KeyId::parse(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn an_api_key_is_no_id_and_is_not_repeated() {
        for key in ["AIzaSyFAKE-0123456789", "AQ.FAKE-0123456789"] {
            let error = KeyId::parse(key).unwrap_err().to_string();
            assert!(error.contains("looks like an API key") && !error.contains(key), "{error}");
        }
    }

    #[test]
    fn siblings_share_the_lowest_limit_of_each_field() {
        let a = Limits::new(Some(10), None, Some(5));
        let b = Limits::new(Some(3), Some(100), None);
        assert_eq!(a.lowest(b), Limits::new(Some(3), Some(100), Some(5)));
    }

    #[test]
    fn a_key_without_a_project_is_its_own() {
        let key = KeyMetadata::new(KeyId::parse("k").unwrap(), "models/m");
        assert_eq!(key.quota_project().as_str(), "k");
        assert_eq!(key.model_name.as_str(), "m");
    }
}
