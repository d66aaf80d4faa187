//! Limits in Redis, guarded by the failure policy of the settings.

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::secrecy::SecretString;
use keyrot_core::{Clock, ConfigError, FailurePolicy, GuardedLimiter, RateLimiter};
use keyrot_ratelimit_redis::{RedisAddress, RedisLimiter, RedisOptions};

use crate::limiter::Chosen;
use crate::limits::LimitSettings;
use crate::open::Notice;

/// A Redis that nobody has named has to answer within this time.
const PROBE: Duration = Duration::from_millis(250);

/// The limiter at this address, whether it answers or not.
pub(crate) async fn open(
    settings: &LimitSettings,
    variable: &'static str,
    url: &SecretString,
    clock: Arc<dyn Clock>,
    me: u64,
) -> Result<Chosen, ConfigError> {
    let limiter = options(settings, variable, url, &clock)?.limiter()?;
    let mut notices = Vec::new();
    let policy = settings.failure.name();
    let description = match limiter.ping().await {
        Ok(took) => {
            notices.extend(eviction(&limiter).await);
            counted_there(settings, &limiter, took)
        }
        Err(error) => {
            let meanwhile = match settings.failure {
                FailurePolicy::Open => "calls go on without limits",
                FailurePolicy::Share => "each process spends its part of the limits",
                FailurePolicy::Closed => "calls are refused",
            };
            let text = format!("{error}; until it answers KEYROT_REDIS_FAILURE={policy} holds: {meanwhile}");
            notices.push(Notice::Warning(text));
            format!("to be counted in Redis at {}, which does not answer: {meanwhile}", limiter.address())
        }
    };
    Ok(guarded(settings, limiter, clock, me, notices, description))
}

/// The limiter at this address if a server answers there.
pub(crate) async fn probe(
    settings: &LimitSettings,
    url: &SecretString,
    clock: Arc<dyn Clock>,
    me: u64,
) -> Result<Option<Chosen>, ConfigError> {
    let probed = options(settings, "KEYROT_LOCAL_REDIS", url, &clock)?.timeout(PROBE).limiter()?;
    let Ok(took) = probed.ping().await else { return Ok(None) };
    let limiter = options(settings, "KEYROT_LOCAL_REDIS", url, &clock)?.limiter()?;
    let text = format!("limits are counted in the Redis of this machine, {}", limiter.address());
    let mut notices = vec![Notice::Info(text)];
    notices.extend(eviction(&limiter).await);
    let description = counted_there(settings, &limiter, took);
    Ok(Some(guarded(settings, limiter, clock, me, notices, description)))
}

fn counted_there(settings: &LimitSettings, limiter: &RedisLimiter, took: Duration) -> String {
    format!(
        "counted in Redis at {} for every process of the pool {:?}, which answers in {:.1} ms; if it does not, \
         KEYROT_REDIS_FAILURE={} holds",
        limiter.address(),
        settings.pool.as_deref().unwrap_or("default"),
        took.as_secs_f64() * 1000.0,
        settings.failure.name()
    )
}

fn guarded(
    settings: &LimitSettings,
    limiter: RedisLimiter,
    clock: Arc<dyn Clock>,
    me: u64,
    notices: Vec<Notice>,
    description: String,
) -> Chosen {
    let guarded =
        Arc::new(GuardedLimiter::new(Arc::new(limiter), settings.failure, clock, settings.processes, me));
    let limiter: Arc<dyn RateLimiter> = Arc::clone(&guarded) as _;
    let where_counted = "counted in Redis".to_owned();
    Chosen { limiter: Some(limiter), guarded: Some(guarded), notices, where_counted, description }
}

fn options(
    settings: &LimitSettings,
    variable: &'static str,
    url: &SecretString,
    clock: &Arc<dyn Clock>,
) -> Result<RedisOptions, ConfigError> {
    let address = RedisAddress::parse(variable, url)?;
    let client = (settings.certificate.as_deref(), settings.key.as_deref());
    let mut options = RedisOptions::new(address)
        .timeout(settings.timeout)
        .certificates(settings.ca.as_deref(), client)?
        .sentinel_login(None, settings.sentinel_password.as_ref())
        .clock(Arc::clone(clock))
        .tell_when_memory_is_lost();
    if let Some(pool) = &settings.pool {
        options = options.pool(pool);
    }
    if let Some(prefix) = &settings.prefix {
        options = options.prefix(prefix);
    }
    Ok(options)
}

async fn eviction(limiter: &RedisLimiter) -> Option<Notice> {
    let policy = limiter.eviction().await.filter(|policy| policy != "noeviction")?;
    Some(Notice::Warning(format!(
        "the maxmemory-policy of Redis at {} is {policy}: when its memory is full it forgets counts, and more calls \
         are granted than the limits allow; set it to noeviction",
        limiter.address()
    )))
}
