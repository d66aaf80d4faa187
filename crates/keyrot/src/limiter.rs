//! The limiter that the settings describe.

use std::path::Path;
use std::sync::Arc;

use keyrot_core::{Clock, ConfigError, GuardedLimiter, RateLimiter};

use crate::limits::{LimitSettings, State, Where};
use crate::open::Notice;

/// A limiter, who has to be looked after beside it, and what to tell people.
pub(crate) struct Chosen {
    /// `None`: the books of this process.
    pub(crate) limiter: Option<Arc<dyn RateLimiter>>,
    pub(crate) guarded: Option<Arc<GuardedLimiter>>,
    pub(crate) notices: Vec<Notice>,
    /// `counted in ...`, in short.
    #[cfg_attr(
        not(feature = "ratelimit-redis"),
        expect(dead_code, reason = "told by a build that has Redis")
    )]
    pub(crate) where_counted: String,
    /// Where it counts, and how it does.
    pub(crate) description: String,
}

impl Default for Chosen {
    fn default() -> Self {
        let description = "counted in this process".to_owned();
        Self {
            limiter: None,
            guarded: None,
            notices: Vec::new(),
            where_counted: description.clone(),
            description,
        }
    }
}

impl LimitSettings {
    /// Opens the limiter. Redis that cannot be reached is no error, nor is a file that cannot be used: the
    /// failure policy holds. `keys` is the list of keys, which names the pool where nothing else does.
    pub(crate) async fn open(
        &self,
        keys: &Path,
        clock: Arc<dyn Clock>,
        me: u64,
    ) -> Result<Chosen, ConfigError> {
        #[cfg(feature = "ratelimit-redis")]
        match &self.place {
            Where::Redis(url) => return crate::redis::open(self, "REDIS_URL", url, clock, me).await,
            Where::Probed(url) => {
                if let Some(chosen) = crate::redis::probe(self, url, Arc::clone(&clock), me).await? {
                    return Ok(chosen);
                }
                let mut chosen = self.embedded(keys, clock, me).await?;
                let text = format!(
                    "limits are {}: REDIS_URL is not set, and there is no Redis on this machine",
                    chosen.where_counted
                );
                chosen.notices.insert(0, Notice::Info(text));
                return Ok(chosen);
            }
            Where::Embedded => {}
        }
        self.embedded(keys, clock, me).await
    }

    /// The limiter that needs no server.
    #[cfg(feature = "ratelimit-sqlite")]
    async fn embedded(&self, keys: &Path, clock: Arc<dyn Clock>, me: u64) -> Result<Chosen, ConfigError> {
        match &self.state {
            State::Named(path) => crate::sqlite::open(self, path, keys, clock, me, true).await,
            State::Default(path) => crate::sqlite::open(self, path, keys, clock, me, false).await,
            State::Unnamed | State::InProcess => Ok(Chosen::default()),
        }
    }

    /// The limiter that needs no server.
    #[cfg(not(feature = "ratelimit-sqlite"))]
    #[expect(clippy::unused_async, reason = "a build with more limiters asks one of them")]
    async fn embedded(&self, _: &Path, _: Arc<dyn Clock>, _: u64) -> Result<Chosen, ConfigError> {
        Ok(Chosen::default())
    }

    /// What is to be told without asking anybody; not told again when it is opened.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        if cfg!(feature = "ratelimit-redis") || !matches!(self.place, Where::Redis(_)) {
            return Vec::new();
        }
        let embedded = match &self.state {
            State::Named(path) | State::Default(path) => format!("are counted in {}", path.display()),
            State::Unnamed | State::InProcess => "hold in this process".to_owned(),
        };
        let text = format!("REDIS_URL is set, but Redis support is not in this build: limits {embedded}");
        vec![Notice::Info(text)]
    }
}
