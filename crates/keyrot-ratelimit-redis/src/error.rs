//! What goes wrong with Redis, in words that say what to do.

use keyrot_core::{LimiterError, LimiterErrorKind};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What the scripts' own errors begin with.
const OURS: &str = "keyrot:";
/// How the servers begin to say that a script's user may not run a command of the script; which one they keep to
/// themselves.
const DENIED_IN_SCRIPT: [&str; 2] = ["The user executing the script", "ACL failure in script"];
/// What a user needs, as docs/redis-protocol.md has it.
const RIGHTS: &str = "+eval +evalsha +time +get +set +setrange +hget +hset +hdel +zadd +zrem +zrangebyscore \
                      +zremrangebyscore +zcard +pexpire";

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
    let text = error.to_string();
    let by_sentinels = address.to_string().contains("+sentinel://");
    let advice = match error.kind() {
        _ if by_sentinels && asks_for_a_password(&error) => {
            "; the servers' user and password stand in REDIS_URL, the sentinels' password in \
             KEYROT_REDIS_SENTINEL_PASSWORD"
        }
        ErrorKind::AuthenticationFailed => "; check user and password in REDIS_URL",
        ErrorKind::Server(ServerErrorKind::NoPerm) => &missing_right(&text),
        _ if DENIED_IN_SCRIPT.iter().any(|denied| text.contains(denied)) => {
            &format!("; grant its user every command of the scripts: ACL SETUSER NAME {RIGHTS}")
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => {
            "; it is a replica: name the master, or the sentinels"
        }
        ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::Moved) => {
            "; it is a cluster: use redis+cluster:// in REDIS_URL"
        }
        ErrorKind::MasterNameNotFoundBySentinel => "; check the name of the service in REDIS_URL",
        _ if asks_for_a_password(&error) => "; it asks for a password: put it into REDIS_URL",
        _ if ["UnknownIssuer", "BadSignature"].iter().any(|unknown| text.contains(unknown)) => {
            "; name the certificate of its authority with KEYROT_REDIS_CA"
        }
        _ if text.contains("CertificateRequired") => {
            "; it asks for a client's certificate: name one with KEYROT_REDIS_CERT and KEYROT_REDIS_KEY"
        }
        _ => "",
    };
    LimiterError::new(
        LimiterErrorKind::Unavailable,
        format!("Redis at {address} cannot be used: {text}{advice}"),
    )
    .with_source(error)
}

fn asks_for_a_password(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed || error.code() == Some("NOAUTH")
}

/// What to grant, by the server's words: it quotes the command that it has refused.
fn missing_right(text: &str) -> String {
    let command = text.split_once("to run the '").and_then(|(_, rest)| rest.split('\'').next());
    match command.map(str::to_ascii_lowercase).as_deref() {
        Some("eval" | "evalsha") => {
            "; grant its user the commands: ACL SETUSER NAME +evalsha +eval".to_owned()
        }
        Some(command) => format!("; grant its user the command: ACL SETUSER NAME +{command}"),
        None => {
            "; let its user at the keys of keyrot: ACL SETUSER NAME ~keyrot:*, or what KEYROT_REDIS_PREFIX \
                 says, with all that docs/redis-protocol.md lists"
                .to_owned()
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_are_those_of_the_documentation() {
        let text = include_str!("../../../docs/redis-protocol.md");
        assert!(text.contains(&format!("~keyrot:* +@connection {RIGHTS} ")), "{RIGHTS}");
    }
}
