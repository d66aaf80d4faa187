//! What became of a leased call, and who is to blame: the vocabulary between a provider's
//! classifier and the pool.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::key::{KeyId, ModelName, ProjectId};
use crate::limit::Group;

/// Who a failure is held against. `Service`, `Caller` and `Host` never harm a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Blame {
    /// The request itself.
    Caller,
    /// This machine: its address, its clock, its proxy.
    Host,
    /// The key that sent the call.
    Key,
    /// The model, whatever the key.
    Model,
    /// The project of the key, for every model.
    Project,
    /// The project of the key, for this model: the domain of Gemini's quotas.
    ProjectModel,
    /// The provider or the network.
    Service,
}

impl Blame {
    /// Stable name, as in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Host => "host",
            Self::Key => "key",
            Self::Model => "model",
            Self::Project => "project",
            Self::ProjectModel => "project_model",
            Self::Service => "service",
        }
    }
}

/// What the pool does about it. docs/failover.md has the arithmetic of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// The scope rests for the server's delay, else 30 s, 60 s, 120 s ...
    Cooldown,
    /// Returned at once; nobody is punished.
    Fail,
    /// The secret is read again; if it is unchanged the key is quarantined and probed.
    KeyRejected,
    /// The model does not exist for this project; a fallback model may.
    ModelMissing,
    /// No quota on this tier at all: rests 24 h.
    NoQuota,
    /// The project rests on the cooldown schedule.
    OutOfCredit,
    /// The model has no capacity now.
    Overload,
    /// The project rests on the cooldown schedule.
    ProjectRejected,
    /// The call succeeded (a safety block or a full answer buffer is a success for the key).
    Success,
    /// Trouble on the way; the same or another key may try again.
    Transient,
    /// The day's quota is gone until midnight America/Los_Angeles.
    UntilPacificMidnight,
}

impl Effect {
    /// Stable name, as in metrics and JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::Fail => "fail",
            Self::KeyRejected => "key_rejected",
            Self::ModelMissing => "model_missing",
            Self::NoQuota => "no_quota",
            Self::OutOfCredit => "out_of_credit",
            Self::Overload => "overload",
            Self::ProjectRejected => "project_rejected",
            Self::Success => "success",
            Self::Transient => "transient",
            Self::UntilPacificMidnight => "until_pacific_midnight",
        }
    }
}

/// A quota window of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quota {
    /// Requests per day.
    RequestsPerDay,
    /// Requests per minute.
    RequestsPerMinute,
    /// Input tokens per minute.
    TokensPerMinute,
}

/// A limit that the provider named in a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedLimit {
    /// Which window.
    pub quota: Quota,
    /// The provider's `quotaValue`, if it gave one.
    pub value: Option<u64>,
}

/// What the call really used, as the provider says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// `promptTokenCount`: what counts against the tokens of the minute. `None` keeps the estimate.
    pub input_tokens: Option<u64>,
}

impl Usage {
    /// The input tokens that the provider counted.
    pub fn input(tokens: u64) -> Self {
        Self { input_tokens: Some(tokens) }
    }
}

/// The verdict on one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Who is to blame.
    pub blame: Blame,
    /// What is done about it.
    pub effect: Effect,
    /// How long the provider asked to wait.
    pub retry_after: Option<Duration>,
    /// A limit named by the provider.
    pub learned: Option<LearnedLimit>,
    /// The project's number as the provider knows it (`consumer: projects/N`).
    pub learned_project: Option<String>,
    /// One line for people; already free of secrets.
    pub detail: Cow<'static, str>,
    /// What the call used, where known.
    pub usage: Usage,
}

impl Outcome {
    /// A failure with its scope and effect.
    pub fn new(blame: Blame, effect: Effect, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            blame,
            effect,
            retry_after: None,
            learned: None,
            learned_project: None,
            detail: detail.into(),
            usage: Usage::default(),
        }
    }

    /// A call that succeeded.
    pub fn success(usage: Usage) -> Self {
        Self { usage, ..Self::new(Blame::Service, Effect::Success, "success") }
    }

    /// Adds the delay that the provider asked for.
    #[must_use]
    pub fn retry_after(mut self, delay: Option<Duration>) -> Self {
        self.retry_after = delay;
        self
    }

    /// Adds a limit that the provider named.
    #[must_use]
    pub fn learned(mut self, learned: Option<LearnedLimit>) -> Self {
        self.learned = learned;
        self
    }
}

