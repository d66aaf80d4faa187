//! Why a call to Gemini failed, in one line without secrets, with its verdict for the pool.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use keyrot_core::{Blame, Classify, Effect, Outcome};

use crate::classify::classify_hiding;
use crate::redact::{one_line, redact_secret};

/// What kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GeminiErrorKind {
    /// No connection: DNS, TCP, TLS or a proxy.
    Connect,
    /// The answer ended before its end was seen; what came of it is worth nothing.
    Incomplete,
    /// The connection broke while it was in use.
    Interrupted,
    /// The request cannot be sent as it is.
    InvalidRequest,
    /// The reply is not what the API answers.
    Malformed,
    /// The API refused, before or in the middle of an answer.
    Refused,
    /// It took too long.
    Timeout,
    /// The reply is longer than this client takes.
    TooLarge,
}

/// A call to Gemini failed.
///
/// `Display` is one line and `Debug` holds nothing more: what came from outside went through
/// [`redact`](crate::redact()) and was cut to 300 characters.
#[derive(Clone, Debug)]
pub struct GeminiError {
    inner: Box<Inner>,
}

#[derive(Clone, Debug)]
struct Inner {
    kind: GeminiErrorKind,
    status: Option<u16>,
    outcome: Outcome,
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Waited {
    FirstByte,
    NextChunk,
    Total,
    /// The caller's own deadline, shorter than the client's limit.
    Caller,
}

impl GeminiError {
    fn new(
        kind: GeminiErrorKind,
        blame: Blame,
        effect: Effect,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { inner: Box::new(Inner { kind, status: None, outcome: Outcome::new(blame, effect, detail) }) }
    }

    /// The API said no: `body` is raw, `secret` is the one that the call carried.
    pub(crate) fn refused(status: u16, retry_after: Option<&str>, body: &str, secret: &str) -> Self {
        let outcome = classify_hiding(status, retry_after, body, secret);
        Self { inner: Box::new(Inner { kind: GeminiErrorKind::Refused, status: Some(status), outcome }) }
    }

    /// A reply of 2xx that is not what the API answers; an anti-bot page is still recognised.
    pub(crate) fn malformed(status: u16, body: &str, secret: &str) -> Self {
        const BEGINNING: usize = 64 * 1024;
        let mut error = Self::refused(status, None, &body[..body.floor_char_boundary(BEGINNING)], secret);
        error.inner.kind = GeminiErrorKind::Malformed;
        if error.inner.outcome.effect == Effect::Success {
            error.inner.outcome = Outcome::new(
                Blame::Service,
                Effect::Transient,
                format!("{status} with JSON of an unknown form"),
            );
        }
        error
    }

    pub(crate) fn incomplete() -> Self {
        Self::new(
            GeminiErrorKind::Incomplete,
            Blame::Service,
            Effect::Transient,
            "the answer ended without a finishReason; it is incomplete",
        )
    }

    pub(crate) fn too_large(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(GeminiErrorKind::TooLarge, Blame::Service, Effect::Fail, what)
    }

    pub(crate) fn invalid(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(GeminiErrorKind::InvalidRequest, Blame::Caller, Effect::Fail, what)
    }

    /// A secret that no header can carry: the entry in the store is wrong, so the key is.
    pub(crate) fn unusable_secret() -> Self {
        Self::new(
            GeminiErrorKind::InvalidRequest,
            Blame::Key,
            Effect::KeyRejected,
            "the secret holds characters that no API key has (white space, control or non-ASCII); store it again",
        )
    }

    pub(crate) fn timeout(waited: Waited, limit: Duration) -> Self {
        let seconds = (limit.as_secs_f64() * 1000.0).round() / 1000.0; // nobody needs its nanoseconds
        let (blame, effect, what) = match waited {
            Waited::FirstByte => (Blame::Service, Effect::Transient, "no answer within"),
            Waited::NextChunk => (Blame::Service, Effect::Transient, "the answer stood still for"),
            Waited::Total => (Blame::Service, Effect::Transient, "the answer was not complete within"),
            Waited::Caller => (Blame::Caller, Effect::Fail, "the caller's deadline passed after"),
        };
        Self::new(GeminiErrorKind::Timeout, blame, effect, format!("{what} {seconds} s"))
    }

