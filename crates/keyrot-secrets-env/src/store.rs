//! `GEMINI_KEY_{key_id}`: which variable holds the secret of a key, and what is in it.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{
    ConfigError, KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, Vars, check_secret_names,
    parse_dotenv,
};

/// The secret store behind `SECRET_STORE_TYPE=env`.
///
/// The secret of a key is in `GEMINI_KEY_{key_id}`; where that is not set, in the same name with every
/// character outside `A-Z a-z 0-9 _` as `_` (shells cannot set others). Case is kept. The field `secret`
/// of an entry names another variable.
///
/// [`check`](SecretStore::check) refuses ids that lead to one variable.
#[derive(Clone)]
pub struct EnvStore {
    pub(crate) process: Vars,
    pub(crate) dotenv: Option<PathBuf>,
}

impl EnvStore {
    /// These variables, for good.
    pub fn new(vars: Vars) -> Self {
        Self { process: vars, dotenv: None }
    }

    /// The variables of the process, and below them a `.env` file: a secret that is changed in the file
    /// is seen without a restart, one that the process was started with wins over the file. A missing
    /// file is an empty one.
    pub fn with_dotenv(process: Vars, path: impl Into<PathBuf>) -> Self {
        Self { process, dotenv: Some(path.into()) }
    }

    fn variables(&self, locator: &str) -> Result<Vars, SecretError> {
        let Some(path) = &self.dotenv else { return Ok(self.process.clone()) };
        let below = match fs::read_to_string(path) {
            Ok(text) => parse_dotenv(&text).map_err(|error| {
                unreadable(locator, path, &error.problems().join("; ")).with_source(error)
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vars::default(),
            Err(error) => return Err(unreadable(locator, path, &error.to_string()).with_source(error)),
        };
        Ok(self.process.clone().over(below))
    }
}

/// Perhaps it is being written just now, so it may be better soon and no held secret is given up.
fn unreadable(locator: &str, path: &Path, why: &str) -> SecretError {
    SecretError::new(SecretErrorKind::Unavailable, locator, format!("cannot read {}: {why}", path.display()))
}

/// The exact name, and the one that a shell can set; the same for most ids.
pub(crate) fn names(key: &KeyMetadata) -> [String; 2] {
    if let Some(name) = &key.secret {
        return [name.clone(), name.clone()];
    }
    let exact = format!("GEMINI_KEY_{}", key.key_id);
    let settable = exact.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_'), "_");
    [exact, settable]
}

/// What is wrong with the name in the field `secret`: neither a shell nor a `.env` file can set it.
pub(crate) fn bad_name(key: &KeyMetadata) -> Option<String> {
    let name = key.secret.as_deref()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (name.is_empty() || !name.chars().all(allowed)).then(|| {
        format!("\"secret\" is {name:?}, which cannot be the name of a variable; allowed: A-Z a-z 0-9 _ . -")
    })
}

impl fmt::Debug for EnvStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvStore").field("dotenv", &self.dotenv).finish_non_exhaustive()
    }
}

#[async_trait]
impl SecretStore for EnvStore {
    fn locator(&self, key: &KeyMetadata) -> String {
        let [exact, _] = names(key);
        format!("env:{exact}")
    }

    fn check(&self, keys: &KeySet) -> Result<(), ConfigError> {
        check_secret_names(keys, |key| match bad_name(key) {
            Some(problem) => Err(problem),
            None => {
                let [exact, settable] = names(key);
                Ok(if exact == settable { vec![exact] } else { vec![exact, settable] })
            }
        })
    }

    async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
        let locator = self.locator(key);
        if let Some(problem) = bad_name(key) {
            return Err(SecretError::new(SecretErrorKind::BadName, locator, problem));
        }
        let vars = self.variables(&locator)?;
        let [exact, settable] = names(key);
        let name = if vars.raw(&exact).is_some() { &exact } else { &settable };
        match vars.raw(name) {
            Some("") => Err(SecretError::new(
                SecretErrorKind::Empty,
                locator,
                format!("{name} is empty; set it to the API key, in the environment or in .env"),
            )),
            Some(secret) => Ok(SecretString::from(secret)),
            None => {
                let either = if exact == settable { exact } else { format!("{exact} or {settable}") };
                Err(SecretError::new(
                    SecretErrorKind::NotFound,
                    locator,
                    format!("not set; set {either} to the API key, in the environment or in .env"),
                ))
            }
        }
    }
}
