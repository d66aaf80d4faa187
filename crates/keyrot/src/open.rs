//! A pool as the settings describe it, with what keeps it fresh.

use std::sync::Arc;

use keyrot_core::{
    Clock, ConfigError, KeyId, KeyPool, KeySet, NO_KEYS, SecretError, SecretStore, SecretWriter, SystemClock,
};

use crate::backends;
use crate::environment::Environment;
use crate::limiter::Chosen;
use crate::reload::{Background, ReloadStatus, Stamp};
use crate::settings::Settings;
use crate::single::SingleKey;

/// Boxed: what is awaited inside does not make the caller's future larger.
type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that whoever started the program should know; not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// How things are.
    Info(String),
    /// Something to look at.
    Warning(String),
}

/// A pool that is ready, with its settings. Ends what runs in the background when it is dropped.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The pool. Clones of it live on without hot reload when this is dropped.
    pub pool: KeyPool,
    /// What it was made from.
    pub settings: Settings,
    /// Where the secrets come from.
    pub secrets: Arc<dyn SecretStore>,
    /// What to tell people once, in the order to tell it; last the keys without a secret.
    pub notices: Vec<Notice>,
    /// Active keys that are not used because their secret could not be had.
    pub without_secret: Vec<(KeyId, SecretError)>,
    background: Background,
}

/// A pool as the environment of this process and its `.env` file say; notices and keys without a secret are logged
/// through `tracing`.
///
/// # Errors
/// Every problem of the configuration at once, or that there is no usable key.
pub async fn from_env() -> Result<Opened, ConfigError> {
    let settings = Settings::from_environment(Environment::read(None)?)?;
    for notice in settings.notices() {
        match notice {
            Notice::Info(text) => tracing::info!("{text}"),
            Notice::Warning(text) => tracing::warn!("{text}"),
        }
    }
    settings.open().await // the pool logs which keys have no secret
}

impl Settings {
    /// Opens the pool: reads keys.json and all secrets, watches keys.json for changes and keeps secrets fresh. Must be
    /// called inside a tokio runtime, whose tasks do the latter. With rotation off there is one key and no file is
    /// looked at.
    ///
    /// # Errors
    /// Every problem of the file or the store; or no active key has a secret, which names each place that was looked
    /// at.
    pub async fn open(self) -> Result<Opened, ConfigError> {
        let opened = self.open_for_inspection().await?;
        opened.require_usable_key()?;
        Ok(opened)
    }

    /// As [`open`](Self::open), but a pool in which no key has a secret is good enough: to look at, not to call with.
    ///
    /// # Errors
    /// As [`open`](Self::open), secrets aside.
    pub async fn open_for_inspection(self) -> Result<Opened, ConfigError> {
        self.open_with(SystemClock).await
    }

    async fn open_with(self, clock: impl Clock + Clone) -> Result<Opened, ConfigError> {
        let mut notices = self.notices();
        let stamp = self.rotates().then(|| Stamp::of(self.keys_path())); // before the file is read
        let (keys, secrets) = if self.rotates() {
            let (keys, secrets) = all_or_every_problem(self.check(), self.key_set(), self.secrets())?;
            secrets.check(&keys)?;
            (keys, secrets)
        } else {
            let single = SingleKey::new(&self.environment, self.default_model())?;
            (single.keys, single.secrets)
        };
        let limiter = self.limiter(Arc::new(clock.clone())).await?;
        notices.extend(limiter.notices);
        let mut pool = KeyPool::builder(keys)
            .shared_secrets(Arc::clone(&secrets))
            .clock(clock.clone())
            .cooldown(self.cooldown())
            .secret_ttl(self.secret_ttl())
            .any_model(!self.rotates());
        if let Some(limiter) = limiter.limiter {
            pool = pool.limiter(limiter);
        }
        let pool = pool.build();
        let without_secret = pool.load_secrets().await;
        notices.extend(
            without_secret.iter().map(|(id, error)| {
                Notice::Warning(format!("key {id} is not used, it has no secret: {error}"))
            }),
        );
        let background = Background::start(&pool, &self, &secrets, stamp, limiter.guarded, clock);
        Ok(Opened { pool, settings: self, secrets, notices, without_secret, background })
    }

    /// The limiter: with rotation off the books of this process.
    async fn limiter(&self, clock: Arc<dyn Clock>) -> Result<Chosen, ConfigError> {
        if !self.rotates() {
            return Ok(Chosen::default());
        }
        #[expect(clippy::disallowed_methods, reason = "a number that tells this process from others")]
        let me = fastrand::Rng::new().u64(1..);
        let opening: BoxFuture<'_, _> = Box::pin(self.limits().open(self.keys_path(), clock, me));
        opening.await
    }

    /// Where limits are counted, in words, and what to look at there; asks a shared limiter how it does.
    ///
    /// # Errors
    /// It cannot be used as it is configured.
    pub async fn describe_limits(&self) -> Result<(String, Vec<Notice>), ConfigError> {
        let chosen = self.limiter(Arc::new(SystemClock)).await?;
        Ok((chosen.description, chosen.notices))
    }

    /// The keys: those of keys.json, or the single one. Whether the store can hold their names is another question,
    /// see [`SecretStore::check`].
    ///
    /// # Errors
    /// Every problem of the file; with rotation off, no key.
    pub fn key_set(&self) -> Result<KeySet, ConfigError> {
        if !self.rotates() {
            return SingleKey::new(&self.environment, self.default_model()).map(|single| single.keys);
        }
        KeySet::load(self.keys_path())
    }

