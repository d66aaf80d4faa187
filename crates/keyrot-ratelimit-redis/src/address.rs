//! `REDIS_URL`: where the server is, in the forms that people use.

use keyrot_core::{ConfigError, secrecy::ExposeSecret, secrecy::SecretString};
use redis::{ConnectionInfo, IntoConnectionInfo};

/// What is allowed, for messages.
const ALLOWED: &str = "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS, unix:///PATH, \
                       redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DB] or redis+cluster://HOST:PORT,HOST:PORT";

/// What kind of installation it is, and its nodes as `redis://` addresses.
#[derive(Clone)]
pub(crate) enum Target {
    /// One server, by TCP, TLS or Unix socket.
    Single(ConnectionInfo),
    /// Servers that elect a master, which the sentinels know by the name of the service.
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, master: ConnectionInfo },
    /// Servers that share the keys.
    Cluster(Vec<ConnectionInfo>),
}

/// A parsed address. `Debug` and `Display` show it without user and password.
#[derive(Clone)]
pub struct RedisAddress {
    pub(crate) target: Target,
    pub(crate) tls: bool,
    shown: String,
}

impl std::fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl RedisAddress {
    /// Reads an address; `variable` names where it is from.
    ///
    /// # Errors
    /// It is none of the forms. The message holds no password.
    pub fn parse(variable: &str, url: &SecretString) -> Result<Self, ConfigError> {
        let url = url.expose_secret().trim();
        let wrong = |why: &str| {
            ConfigError::new(format!(
                "{variable} cannot be used: {why} ({}); allowed: {ALLOWED}",
                without_credentials(url)
            ))
        };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let tls = scheme.starts_with("rediss");
        let (plain, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let (credentials, place) = rest.rsplit_once('@').map_or(("", rest), |(who, at)| (who, at));
        let at = if credentials.is_empty() { String::new() } else { format!("{credentials}@") };
        let node = |host: &str, path: &str| {
            let one = format!("{plain}://{at}{host}{path}");
            // the cause may repeat the password
            one.into_connection_info().map_err(|_| wrong("a part of it is not understood"))
        };
        let target = match (plain, kind) {
            ("redis" | "rediss", "") => Target::Single(node(place, "")?),
            ("unix", "") => Target::Single(
                url.into_connection_info().map_err(|_| wrong("a part of it is not understood"))?,
            ),
            ("redis" | "rediss", "sentinel") => {
                let (hosts, path) = place.split_once('/').ok_or_else(|| wrong("it names no service"))?;
                let (service, db) = path.split_once('/').unwrap_or((path, "0"));
                if service.is_empty() {
                    return Err(wrong("it names no service"));
                }
                let sentinels = hosts
                    .split(',')
                    .map(|host| {
                        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:26379") };
                        let one = format!("{plain}://{host}");
                        one.into_connection_info().map_err(|_| wrong("a sentinel is not understood"))
                    })
                    .collect::<Result<_, _>>()?;
                let master = node("localhost", &format!("/{db}"))?;
                Target::Sentinel { sentinels, service: service.to_owned(), master }
            }
            ("redis" | "rediss", "cluster") => {
                let hosts = place.trim_end_matches('/');
                let nodes = hosts.split(',').map(|host| node(host, "")).collect::<Result<_, _>>()?;
                Target::Cluster(nodes)
            }
            _ => return Err(wrong("its scheme is unknown")),
        };
        Ok(Self { target, tls, shown: without_credentials(url) })
    }
}

/// The address for people: from a URL that may not be one, without what stands before `@`, and without
/// a query, which may hold a password as well.
fn without_credentials(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, place))) => format!("{scheme}://{place}"),
        (None, Some((_, place))) => place.to_owned(),
        (Some(_), None) => url.to_owned(),
        (None, None) => "it is not shown, for it may be a password".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<RedisAddress, ConfigError> {
        RedisAddress::parse("REDIS_URL", &SecretString::from(url))
    }

    #[test]
    fn every_form_is_understood_and_shown_without_credentials() {
        for (url, shown) in [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("rediss://user:s3cret@example.org:6390/2", "rediss://example.org:6390/2"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("unix:///run/redis.sock?db=1&pass=s3cret", "unix:///run/redis.sock"),
            ("redis+sentinel://:s3cret@a:1,b/main/3", "redis+sentinel://a:1,b/main/3"),
            ("rediss+cluster://u:s3cret@a:1,b:2", "rediss+cluster://a:1,b:2"),
        ] {
            let address = parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(format!("{address} {address:?}"), format!("{shown} {shown}"));
            assert_eq!(address.tls, url.starts_with("rediss"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_a_password() {
        for url in [
            "s3cret",
            "localhost:6379",
            "http://u:s3cret@localhost",
            "redis://u:s3cret@localhost:port",
            "redis+sentinel://u:s3cret@a:1",
            "redis+sentinel://u:s3cret@a:1/",
            "redis+tree://u:s3cret@a:1",
            "u:s3cret@localhost",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.contains("REDIS_URL") && error.contains("redis+sentinel://HOST"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
