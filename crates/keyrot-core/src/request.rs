//! What a caller asks of the pool.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::key::{ModelName, ProjectId};

/// One call that needs a key.
///
/// ```
/// use keyrot_core::KeyRequest;
/// let request = KeyRequest::model("gemini-2.5-flash").tokens(5_000).tag("region", "us-east");
/// assert_eq!(request.input_tokens, 5_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRequest {
    /// The model that is wanted; `None` takes any key with the model of its entry.
    pub model: Option<ModelName>,
    /// Tried in this order when no key can serve `model` now.
    pub fallback_models: Vec<ModelName>,
    /// Tags that a key must all carry.
    pub tags: BTreeMap<String, String>,
    /// Estimated input tokens; default 1000. 10 % is added for the reservation, the rest is settled.
    pub input_tokens: u64,
    /// How long [`KeyPool::run`](crate::KeyPool::run) may take in all, waiting included; default 120 s.
    pub deadline: Duration,
    /// Only this project, for resources that live in one (cached content, files).
    pub pin: Option<ProjectId>,
}

impl KeyRequest {
    /// Any key, with the model of its entry.
    pub fn any() -> Self {
        Self {
            model: None,
            fallback_models: Vec::new(),
            tags: BTreeMap::new(),
            input_tokens: 1000,
            deadline: Duration::from_secs(120),
            pin: None,
        }
    }

    /// A key that serves this model.
    pub fn model(model: impl Into<ModelName>) -> Self {
        Self { model: Some(model.into()), ..Self::any() }
    }

    /// Adds a model to try when none can serve the ones before it.
    #[must_use]
    pub fn fallback(mut self, model: impl Into<ModelName>) -> Self {
        self.fallback_models.push(model.into());
        self
    }

    /// Demands a tag.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the estimate of input tokens.
    #[must_use]
    pub fn tokens(mut self, input_tokens: u64) -> Self {
        self.input_tokens = input_tokens;
        self
    }

    /// Sets the time that the whole call may take.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Stays inside one project.
    #[must_use]
    pub fn pinned_to(mut self, project: ProjectId) -> Self {
        self.pin = Some(project);
        self
    }
}
