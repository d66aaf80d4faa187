//! Every variable, read once: what is allowed, what is the default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyrot_core::{Backoff, ConfigError, ModelName, SecretCache, StoreTimeouts, Vars};

use crate::environment::Environment;
use crate::limits::{LimitSettings, State, VARIABLES};
use crate::nearest::nearest;

/// The model when neither the caller nor `KEYROT_MODEL` names one and rotation is off. A moving name: the provider
/// says with each reply which model it stands for.
pub const DEFAULT_MODEL: &str = "gemini-flash-latest";

/// Every variable that begins with `KEYROT_`: another one is a slip.
const OWN: [&str; 8] = [
    "KEYROT_COOLDOWN_BASE",
    "KEYROT_COOLDOWN_MAX",
    "KEYROT_ENV_FILE",
    "KEYROT_KEYS_FILE",
    "KEYROT_MODEL",
    "KEYROT_SECRET_CONNECT_TIMEOUT",
    "KEYROT_SECRET_TIMEOUT",
    "KEYROT_SECRET_TTL",
];

/// How keyrot is configured. docs/configuration.md has the table of the variables.
///
/// ```
/// use keyrot::{Settings, Vars};
/// let vars = Vars::from_iter([("GEMINI_API_KEY", "the-key"), ("KEYROT_MODEL", "gemini-2.5-pro")]);
/// let settings = Settings::from_vars(&vars)?;
/// assert!(!settings.rotates());
/// assert_eq!(settings.default_model().as_str(), "gemini-2.5-pro");
///
/// let error = Settings::from_vars(&Vars::from_iter([("KEYROT_MODLE", "x")])).unwrap_err().to_string();
/// assert!(error.contains("did you mean KEYROT_MODEL?"));
/// # Ok::<(), keyrot::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) environment: Environment,
    rotation: bool,
    default_model: ModelName,
    backoff: Backoff,
    base_url: Option<String>,
    several: SeveralKeys,
    /// Wrong only if rotation is on: with one key these variables are not looked at.
    several_problems: Vec<String>,
}

/// What only several keys need.
#[derive(Clone, Debug)]
struct SeveralKeys {
    keys_file: PathBuf,
    secret_store: String,
    limits: LimitSettings,
    secret_ttl: Duration,
    secret_timeouts: StoreTimeouts,
}

impl Settings {
    /// Reads these variables and no file.
    ///
    /// # Errors
    /// Every problem at once: what the variable is and what is allowed.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        Self::from_environment(Environment::of(vars.clone()))
    }

    /// As [`from_vars`](Self::from_vars); a secret that changes in the `.env` file is seen without a restart.
    ///
    /// # Errors
    /// As [`from_vars`](Self::from_vars).
    pub fn from_environment(environment: Environment) -> Result<Self, ConfigError> {
        let vars = environment.vars();
        let mut problems = unknown(vars);
        let rotation = noted(vars.flag("ENABLE_KEY_ROTATION"), &mut problems).unwrap_or(false);
        let backoff = backoff(vars, &mut problems);
        let base_url = base_url(vars, &mut problems);
        let mut several_problems = Vec::new();
        let several = several_keys(vars, &mut several_problems);
        let default_model = vars.text("KEYROT_MODEL").unwrap_or(DEFAULT_MODEL).into();
        if !problems.is_empty() && rotation {
            problems.append(&mut several_problems);
        }
        match ConfigError::of(problems) {
            Some(error) => Err(error),
            None => Ok(Self {
                rotation,
                default_model,
                backoff,
                base_url,
                several,
                several_problems,
                environment,
            }),
        }
    }

    /// Turns rotation on or off whatever `ENABLE_KEY_ROTATION` says; `None` leaves it as it is.
    #[must_use]
    pub fn rotation(mut self, on: Option<bool>) -> Self {
        self.rotation = on.unwrap_or(self.rotation);
        self
    }

    /// Reads the keys from this file instead of the one that `KEYROT_KEYS_FILE` names.
    #[must_use]
    pub fn keys_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.several.keys_file = path.into();
        self
    }

    /// Counts limits in this file where `REDIS_URL` and `KEYROT_STATE` say nothing: for a program whose runs are
    /// short. Has no effect in a build without the feature `ratelimit-sqlite`.
    #[must_use]
    pub fn default_state(mut self, path: impl Into<PathBuf>) -> Self {
        let state = &mut self.several.limits.state;
        if *state == State::Unnamed {
            *state = State::Default(path.into());
        }
        self
    }

    /// True if the keys come from keys.json, false if there is one key from `GEMINI_API_KEY` or `GOOGLE_API_KEY`.
    pub fn rotates(&self) -> bool {
        self.rotation
    }

    /// Where the keys are when rotation is on; default `keys.json` of the working directory.
    pub fn keys_path(&self) -> &Path {
        &self.several.keys_file
    }

    /// `KEYROT_MODEL`, or [`DEFAULT_MODEL`].
    pub fn default_model(&self) -> &ModelName {
        &self.default_model
    }

    /// `KEYROT_COOLDOWN_BASE` and `KEYROT_COOLDOWN_MAX`.
    pub fn cooldown(&self) -> Backoff {
        self.backoff
    }

    /// `GOOGLE_GEMINI_BASE_URL`; `None`: Google's own address.
    pub fn base_url(&self) -> Option<&str> {
        self.base_url.as_deref()
    }

    /// `SECRET_STORE_TYPE` in small letters; whether this build has it shows when it is opened.
    pub fn secret_store(&self) -> &str {
        &self.several.secret_store
    }

    pub(crate) fn limits(&self) -> &LimitSettings {
        &self.several.limits
    }

    /// How long a secret is used before it is read again.
    pub fn secret_ttl(&self) -> Duration {
        if self.rotation { self.several.secret_ttl } else { SecretCache::DEFAULT_TTL }
    }

    /// How long a store of secrets is waited for.
    pub fn secret_timeouts(&self) -> StoreTimeouts {
        self.several.secret_timeouts
    }

    /// The variables that these settings were read from, secrets among them.
    pub fn vars(&self) -> &Vars {
        self.environment.vars()
    }

    /// Refuses variables of several keys that cannot be used, if rotation is on; part of [`open`](Self::open).
    ///
    /// # Errors
    /// Every problem at once.
    pub fn check(&self) -> Result<(), ConfigError> {
        let problems = if self.rotation { self.several_problems.clone() } else { Vec::new() };
        ConfigError::of(problems).map_or(Ok(()), Err)
    }

    /// A client for `GOOGLE_GEMINI_BASE_URL`.
    ///
    /// # Errors
    /// An address that cannot be used.
    #[cfg(feature = "gemini")]
    pub fn gemini(&self) -> Result<keyrot_gemini::Gemini, ConfigError> {
        let builder = keyrot_gemini::Gemini::builder();
        match &self.base_url {
            Some(url) => builder.base_url(url).build(),
            None => builder.build(),
        }
    }
}

