//! Where limits are counted: what `REDIS_URL` and the variables beside it say. docs/configuration.md has the table.

use std::path::PathBuf;
use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{ConfigError, FailurePolicy, Vars};

/// The variables of limits, which are looked at when rotation is on.
pub(crate) const VARIABLES: [&str; 11] = [
    "KEYROT_LOCAL_REDIS",
    "KEYROT_POOL",
    "KEYROT_PROCESSES",
    "KEYROT_REDIS_CA",
    "KEYROT_REDIS_CERT",
    "KEYROT_REDIS_FAILURE",
    "KEYROT_REDIS_KEY",
    "KEYROT_REDIS_PREFIX",
    "KEYROT_REDIS_TIMEOUT",
    "KEYROT_REDIS_SENTINEL_PASSWORD",
    "KEYROT_STATE",
];

/// Where `REDIS_URL` says that limits are counted.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "ratelimit-redis"), expect(dead_code, reason = "read by a build that has Redis"))]
pub(crate) enum Where {
    /// `REDIS_URL` is set.
    Redis(SecretString),
    /// It is not set: in the Redis of this machine if there is one.
    Probed(SecretString),
    /// It is set to nothing: in this process, Redis is never contacted.
    Embedded,
}

/// Where limits are counted if not in Redis: what `KEYROT_STATE` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It is not set, nor does the program name a place of its own.
    Unnamed,
    /// It is [`IN_PROCESS`].
    InProcess,
    /// It is set.
    Named(PathBuf),
    /// It is not set: where the program keeps it.
    Default(PathBuf),
}

/// Asks for counts in the process where a file is the default.
const IN_PROCESS: &str = ":memory:";

#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "ratelimit-redis"), expect(dead_code, reason = "read by a build that has Redis"))]
pub(crate) struct LimitSettings {
    pub(crate) state: State,
    pub(crate) place: Where,
    pub(crate) failure: FailurePolicy,
    pub(crate) processes: u32,
    pub(crate) pool: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) sentinel_password: Option<SecretString>,
}

impl LimitSettings {
    /// Reads them; what is wrong joins `problems`.
    pub(crate) fn read(vars: &Vars, problems: &mut Vec<String>) -> Self {
        let secret = |name: &str| vars.text(name).map(SecretString::from);
        let path = |name: &str| vars.text(name).map(PathBuf::from);
        let place = match vars.raw("REDIS_URL") {
            Some("") => Where::Embedded,
            Some(url) => Where::Redis(SecretString::from(url)),
            None => match vars.raw("KEYROT_LOCAL_REDIS") {
                Some("") => Where::Embedded,
                address => Where::Probed(SecretString::from(address.unwrap_or("redis://localhost:6379/0"))),
            },
        };
        #[cfg(feature = "ratelimit-redis")]
        if let Where::Redis(url) = &place
            && let Err(error) = keyrot_ratelimit_redis::RedisAddress::parse("REDIS_URL", url)
        {
            problems.extend_from_slice(error.problems());
        }
        let failure = vars.text("KEYROT_REDIS_FAILURE").unwrap_or("open");
        let failure = FailurePolicy::of_name(&failure.to_ascii_lowercase()).unwrap_or_else(|| {
            let error = ConfigError::bad_value("KEYROT_REDIS_FAILURE", failure, "open, share or closed");
            problems.extend_from_slice(error.problems());
            FailurePolicy::default()
        });
        let processes = vars.text("KEYROT_PROCESSES").unwrap_or("1");
        let processes = processes.parse().ok().filter(|count| *count > 0).unwrap_or_else(|| {
            let error =
                ConfigError::bad_value("KEYROT_PROCESSES", processes, "a number of processes, 1 or more");
            problems.extend_from_slice(error.problems());
            1
        });
        let default = Duration::from_millis(200);
        let timeout = match vars.duration("KEYROT_REDIS_TIMEOUT") {
            Ok(Some(timeout)) if timeout.is_zero() => {
                problems.push("KEYROT_REDIS_TIMEOUT is 0; allowed: more than 0, such as 200ms".to_owned());
                default
            }
            Ok(timeout) => timeout.unwrap_or(default),
            Err(error) => {
                problems.extend_from_slice(error.problems());
                default
            }
        };
        let state = match vars.text("KEYROT_STATE") {
            None => State::Unnamed,
            Some(IN_PROCESS) => State::InProcess,
            Some(path) => State::Named(path.into()),
        };
        if cfg!(not(feature = "ratelimit-sqlite")) && matches!(state, State::Named(_)) {
            let text = "KEYROT_STATE names a file for limits, which this build has no support for: it is the feature \
                        ratelimit-sqlite; remove the variable to count in this process";
            problems.push(text.to_owned());
        }
        Self {
            state,
            place,
            failure,
            processes,
            pool: vars.text("KEYROT_POOL").map(ToOwned::to_owned),
            prefix: vars.text("KEYROT_REDIS_PREFIX").map(ToOwned::to_owned),
            timeout,
            ca: path("KEYROT_REDIS_CA"),
            certificate: path("KEYROT_REDIS_CERT"),
            key: path("KEYROT_REDIS_KEY"),
            sentinel_password: secret("KEYROT_REDIS_SENTINEL_PASSWORD"),
        }
    }
}