/// Turns a caller's error into a verdict. Pure: the same error always means the same.
pub trait Classify {
    /// The verdict.
    fn outcome(&self) -> Outcome;
}

impl Classify for Outcome {
    fn outcome(&self) -> Outcome {
        self.clone()
    }
}

/// What a block applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scope {
    /// Everything sent from this machine.
    Host,
    /// One key.
    Key(KeyId),
    /// One model in every project.
    Model(ModelName),
    /// All keys and models of a project.
    Project(ProjectId),
    /// One model of a project.
    ProjectModel(ProjectId, ModelName),
}

impl Scope {
    /// The kind alone, as in metrics and JSON output.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Key(_) => "key",
            Self::Model(_) => "model",
            Self::Project(_) => "project",
            Self::ProjectModel(..) => "project_model",
        }
    }

    /// The group, if the scope is one.
    pub fn group(&self) -> Option<Group> {
        match self {
            Self::ProjectModel(project, model) => {
                Some(Group { project: project.clone(), model: model.clone() })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Key(key) => write!(f, "key {key}"),
            Self::Model(model) => write!(f, "model {model}"),
            Self::Project(project) => write!(f, "project {project}"),
            Self::ProjectModel(project, model) => write!(f, "{model} in project {project}"),
        }
    }
}

/// Why a key or a group cannot serve now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Resting after a failure.
    Cooldown,
    /// The requests of the day are used up.
    DayQuota,
    /// This machine is suspected (three distinct keys refused alike).
    HostSuspected,
    /// `active` is false.
    Inactive,
    /// Learned pace: one call in so many seconds.
    Pace,
    /// The provider refuses the key.
    KeyRejected,
    /// A limit of 0 in keys.json.
    LimitZero,
    /// The provider does not know this model in this project.
    ModelMissing,
    /// The model has no capacity.
    ModelOverloaded,
    /// No quota on this tier.
    NoQuota,
    /// The project's credit is used up.
    OutOfCredit,
    /// A probe is under way; more calls when it has succeeded.
    Probing,
    /// The provider refuses the project.
    ProjectRejected,
    /// The requests of the minute are used up.
    MinuteRequests,
    /// The input tokens of the minute are used up.
    MinuteTokens,
    /// No secret for this key.
    SecretUnavailable,
    /// The request alone exceeds the limit of tokens per minute.
    TooLarge,
    /// The provider of the entry is not supported.
    UnknownProvider,
    /// `weight` is 0.
    WeightZero,
}

impl Reason {
    /// Stable name, as in metrics and JSON output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::DayQuota => "requests_per_day",
            Self::HostSuspected => "host_suspected",
            Self::Inactive => "inactive",
            Self::KeyRejected => "key_rejected",
            Self::LimitZero => "limit_zero",
            Self::MinuteRequests => "requests_per_minute",
            Self::MinuteTokens => "tokens_per_minute",
            Self::ModelMissing => "model_missing",
            Self::ModelOverloaded => "model_overloaded",
            Self::NoQuota => "no_quota",
            Self::OutOfCredit => "out_of_credit",
            Self::Pace => "pace",
            Self::Probing => "probing",
            Self::ProjectRejected => "project_rejected",
            Self::SecretUnavailable => "secret_unavailable",
            Self::TooLarge => "too_large",
            Self::UnknownProvider => "unknown_provider",
            Self::WeightZero => "weight_zero",
        }
    }
}

impl Reason {
    /// False if a person has to act before the key can serve: waiting in line for it is futile,
    /// though it is probed now and then.
    pub fn passes_by_itself(self) -> bool {
        !matches!(
            self,
            Self::Inactive
                | Self::KeyRejected
                | Self::LimitZero
                | Self::ModelMissing
                | Self::NoQuota
                | Self::OutOfCredit
                | Self::ProjectRejected
                | Self::SecretUnavailable
                | Self::TooLarge
                | Self::UnknownProvider
                | Self::WeightZero
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