    /// A failure of the transport; its text is redacted, its URL dropped.
    pub(crate) fn transport(error: reqwest::Error, secret: &str) -> Self {
        let error = error.without_url();
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        let text = one_line(&redact_secret(&text, secret), 300);
        // Every key of this machine would fail alike: a root certificate that is missing here, a clock that is
        // wrong, a proxy that wants a password.
        let certificate = text.contains("invalid peer certificate");
        let proxy =
            text.contains("proxy authorization required") || text.contains("tunnel error: unsuccessful");
        if certificate || proxy {
            return Self::new(GeminiErrorKind::Connect, Blame::Host, Effect::Fail, text);
        }
        let kind = match () {
            () if error.is_connect() => GeminiErrorKind::Connect,
            () if error.is_timeout() => GeminiErrorKind::Timeout,
            () => GeminiErrorKind::Interrupted,
        };
        Self::new(kind, Blame::Service, Effect::Transient, text)
    }

    /// What kind of failure.
    pub fn kind(&self) -> GeminiErrorKind {
        self.inner.kind
    }

    /// The HTTP status, if there was a reply. Errors in the middle of an answer have 200.
    pub fn status(&self) -> Option<u16> {
        self.inner.status
    }

    /// True if the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.inner.outcome.effect,
            Effect::Cooldown | Effect::Overload | Effect::Transient | Effect::UntilPacificMidnight
        )
    }
}

impl Classify for GeminiError {
    fn outcome(&self) -> Outcome {
        self.inner.outcome.clone()
    }
}

impl fmt::Display for GeminiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = &self.inner.outcome;
        let what = match self.inner.kind {
            GeminiErrorKind::Connect => "Gemini cannot be reached",
            GeminiErrorKind::Incomplete | GeminiErrorKind::Interrupted => "Gemini's answer broke off",
            GeminiErrorKind::InvalidRequest => "the call was not sent",
            GeminiErrorKind::Malformed => "what answered is not the Gemini API",
            GeminiErrorKind::Refused => "Gemini refused the call",
            GeminiErrorKind::Timeout => "Gemini took too long",
            GeminiErrorKind::TooLarge => "Gemini's answer is too long",
        };
        write!(f, "{what}: {}", outcome.detail)?;
        if let Some(advice) = advice(outcome) {
            write!(f, " ({advice})")?;
        }
        Ok(())
    }
}

impl Error for GeminiError {}

/// What the reader can do about it, where the provider's text does not say so.
fn advice(outcome: &Outcome) -> Option<&'static str> {
    match (outcome.blame, outcome.effect) {
        (_, Effect::KeyRejected) => Some("replace this key's secret, or lift its restrictions"),
        (_, Effect::ProjectRejected) => Some("enable the Generative Language API in the key's project"),
        (_, Effect::OutOfCredit) => Some("check the billing of the key's project"),
        (_, Effect::NoQuota) => Some("the project's tier has no quota for this model"),
        (_, Effect::UntilPacificMidnight) => Some("the day's quota returns at midnight America/Los_Angeles"),
        (_, Effect::ModelMissing) => Some("check the model's name, it may be retired"),
        (Blame::Host, _) => {
            Some("this machine's network is refused: check its address, proxy, clock and certificates")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_in_an_unknown_form_is_transient_and_never_a_success() {
        let error = GeminiError::malformed(200, "{\"candidates\": 7}", "");
        assert_eq!(error.kind(), GeminiErrorKind::Malformed);
        assert_eq!((error.outcome().blame, error.outcome().effect), (Blame::Service, Effect::Transient));
        assert!(error.is_transient());
    }

    #[test]
    fn the_callers_own_deadline_is_nobody_elses_fault() {
        let error = GeminiError::timeout(Waited::Caller, Duration::from_millis(1500));
        assert_eq!((error.outcome().blame, error.outcome().effect), (Blame::Caller, Effect::Fail));
        assert_eq!(error.to_string(), "Gemini took too long: the caller's deadline passed after 1.5 s");
        let error = GeminiError::timeout(Waited::Total, Duration::from_secs(600));
        assert_eq!((error.outcome().blame, error.outcome().effect), (Blame::Service, Effect::Transient));
    }

    #[test]
    fn advice_follows_the_effect() {
        let error = GeminiError::refused(401, None, "", "");
        assert!(
            error.to_string().ends_with("(replace this key's secret, or lift its restrictions)"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_proxy_that_refuses_is_this_machines_affair() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for answer in ["407 Proxy Authentication Required", "403 Forbidden"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let proxy = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move {
                let (mut connection, _) = listener.accept().await.unwrap();
                connection.read_buf(&mut Vec::new()).await.unwrap();
                connection.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
            });
            let http =
                reqwest::Client::builder().proxy(reqwest::Proxy::https(proxy).unwrap()).tls_certs_only([]);
            let error =
                http.build().unwrap().get("https://gemini.invalid/?key=hunter2").send().await.unwrap_err();
            let error = GeminiError::transport(error, "");
            assert_eq!(
                (error.outcome().blame, error.outcome().effect),
                (Blame::Host, Effect::Fail),
                "{error}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
