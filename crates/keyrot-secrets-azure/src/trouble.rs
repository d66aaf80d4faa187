//! What a refusal of the vault means: its kind, and what to do.

use std::time::Duration;

use azure_core::error::{ErrorKind, ErrorResponse};
use azure_core::http::headers::{Headers, RETRY_AFTER};
use keyrot_core::{KeyId, SecretErrorKind};

use crate::broken::broken;
use crate::login::LoginError;
use crate::vault::Vault;

/// What went wrong with one try, and whether another one makes sense.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: SecretErrorKind,
    pub(crate) what: String,
    /// The server asks to wait this long.
    pub(crate) retry_after: Option<Duration>,
    /// The next try may go better, and harms nobody. Where nobody listens, the next one would not either.
    pub(crate) may_pass: bool,
    /// The vault does not take the token that the login gave.
    pub(crate) token_refused: bool,
}

/// What was asked for, to say it in messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) vault: &'a Vault,
    pub(crate) key: &'a KeyId,
    pub(crate) name: &'a str,
    pub(crate) writes: bool,
}

impl Trouble {
    fn new(kind: SecretErrorKind, what: impl Into<String>) -> Self {
        let may_pass = kind == SecretErrorKind::Throttled;
        Self { kind, what: what.into(), retry_after: None, may_pass, token_refused: false }
    }

    /// Nothing of the error but its codes is kept: it may show a reply, and a reply may show a secret.
    pub(crate) fn of(error: azure_core::Error, asked: Asked<'_>) -> Self {
        let address = &asked.vault.address;
        if let Some(login) = LoginError::behind(&error) {
            let may_pass = matches!(login.kind, SecretErrorKind::Throttled | SecretErrorKind::Unavailable);
            let retry_after = login.retry_after;
            return Self { retry_after, may_pass, ..Self::new(login.kind, &login.what) };
        }
        if let ErrorKind::HttpResponse { status, raw_response, .. } = error.kind() {
            let status = u16::from(*status);
            let wait = raw_response.as_ref().and_then(|raw| retry_after(raw.headers()));
            return Self { retry_after: wait, ..refused(status, &codes(error), asked) };
        }
        match error.kind() {
            ErrorKind::DataConversion => {
                let what = format!("{address} answers with something that Key Vault does not say");
                Self::new(SecretErrorKind::Unavailable, what)
            }
            ErrorKind::Other if error.to_string().contains("challenge resource") => Self::new(
                SecretErrorKind::Unauthenticated,
                format!(
                    "{address} asks for a login to another domain than its own, and gets none; if it is your vault \
                     under a name of your own, set AZURE_DISABLE_CHALLENGE_VERIFICATION to true"
                ),
            ),
            _ => {
                let broken = broken(&error);
                let what = format!(
                    "{address} cannot be asked: {}; check AZURE_VAULT_URL and the network",
                    broken.what
                );
                Self::new(broken.kind, what)
            }
        }
    }
}

/// The error's code, and the one inside it that is more exact.
fn codes(error: azure_core::Error) -> [String; 2] {
    let Ok(ErrorResponse { error: Some(detail), .. }) = ErrorResponse::try_from(error) else {
        return Default::default();
    };
    let inner = detail.inner_error.and_then(|inner| inner.code);
    [detail.code, inner].map(|code| code.filter(|code| is_code(code)).unwrap_or_default())
}

