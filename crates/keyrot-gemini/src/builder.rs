//! Settings of the client, checked before the first call.

use std::net::IpAddr;
use std::time::Duration;

use keyrot_core::ConfigError;
use reqwest::Url;

use crate::client::{Gemini, Timeouts};

/// Google's address.
pub const DEFAULT_BASE_URL: &str = "https://generativelanguage.googleapis.com";

/// The version that has every model; the base URL may name another.
const VERSION: &str = "v1beta";

/// Builds a [`Gemini`].
#[derive(Clone, Debug)]
#[must_use]
pub struct GeminiBuilder {
    base_url: String,
    connect: Duration,
    timeouts: Timeouts,
}

impl Default for GeminiBuilder {
    fn default() -> Self {
        Self {
            base_url: DEFAULT_BASE_URL.to_owned(),
            connect: Duration::from_secs(10),
            timeouts: Timeouts {
                first_byte: Duration::from_secs(180),
                chunk: Duration::from_secs(30),
                total: Duration::from_secs(600),
            },
        }
    }
}

impl GeminiBuilder {
    /// Where the API is; default [`DEFAULT_BASE_URL`]. A slash at the end, or a version (`/v1`, `/v1beta`), may
    /// be there or not. The facade takes it from `GOOGLE_GEMINI_BASE_URL`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = url.into();
        self
    }

    /// Longest time to connect, TLS included; default 10 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect = limit;
        self
    }

    /// Longest time until a reply begins: for a stream its first event, else its head, which Gemini sends
    /// when the answer is complete. Default 180 s.
    pub fn first_byte_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.first_byte = limit;
        self
    }

    /// Longest silence inside a reply; default 30 s.
    pub fn chunk_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.chunk = limit;
        self
    }

    /// Longest time for a call with its whole reply; default 600 s, which is Gemini's own. The server is told
    /// (`X-Server-Timeout`).
    pub fn total_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.total = limit;
        self
    }

    /// Checks the settings and makes the client. Its proxy is the system's (`HTTPS_PROXY`, `NO_PROXY`), except for a
    /// loopback address, which is reached directly.
    ///
    /// TLS comes from the process-wide rustls provider if the program installed one, else from aws-lc-rs, given
    /// explicitly: nothing is installed here, so two libraries cannot collide.
    pub fn build(self) -> Result<Gemini, ConfigError> {
        let base = parse_base(&self.base_url)?;
        for (name, limit) in [
            ("connect timeout", self.connect),
            ("first byte timeout", self.timeouts.first_byte),
            ("chunk timeout", self.timeouts.chunk),
            ("total timeout", self.timeouts.total),
        ] {
            if limit.is_zero() {
                return Err(ConfigError::bad_value(name, "0 s", "more than 0 s"));
            }
        }
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("keyrot/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect)
            .redirect(reqwest::redirect::Policy::none()) // a redirect would carry the key to another place
            .referer(false);
        if is_loopback(&base) {
            http = http.no_proxy();
        }
        if base.scheme() == "http" {
            // No certificate is ever looked at: do without the system's, which may not be there at all.
            http = http.tls_certs_only([]);
            if !is_loopback(&base) {
                tracing::warn!(host = base.host_str(), "the base URL is plain http: keys travel unencrypted");
            }
        }
        let http = http.build().map_err(|error| {
            let error = error.without_url();
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            ConfigError::new(format!(
                "the HTTP client cannot be made: {error}{cause}; are root certificates installed \
                 (package ca-certificates, or SSL_CERT_FILE)?"
            ))
        })?;
        Ok(Gemini::new(http, base, self.timeouts))
    }
}

/// The base with its version, without a slash at the end. What was found is not repeated where it may hold a
/// password.
fn parse_base(text: &str) -> Result<Url, ConfigError> {
    const NAME: &str = "the base URL (GOOGLE_GEMINI_BASE_URL)";
    let wrong = |problem: &str| {
        ConfigError::new(format!(
            "{NAME} {problem}; allowed: http(s)://host[:port][/path], as {DEFAULT_BASE_URL}"
        ))
    };
    let mut url = Url::parse(text.trim()).map_err(|error| wrong(&format!("cannot be read ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!("begins with {:?}", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a user name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("holds a query or a fragment (the key travels in a header)"));
    }
    let path = url.path().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let versioned = last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let path = if versioned { path.to_owned() } else { format!("{path}/{VERSION}") };
    url.set_path(&path);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_gets_its_version_once() {
        for (text, base) in [
            (DEFAULT_BASE_URL, "https://generativelanguage.googleapis.com/v1beta"),
            ("https://host/", "https://host/v1beta"),
            (" https://host/v1beta/ ", "https://host/v1beta"),
            ("https://host/v1", "https://host/v1"),
            ("http://127.0.0.1:8080/gemini//", "http://127.0.0.1:8080/gemini/v1beta"),
            ("https://host/vault", "https://host/vault/v1beta"),
        ] {
            assert_eq!(parse_base(text).unwrap().as_str(), base, "{text}");
        }
    }

    #[test]
    fn a_bad_base_is_named_without_its_secrets() {
        for (text, word) in [
            ("", "cannot be read"),
            ("host/v1", "cannot be read"),
            ("ftp://host", "ftp"),
            ("https://me:hunter2@host", "password"),
            ("https://host/?key=hunter2", "query"),
        ] {
            let error = parse_base(text).unwrap_err().to_string();
            assert!(error.contains("GOOGLE_GEMINI_BASE_URL") && error.contains(word), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_timeout_of_nothing_is_refused_by_name() {
        let error = GeminiBuilder::default().chunk_timeout(Duration::ZERO).build().unwrap_err().to_string();
        assert!(error.contains("chunk timeout"), "{error}");
    }

    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        for (text, loopback) in [
            ("http://127.0.0.1:1", true),
            ("http://[::1]:1", true),
            ("http://localhost", true),
            ("http://127.0.0.1.example.org", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(text).unwrap()), loopback, "{text}");
        }
    }
}