    /// The store that `SECRET_STORE_TYPE` names; with rotation off the one that holds the single key.
    ///
    /// # Errors
    /// A name that means nothing, or a store that this build leaves out; with rotation off, no key.
    pub fn secrets(&self) -> Result<Arc<dyn SecretStore>, ConfigError> {
        if !self.rotates() {
            return SingleKey::new(&self.environment, self.default_model()).map(|single| single.secrets);
        }
        Ok(backends::secret_writer(self)?)
    }

    /// The store that `SECRET_STORE_TYPE` names, to write to, whether rotation is on or off.
    ///
    /// # Errors
    /// A name that means nothing, or a store that this build leaves out.
    pub fn secret_writer(&self) -> Result<Arc<dyn SecretWriter>, ConfigError> {
        backends::secret_writer(self)
    }

    /// What to tell people about the variables; part of [`Opened::notices`].
    pub fn notices(&self) -> Vec<Notice> {
        if !self.rotates() {
            let single = SingleKey::new(&self.environment, self.default_model());
            return single.ok().and_then(|single| single.notice).into_iter().collect();
        }
        self.limits().notices()
    }
}

/// Both values, or the problems of all three.
fn all_or_every_problem<A, B>(
    settings: Result<(), ConfigError>,
    a: Result<A, ConfigError>,
    b: Result<B, ConfigError>,
) -> Result<(A, B), ConfigError> {
    let mut problems = settings.err().map(|error| error.problems().to_vec()).unwrap_or_default();
    match (a, b) {
        (Ok(a), Ok(b)) => ConfigError::of(problems).map_or(Ok((a, b)), Err),
        (a, b) => {
            let errors = [a.err(), b.err()].into_iter().flatten();
            problems.extend(errors.flat_map(|error| error.problems().to_vec()));
            ConfigError::of(problems)
                .map_or_else(|| Err(ConfigError::new("the settings cannot be used")), Err)
        }
    }
}

/// Why each key has no secret. Trouble of the store itself is told of one key: it is the same for all of them.
fn told_once(errors: &[(KeyId, SecretError)]) -> String {
    let mut told: Vec<(&SecretError, Vec<&str>)> = Vec::new();
    for (id, error) in errors {
        match told.iter_mut().find(|(first, _)| first.is_same_trouble(error)) {
            Some((_, others)) => others.push(id.as_str()),
            None => told.push((error, Vec::new())),
        }
    }
    let texts = told.iter().map(|(error, others)| match others.as_slice() {
        [] => error.to_string(),
        [other] => format!("{error}; the same for {other}"),
        others => format!("{error}; the same for {} others", others.len()),
    });
    texts.collect::<Vec<_>>().join("; ")
}

impl Opened {
    fn require_usable_key(&self) -> Result<(), ConfigError> {
        let active = self.pool.keys().iter().filter(|key| key.active).count();
        if active == 0 {
            return Err(ConfigError::new(format!(
                "{NO_KEYS}: {} has no active key; add one with keyrot keys add, or activate one with keyrot keys \
                 enable",
                self.settings.keys_path().display()
            )));
        }
        if self.without_secret.len() == active {
            let told = told_once(&self.without_secret);
            return Err(ConfigError::new(format!("{NO_KEYS}: no secret could be had: {told}")));
        }
        Ok(())
    }

    /// What became of changes to keys.json since the pool was opened.
    pub fn reload_status(&self) -> ReloadStatus {
        self.background.reload_status()
    }

    /// Gemini with these keys.
    ///
    /// # Errors
    /// `GOOGLE_GEMINI_BASE_URL` cannot be used.
    #[cfg(feature = "gemini")]
    pub fn gemini(&self) -> Result<keyrot_gemini::PooledGemini, ConfigError> {
        Ok(keyrot_gemini::PooledGemini::new(self.pool.clone(), self.settings.gemini()?))
    }

    /// A generator of strategies with these keys.
    ///
    /// # Errors
    /// As [`gemini`](Self::gemini).
    #[cfg(feature = "strategy-gen")]
    pub fn generator(&self) -> Result<strategy_gen::StrategyGenerator, ConfigError> {
        Ok(strategy_gen::StrategyGenerator::new(self.gemini()?))
    }

    /// Ends the background work, then the pool: what is left to settle is settled, nobody gets a key any more.
    pub async fn close(self) {
        self.background.stop().await;
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use keyrot_core::SecretErrorKind;

    use super::*;

    #[test]
    fn trouble_of_the_store_itself_is_told_once() {
        let error = |id: &str, kind| {
            (KeyId::parse(id).unwrap(), SecretError::new(kind, format!("store:{id}"), "told at length"))
        };
        use SecretErrorKind::{NotFound, Unreachable};
        let two =
            [error("a", Unreachable), error("b", NotFound), error("c", Unreachable), error("d", NotFound)];
        assert_eq!(
            told_once(&two),
            "store:a: told at length; the same for c; store:b: told at length; store:d: told at length"
        );
        let many: Vec<_> = (0..50).map(|number| error(&format!("k{number}"), Unreachable)).collect();
        assert_eq!(told_once(&many), "store:k0: told at length; the same for 49 others");
    }
}
