//! The limiter that the settings describe.

use std::sync::Arc;

use keyrot_core::{Clock, ConfigError, GuardedLimiter, RateLimiter};

use crate::limits::{LimitSettings, Where};
use crate::open::Notice;

/// A limiter, who has to be looked after beside it, and what to tell people.
pub(crate) struct Chosen {
    /// `None`: the books of this process.
    pub(crate) limiter: Option<Arc<dyn RateLimiter>>,
    pub(crate) guarded: Option<Arc<GuardedLimiter>>,
    pub(crate) notices: Vec<Notice>,
    /// Where it counts, and how it does.
    pub(crate) description: String,
}

impl Default for Chosen {
    fn default() -> Self {
        let description = "counted in this process".to_owned();
        Self { limiter: None, guarded: None, notices: Vec::new(), description }
    }
}

impl LimitSettings {
    /// Opens the limiter. Redis that cannot be reached is no error: its failure policy holds.
    #[cfg_attr(
        not(feature = "ratelimit-redis"),
        expect(clippy::unused_async, reason = "without Redis nobody is waited for")
    )]
    pub(crate) async fn open(&self, clock: Arc<dyn Clock>, me: u64) -> Result<Chosen, ConfigError> {
        #[cfg(feature = "ratelimit-redis")]
        match &self.place {
            Where::Redis(url) => return crate::redis::open(self, "REDIS_URL", url, clock, me).await,
            Where::Probed(url) => {
                if let Some(chosen) = crate::redis::probe(self, url, Arc::clone(&clock), me).await? {
                    return Ok(chosen);
                }
                let text = "limits hold in this process: REDIS_URL is not set, and there is no Redis on this machine";
                return Ok(Chosen { notices: vec![Notice::Info(text.to_owned())], ..Chosen::default() });
            }
            Where::Embedded => {}
        }
        #[cfg(not(feature = "ratelimit-redis"))]
        let _ = (clock, me);
        Ok(Chosen::default())
    }

    /// What is to be told without asking anybody; not told again when it is opened.
    pub(crate) fn notices(&self) -> Vec<Notice> {
        if cfg!(feature = "ratelimit-redis") || !matches!(self.place, Where::Redis(_)) {
            return Vec::new();
        }
        let text = "REDIS_URL is set, but Redis support is not in this build: limits hold in this process";
        vec![Notice::Info(text.to_owned())]
    }
}