fn unknown(vars: &Vars) -> Vec<String> {
    let mut own: Vec<&str> = OWN.into_iter().chain(VARIABLES).collect();
    own.sort_unstable();
    let unknown = vars.names_with_prefix("KEYROT_").filter(|name| !own.contains(name));
    unknown
        .map(|name| match nearest(name, &own) {
            Some(known) => format!("{name} is not a variable of keyrot; did you mean {known}?"),
            None => format!("{name} is not a variable of keyrot; allowed: {}", own.join(", ")),
        })
        .collect()
}

/// The value, or its problems among the others.
fn noted<T>(read: Result<T, ConfigError>, problems: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| problems.extend_from_slice(error.problems())).ok()
}

/// A duration above 0, or the default.
fn duration(vars: &Vars, name: &'static str, default: Duration, problems: &mut Vec<String>) -> Duration {
    match noted(vars.duration(name), problems).flatten() {
        Some(duration) if duration.is_zero() => {
            problems.push(format!("{name} is 0; allowed: more than 0, such as 30s or 5m"));
            default
        }
        stated => stated.unwrap_or(default),
    }
}

fn backoff(vars: &Vars, problems: &mut Vec<String>) -> Backoff {
    let Backoff { base, max } = Backoff::default();
    let before = problems.len();
    let base = duration(vars, "KEYROT_COOLDOWN_BASE", base, problems);
    let max = duration(vars, "KEYROT_COOLDOWN_MAX", max, problems);
    if base > max && problems.len() == before {
        problems.push(format!(
            "KEYROT_COOLDOWN_BASE ({base:?}) is longer than KEYROT_COOLDOWN_MAX ({max:?}); make it the shorter one"
        ));
    }
    Backoff { base, max }
}

fn base_url(vars: &Vars, problems: &mut Vec<String>) -> Option<String> {
    let url = vars.text("GOOGLE_GEMINI_BASE_URL")?;
    if !url.starts_with("http://") && !url.starts_with("https://") {
        // not repeated: it may hold a password
        problems.push(
            "GOOGLE_GEMINI_BASE_URL begins neither with http:// nor with https://; allowed: \
             http(s)://host[:port][/path], or leave it out for Google's own address"
                .to_owned(),
        );
        return None;
    }
    Some(url.to_owned())
}

fn several_keys(vars: &Vars, problems: &mut Vec<String>) -> SeveralKeys {
    SeveralKeys {
        keys_file: vars.text("KEYROT_KEYS_FILE").unwrap_or("keys.json").into(),
        secret_store: vars.text("SECRET_STORE_TYPE").unwrap_or("env").to_ascii_lowercase(),
        secret_ttl: duration(vars, "KEYROT_SECRET_TTL", SecretCache::DEFAULT_TTL, problems),
        secret_timeouts: secret_timeouts(vars, problems),
        limits: LimitSettings::read(vars, problems),
    }
}

fn secret_timeouts(vars: &Vars, problems: &mut Vec<String>) -> StoreTimeouts {
    let StoreTimeouts { connect, total } = StoreTimeouts::default();
    let before = problems.len();
    let total = duration(vars, "KEYROT_SECRET_TIMEOUT", total, problems);
    let stated = vars.text("KEYROT_SECRET_CONNECT_TIMEOUT").is_some();
    let connect = duration(vars, "KEYROT_SECRET_CONNECT_TIMEOUT", connect, problems);
    if stated && connect > total && problems.len() == before {
        problems.push(format!(
            "KEYROT_SECRET_CONNECT_TIMEOUT ({connect:?}) is longer than KEYROT_SECRET_TIMEOUT ({total:?}), which \
             it is a part of; make it the shorter one"
        ));
    }
    StoreTimeouts { connect: connect.min(total), total }
}
