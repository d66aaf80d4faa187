//! Limits in a file of this machine, guarded by the failure policy of the settings.

use std::path::Path;
use std::sync::Arc;

use keyrot_core::{Clock, ConfigError, FailurePolicy, GuardedLimiter, LimiterErrorKind, RateLimiter};
use keyrot_ratelimit_sqlite::{SqliteLimiter, SqliteOptions};

use crate::limiter::Chosen;
use crate::limits::LimitSettings;
use crate::open::Notice;

/// The file in a folder that `KEYROT_STATE` names.
const FILE: &str = "state.db";

/// The limiter of this file, whether it can be used or not. If it cannot, and nobody has `named` the file or a failure
/// policy, the process counts by itself: that is stricter than no limits.
pub(crate) async fn open(
    settings: &LimitSettings,
    state: &Path,
    keys: &Path,
    clock: Arc<dyn Clock>,
    me: u64,
    named: bool,
) -> Result<Chosen, ConfigError> {
    let path = if state.is_dir() { state.join(FILE) } else { state.to_owned() };
    let pool = match &settings.pool {
        Some(pool) => pool.clone(),
        // one list of keys is one pool, from whatever folder it is named
        None => keys.canonicalize().unwrap_or_else(|_| keys.to_owned()).display().to_string(),
    };
    let options = SqliteOptions::new(path).pool(&pool).clock(Arc::clone(&clock)).tell_when_memory_is_lost();
    let limiter = options.limiter()?;
    let file = limiter.path().display().to_string();
    let policy = settings.failure.name();
    let mut notices = Vec::new();
    let description = match ask(&limiter, &*clock).await {
        Ok(took) => format!(
            "counted in {file} for every process of this machine that uses the pool {pool:?}; it answers in \
             {took:.1} ms; if it cannot be used, KEYROT_REDIS_FAILURE={policy} holds"
        ),
        Err(error) if !named && settings.failure == FailurePolicy::Open => {
            let text = format!("{error}; limits are counted in this process");
            return Ok(Chosen { notices: vec![Notice::Warning(text)], ..Chosen::default() });
        }
        // no outage: it is as it is until somebody names another place
        Err(error) if error.kind() == LimiterErrorKind::Incompatible => {
            return Err(ConfigError::new(error.to_string()));
        }
        Err(error) => {
            let meanwhile = match settings.failure {
                FailurePolicy::Open => "calls go on without limits",
                FailurePolicy::Share => "each process spends its part of the limits",
                FailurePolicy::Closed => "calls are refused",
            };
            let text =
                format!("{error}; until it can be used, KEYROT_REDIS_FAILURE={policy} holds: {meanwhile}");
            notices.push(Notice::Warning(text));
            format!("to be counted in {file}, which cannot be used: {meanwhile}")
        }
    };
    let guarded =
        Arc::new(GuardedLimiter::new(Arc::new(limiter), settings.failure, clock, settings.processes, me));
    let limiter: Arc<dyn RateLimiter> = Arc::clone(&guarded) as _;
    let where_counted = format!("counted in {file}");
    Ok(Chosen { limiter: Some(limiter), guarded: Some(guarded), notices, where_counted, description })
}

/// How many milliseconds a question takes; the first one opens the file.
async fn ask(limiter: &SqliteLimiter, clock: &dyn Clock) -> Result<f64, keyrot_core::LimiterError> {
    limiter.reserve(&[], &[], u64::MAX).await?;
    let before = clock.now();
    limiter.reserve(&[], &[], u64::MAX).await?;
    Ok(clock.now().saturating_duration_since(before).as_secs_f64() * 1000.0)
}
