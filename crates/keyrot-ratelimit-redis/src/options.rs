//! How a limiter is made.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{Clock, ConfigError, SystemClock};
use redis::{ClientTlsConfig, TlsCertificates};

use crate::address::RedisAddress;
use crate::limiter::RedisLimiter;
use crate::link::{Link, SentinelLogin};
use crate::names::Names;
use crate::server::Server;

/// Where Redis is and how it is used. Nothing is sent before the limiter is asked something.
///
/// ```no_run
/// use keyrot_core::secrecy::SecretString;
/// use keyrot_ratelimit_redis::{RedisAddress, RedisOptions};
/// # fn main() -> Result<(), keyrot_core::ConfigError> {
/// let address = RedisAddress::parse("REDIS_URL", &SecretString::from("redis://localhost:6379/0"))?;
/// let limiter = RedisOptions::new(address).pool("checkout").limiter()?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    address: RedisAddress,
    pool: String,
    prefix: String,
    timeout: Duration,
    certificates: Option<TlsCertificates>,
    login: SentinelLogin,
    clock: Arc<dyn Clock>,
    time_is_given: bool,
    tells_loss: bool,
    one_by_one: bool,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("address", &self.address)
            .field("pool", &self.pool)
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl RedisOptions {
    /// The pool `default`, keys that begin with `keyrot:1:`, 200 ms for each operation.
    pub fn new(address: RedisAddress) -> Self {
        Self {
            address,
            pool: "default".to_owned(),
            prefix: "keyrot:1:".to_owned(),
            timeout: Duration::from_millis(200),
            certificates: None,
            login: SentinelLogin::default(),
            clock: Arc::new(SystemClock),
            time_is_given: false,
            tells_loss: false,
            one_by_one: false,
        }
    }

    /// Pools of different names share nothing (`KEYROT_POOL`).
    #[must_use]
    pub fn pool(mut self, name: impl Into<String>) -> Self {
        self.pool = name.into();
        self
    }

    /// What every key in Redis begins with (`KEYROT_REDIS_PREFIX`).
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The longest that one operation may take, connecting included (`KEYROT_REDIS_TIMEOUT`).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// TLS with an authority of one's own, and with a client's certificate and key: PEM files
    /// (`KEYROT_REDIS_CA`, `KEYROT_REDIS_CERT`, `KEYROT_REDIS_KEY`).
    ///
    /// # Errors
    /// A file cannot be read, a certificate without its key or the other way round, or files although
    /// the address is not one of TLS.
    pub fn certificates(
        mut self,
        ca: Option<&Path>,
        client: (Option<&Path>, Option<&Path>),
    ) -> Result<Self, ConfigError> {
        if ca.is_none() && client == (None, None) {
            return Ok(self);
        }
        if !self.address.tls {
            return Err(ConfigError::new(format!(
                "KEYROT_REDIS_CA, KEYROT_REDIS_CERT and KEYROT_REDIS_KEY are for TLS, but REDIS_URL is {}; use \
                 rediss://, or remove them",
                self.address
            )));
        }
        let read = |variable: &str, path: &Path| {
            std::fs::read(path)
                .map_err(|error| ConfigError::new(format!("{variable}: {}: {error}", path.display())))
        };
        let client_tls = match client {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(ClientTlsConfig {
                client_cert: read("KEYROT_REDIS_CERT", certificate)?,
                client_key: read("KEYROT_REDIS_KEY", key)?,
            }),
            _ => {
                return Err(ConfigError::new(
                    "KEYROT_REDIS_CERT and KEYROT_REDIS_KEY go together: set both or none",
                ));
            }
        };
        let root_cert = ca.map(|path| read("KEYROT_REDIS_CA", path)).transpose()?;
        self.certificates = Some(TlsCertificates { client_tls, root_cert });
        Ok(self)
    }

    /// User and password of the sentinels; those in the address are the servers'
    /// (`KEYROT_REDIS_SENTINEL_PASSWORD`).
    #[must_use]
    pub fn sentinel_login(mut self, user: Option<&str>, password: Option<&SecretString>) -> Self {
        self.login = SentinelLogin {
            user: user.map(ToOwned::to_owned),
            password: password.map(|password| password.expose_secret().to_owned()),
        };
        self
    }

    /// [`Forgot`](keyrot_core::LimiterErrorKind::Forgot) when the server has lost its memory, for a
    /// caller who keeps books of his own. By default counting begins anew, with a warning.
    #[must_use]
    pub fn tell_when_memory_is_lost(mut self) -> Self {
        self.tells_loss = true;
        self
    }

    /// The local clock, from which only the day's ends are guessed.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Counts by this clock in place of the server's: for tests on a clock that is moved by hand.
    #[must_use]
    pub fn count_by(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self.time_is_given = true;
        self
    }

    /// Sends every question by itself, also when others wait: what group commit is measured against.
    #[must_use]
    pub fn one_by_one(mut self) -> Self {
        self.one_by_one = true;
        self
    }

    /// The limiter.
    ///
    /// # Errors
    /// The certificates are none.
    pub fn limiter(self) -> Result<RedisLimiter, ConfigError> {
        let link = Link::new(&self.address, self.certificates, self.login, self.timeout)?;
        let names = Names::new(&self.prefix, &self.pool);
        let server = Server::new(
            self.address,
            link,
            names,
            self.timeout,
            self.clock,
            self.time_is_given,
            self.tells_loss,
        );
        Ok(RedisLimiter::new(server, self.one_by_one))
    }
}
