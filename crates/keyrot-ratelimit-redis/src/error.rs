//! What goes wrong with Redis, in words that say what to do.

use keyrot_core::{LimiterError, LimiterErrorKind};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What the scripts' own errors begin with.
const OURS: &str = "keyrot:";

/// The server's time, if a script refused because the midnights it was given are far from it.
pub(crate) fn wrong_midnights(error: &RedisError) -> Option<u64> {
    own(error)?.strip_prefix("DAYS ")?.parse().ok()
}

/// The text between `keyrot:` and `;` of an error that a script has raised.
fn own(error: &RedisError) -> Option<String> {
    let text = error.to_string();
    let (_, own) = text.split_once(OURS)?;
    Some(own.split(';').next().unwrap_or_default().to_owned())
}

/// The error for callers; `address` has no credentials.
pub(crate) fn limiter_error(address: &impl std::fmt::Display, error: RedisError) -> LimiterError {
    if let Some(what) = own(&error).as_deref().and_then(|own| own.strip_prefix("INCOMPATIBLE ")) {
        return LimiterError::new(
            LimiterErrorKind::Incompatible,
            format!(
                "Redis at {address} holds a {what}, which this keyrot does not know: it is left as it is. Upgrade \
                 keyrot, or give this pool a name of its own with KEYROT_POOL"
            ),
        );
    }
    let advice = match error.kind() {
        ErrorKind::AuthenticationFailed => "; check user and password in REDIS_URL",
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            "; allow its user the commands of docs/redis-protocol.md"
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "; it is a replica: name the master, or the sentinels"
        }
        ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::Moved) => {
            "; it is a cluster: use redis+cluster:// in REDIS_URL"
        }
        ErrorKind::MasterNameNotFoundBySentinel => "; check the name of the service in REDIS_URL",
        _ if error.code() == Some("NOAUTH") => "; it asks for a password: put it into REDIS_URL",
        _ if error.to_string().contains("UnknownIssuer") => {
            "; name the certificate of its authority with KEYROT_REDIS_CA"
        }
        _ => "",
    };
    LimiterError::new(
        LimiterErrorKind::Unavailable,
        format!("Redis at {address} cannot be used: {error}{advice}"),
    )
    .with_source(error)
}

/// The server did not answer in time.
pub(crate) fn too_slow(address: &impl std::fmt::Display, within: std::time::Duration) -> LimiterError {
    LimiterError::new(
        LimiterErrorKind::Unavailable,
        format!("Redis at {address} did not answer within {} ms (KEYROT_REDIS_TIMEOUT)", within.as_millis()),
    )
}

/// A reply that no script of ours gives.
pub(crate) fn not_understood(address: &impl std::fmt::Display) -> LimiterError {
    LimiterError::new(
        LimiterErrorKind::Incompatible,
        format!("Redis at {address} gave a reply that is not keyrot's"),
    )
}
