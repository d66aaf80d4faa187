//! The connection: one, held and cloned, replaced when it breaks.
//!
//! deadpool-redis makes connections. It is not asked for each call, for it asks the server whether
//! the connection still lives each time, which costs as much as a call. One multiplexed connection
//! serves any number of callers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::{Manager, Pool, Runtime};
use keyrot_core::ConfigError;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, Pipeline, RedisError, RedisFuture,
    RedisResult, ServerErrorKind, TlsCertificates, TlsMode, Value,
};

use crate::address::{RedisAddress, Target};

/// Makes connections and holds the present one.
pub(crate) struct Link {
    source: Source,
    held: Mutex<Option<Held>>,
    /// One connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

enum Source {
    Single(Pool),
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>, AsyncConnectionConfig),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
struct Held {
    connection: Connection,
    /// Tells one connection from the next.
    mark: Arc<()>,
}

/// A connection of either kind.
#[derive(Clone)]
pub(crate) enum Connection {
    One(MultiplexedConnection),
    Cluster(Box<ClusterConnection>),
}

/// A clone of the connection that is held.
pub(crate) struct Borrowed {
    pub(crate) connection: Connection,
    mark: Arc<()>,
}

/// Users of the sentinels, where they have a password of their own.
#[derive(Clone, Default)]
pub(crate) struct SentinelLogin {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl Link {
    pub(crate) fn new(
        address: &RedisAddress,
        certificates: Option<TlsCertificates>,
        login: SentinelLogin,
        timeout: Duration,
    ) -> Result<Self, ConfigError> {
        if address.tls {
            provide_cryptography();
        }
        let wrong = |error: RedisError| {
            ConfigError::new(format!("a connection to Redis at {address} cannot be prepared: {error}"))
        };
        // whoever sends keeps the time of the reply: a second timer for it costs as much as a lock
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(None);
        let source = match &address.target {
            Target::Single(info) => {
                let info = with_certificates(info, certificates).map_err(wrong)?;
                let manager = Manager::new_with_config(info, config).map_err(wrong)?;
                let pool = Pool::builder(manager)
                    .max_size(1)
                    .runtime(Runtime::Tokio1)
                    .create_timeout(Some(timeout))
                    .recycle_timeout(Some(timeout))
                    .wait_timeout(Some(timeout))
                    .build()
                    .map_err(|error| ConfigError::new(format!("no pool for Redis at {address}: {error}")))?;
                Source::Single(pool)
            }
            Target::Sentinel { sentinels, service, master } => {
                let client = sentinel(sentinels, service, master, address.tls, certificates, login);
                Source::Sentinel(Box::new(tokio::sync::Mutex::new(client.map_err(wrong)?)), config)
            }
            Target::Cluster(nodes) => {
                let mut builder = ClusterClient::builder(nodes.clone())
                    .connection_timeout(timeout)
                    .response_timeout(timeout)
                    .retries(2)
                    .min_retry_wait(5)
                    .max_retry_wait(20);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                Source::Cluster(Box::new(builder.build().map_err(wrong)?))
            }
        };
        Ok(Self { source, held: Mutex::default(), connecting: tokio::sync::Mutex::default() })
    }

    pub(crate) async fn connection(&self) -> RedisResult<Borrowed> {
        if let Some(borrowed) = self.peek() {
            return Ok(borrowed);
        }
        let _one = self.connecting.lock().await;
        if let Some(borrowed) = self.peek() {
            return Ok(borrowed);
        }
        let held = Held { connection: self.connect().await?, mark: Arc::default() };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held.clone());
        Ok(Borrowed { connection: held.connection, mark: held.mark })
    }

    /// Gives a connection up after an error, unless it was replaced already.
    pub(crate) fn broken(&self, borrowed: &Arc<()>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.mark, borrowed)) {
            *held = None;
        }
    }

    fn peek(&self) -> Option<Borrowed> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { connection, mark } = held.as_ref()?.clone();
        Some(Borrowed { connection, mark })
    }

    /// Boxed: a caller's future would otherwise hold all that a connection needs while it is made.
    fn connect(&self) -> RedisFuture<'_, Connection> {
        Box::pin(async { self.connect_now().await })
    }

    async fn connect_now(&self) -> RedisResult<Connection> {
        match &self.source {
            Source::Single(pool) => {
                let made = pool.get().await.map_err(|error| match error {
                    deadpool_redis::PoolError::Backend(error) => error,
                    other => RedisError::from((ErrorKind::Io, "no connection", other.to_string())),
                })?;
                // taken out of the pool: what breaks is replaced by a new one
                Ok(Connection::One(deadpool_redis::Connection::take(made)))
            }
            Source::Sentinel(client, config) => {
                let made = client.lock().await.get_async_connection_with_config(config).await?;
                Ok(Connection::One(made))
            }
            Source::Cluster(client) => {
                Ok(Connection::Cluster(Box::new(client.get_async_connection().await?)))
            }
        }
    }
}

impl Borrowed {
    pub(crate) fn mark(&self) -> Arc<()> {
        Arc::clone(&self.mark)
    }
}

/// Whether the connection is of no use any more: it broke, or it leads to a server that is no master
/// any more. A cluster's connection finds its way by itself.
pub(crate) fn breaks(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
                | ErrorKind::AuthenticationFailed
        )
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(one) => one.req_packed_command(command),
            Self::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(one) => one.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => cluster.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(one) => one.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

fn with_certificates(
    info: &ConnectionInfo,
    certificates: Option<TlsCertificates>,
) -> RedisResult<ConnectionInfo> {
    match certificates {
        Some(certificates) => {
            Ok(Client::build_with_tls(info.clone(), certificates)?.get_connection_info().clone())
        }
        None => Ok(info.clone()),
    }
}

fn sentinel(
    sentinels: &[ConnectionInfo],
    service: &str,
    master: &ConnectionInfo,
    tls: bool,
    certificates: Option<TlsCertificates>,
    login: SentinelLogin,
) -> RedisResult<SentinelClient> {
    let addresses = sentinels.iter().map(|info| info.addr().clone());
    let mut builder = SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)?;
    let settings = master.redis_settings();
    builder = builder.set_client_to_redis_db(settings.db());
    if let Some(user) = settings.username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = settings.password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if let Some(user) = login.user {
        builder = builder.set_client_to_sentinel_username(user);
    }
    if let Some(password) = login.password {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    builder.build()
}

/// The redis crate takes the process's cryptography and panics if there is none. A user's choice is
/// left alone.
fn provide_cryptography() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // fails only if somebody else was quicker
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
}