/// Anything else in the place of a code is not repeated.
fn is_code(text: &str) -> bool {
    text.len() <= 64 && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Codes: "Azure Key Vault REST API error codes", and recorded replies.
fn refused(status: u16, [outer, inner]: &[String; 2], asked: Asked<'_>) -> Trouble {
    use SecretErrorKind::*;
    let Asked { vault, key, name, writes } = asked;
    let address = &vault.address;
    let code = if inner.is_empty() { outer } else { inner };
    let code = if code.is_empty() { String::new() } else { format!(", {code}") };
    let role = if writes { "Key Vault Secrets Officer" } else { "Key Vault Secrets User" };
    let (kind, what) = match (status, inner.as_str()) {
        (401, _) => {
            let what = format!(
                "{address} does not take the token of this login (HTTP 401{code}); the vault and the identity must be \
                 of one tenant"
            );
            return Trouble { token_refused: true, ..Trouble::new(Unauthenticated, what) };
        }
        // Not of Key Vault but of something before it, which knows nothing about the secret.
        (403 | 404, _) if outer.is_empty() => (
            Unavailable,
            format!(
                "what answers for {address} (HTTP {status}) is not Key Vault; look at proxies and at AZURE_VAULT_URL"
            ),
        ),
        (403, "SecretDisabled") => {
            (Disabled, format!("the secret is disabled; switch it on with {}", vault.enable(name)))
        }
        (403, "SecretExpired" | "SecretNotYetValid") => {
            (Disabled, format!("{address} holds the secret back by its dates (HTTP 403{code}); set it anew"))
        }
        (403, "ForbiddenByFirewall" | "ForbiddenByConnection") => (
            Unavailable,
            format!(
                "the network rules of {address} keep this machine out (HTTP 403{code}); let it in with az keyvault \
                 network-rule add, or use the vault's private link"
            ),
        ),
        (403, _) => (
            Denied,
            format!(
                "{address} does not let this identity at it (HTTP 403{code}); give it the role \"{role}\" with az role \
                 assignment create"
            ),
        ),
        (404, _) => (
            NotFound,
            format!(
                "{address} has no such secret; put it there with keyrot secrets put {key}, or get a deleted one back \
                 with {}",
                vault.recover(name)
            ),
        ),
        (409, _) => (
            Disabled,
            format!(
                "{address} keeps a deleted secret of this name (HTTP 409{code}); get it back with {}",
                vault.recover(name)
            ),
        ),
        (429, _) => (Throttled, format!("{address} asks to slow down (HTTP 429)")),
        (500.., _) => {
            let what = format!("{address} cannot serve (HTTP {status}{code})");
            return Trouble { may_pass: true, ..Trouble::new(Unavailable, what) };
        }
        _ => (Unavailable, format!("{address} refuses the request (HTTP {status}{code})")),
    };
    Trouble::new(kind, what)
}

/// Seconds; dates are not used by these services.
pub(crate) fn retry_after(headers: &Headers) -> Option<Duration> {
    headers.get_optional_str(&RETRY_AFTER)?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use azure_core::http::RawResponse;

    use super::*;

    fn told(status: u16, headers: &[(&'static str, &'static str)], body: &str, writes: bool) -> Trouble {
        let mut sent = Headers::new();
        for (name, value) in headers {
            sent.insert(*name, *value);
        }
        let raw = RawResponse::from_bytes(status.into(), sent, body.to_owned());
        let kind = ErrorKind::HttpResponse {
            status: status.into(),
            error_code: None,
            raw_response: Some(Box::new(raw)),
        };
        let vault = Vault::parse("https://your-vault.vault.azure.net").unwrap();
        let key = KeyId::parse("flash_01").unwrap();
        Trouble::of(kind.into(), Asked { vault: &vault, key: &key, name: "flash-01", writes })
    }

    #[test]
    fn each_code_has_its_kind_and_what_to_do() {
        use SecretErrorKind::*;
        for (status, inner, kind, what) in [
            (401, "", Unauthenticated, "must be of one tenant"),
            (
                403,
                "SecretDisabled",
                Disabled,
                "set-attributes --vault-name your-vault --name flash-01 --enabled true",
            ),
            (403, "SecretExpired", Disabled, "by its dates"),
            (403, "ForbiddenByFirewall", Unavailable, "network-rule add"),
            (403, "ForbiddenByRbac", Denied, "the role \"Key Vault Secrets User\""),
            (403, "AccessDenied", Denied, "HTTP 403, AccessDenied"),
            (404, "", NotFound, "keyrot secrets put flash_01"),
            (
                409,
                "ObjectIsDeletedButRecoverable",
                Disabled,
                "az keyvault secret recover --vault-name your-vault",
            ),
            (429, "", Throttled, "slow down"),
            (503, "", Unavailable, "HTTP 503"),
            (400, "BadParameter", Unavailable, "HTTP 400, BadParameter"),
        ] {
            let body = format!(
                r#"{{"error":{{"code":"X","message":"AIzaSecret","innererror":{{"code":"{inner}"}}}}}}"#
            );
            let trouble = told(status, &[], &body, false);
            assert_eq!(trouble.kind, kind, "{status} {inner}");
            assert!(trouble.what.contains(what) && !trouble.what.contains("AIza"), "{}", trouble.what);
        }
        let body = r#"{"error":{"code":"Forbidden"}}"#;
        assert!(told(403, &[], body, true).what.contains("Key Vault Secrets Officer"));
    }

    /// A held secret outlives it.
    #[test]
    fn what_stands_before_the_vault_says_nothing_about_the_secret() {
        for status in [403, 404] {
            for body in ["<html>blocked</html>", "", "{}"] {
                assert_eq!(
                    told(status, &[], body, false).kind,
                    SecretErrorKind::Unavailable,
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn only_what_time_may_change_is_tried_again() {
        for (status, again) in
            [(401, false), (403, false), (404, false), (429, true), (500, true), (503, true)]
        {
            assert_eq!(told(status, &[], r#"{"error":{"code":"X"}}"#, false).may_pass, again, "{status}");
        }
    }

    #[test]
    fn a_body_is_never_repeated_whatever_it_is() {
        for body in [
            "",
            "<html>AIzaSecret</html>",
            r#"{"error":{"code":"AIza Secret"}}"#,
            r#"{"value":"AIzaSecret"}"#,
        ] {
            for status in [401, 403, 404, 500] {
                let shown = format!("{:?}", told(status, &[], body, false));
                assert!(!shown.contains("Secret\"") && !shown.contains("AIza"), "{shown}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_not_of_key_vault_is_told() {
        let vault = Vault::parse("https://your-vault.vault.azure.net").unwrap();
        let key = KeyId::parse("flash_01").unwrap();
        let asked = Asked { vault: &vault, key: &key, name: "flash-01", writes: false };
        let parser = azure_core::Error::with_message(ErrorKind::DataConversion, "AIzaSecret");
        let trouble = Trouble::of(parser, asked);
        assert_eq!(trouble.kind, SecretErrorKind::Unavailable);
        assert!(trouble.what.contains("something that Key Vault does not say"), "{}", trouble.what);
        assert!(!trouble.what.contains("AIza"), "{}", trouble.what);
    }

    #[test]
    fn the_wish_to_wait_is_kept() {
        assert_eq!(told(429, &[("retry-after", "7")], "", false).retry_after, Some(Duration::from_secs(7)));
        assert_eq!(told(429, &[("retry-after", "soon")], "", false).retry_after, None);
    }
}
