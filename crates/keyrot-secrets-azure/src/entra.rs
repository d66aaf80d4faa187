//! Logging in as an application of Microsoft Entra: what its refusals mean.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use keyrot_core::SecretErrorKind;

use crate::broken::broken;
use crate::login::LoginError;
use crate::trouble::retry_after;

/// An application of Microsoft Entra.
#[derive(Debug)]
pub(crate) struct Entra {
    inner: Arc<dyn TokenCredential>,
    authority_host: String,
}

impl Entra {
    /// `inner` logs in at `authority_host`.
    pub(crate) fn new(inner: Arc<dyn TokenCredential>, authority_host: &str) -> Self {
        Self { inner, authority_host: authority_host.trim_end_matches('/').to_owned() }
    }

    fn failed(&self, error: &azure_core::Error) -> LoginError {
        let place = format!("the login at {}", self.authority_host);
        let Some((status, codes, wait)) = answer(error) else {
            if error_of_parser(error) {
                let what = format!("{place} answers with something that is no token");
                return LoginError::new(SecretErrorKind::Unavailable, what);
            }
            let broken = broken(error);
            let what = format!(
                "{place} cannot be asked: {}; check AZURE_AUTHORITY_HOST and the network",
                broken.what
            );
            return LoginError::new(broken.kind, what);
        };
        let kind = match status {
            429 => SecretErrorKind::Throttled,
            500.. => SecretErrorKind::Unavailable,
            _ => SecretErrorKind::Unauthenticated,
        };
        let what = format!("{place} is refused (HTTP {status}{}){}", named(&codes), advice(kind, &codes));
        LoginError { kind, what, retry_after: wait }
    }
}

/// Status, error codes and the wish to wait, if there was an answer that says no.
fn answer(error: &azure_core::Error) -> Option<(u16, Vec<String>, Option<Duration>)> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(ErrorKind::HttpResponse { status, error_code, raw_response }) =
            error.downcast_ref::<azure_core::Error>().map(azure_core::Error::kind)
        {
            let number = |code: &&str| !code.is_empty() && code.chars().all(|c| c.is_ascii_digit());
            let codes =
                error_code.as_deref().unwrap_or_default().split(',').filter(number).map(str::to_owned);
            let wait = raw_response.as_ref().and_then(|raw| retry_after(raw.headers()));
            return Some((u16::from(*status), codes.collect(), wait));
        }
        cause = error.source();
    }
    None
}

/// There was an answer, but not of the shape that Microsoft Entra gives.
fn error_of_parser(error: &azure_core::Error) -> bool {
    let inner = error.downcast_ref::<azure_core::Error>();
    inner.is_some_and(|inner| matches!(inner.kind(), ErrorKind::DataConversion))
}

fn named(codes: &[String]) -> String {
    codes.iter().map(|code| format!(", AADSTS{code}")).collect()
}

/// What to do about an error code. Source: "Microsoft Entra authentication and authorization error codes".
fn advice(kind: SecretErrorKind, codes: &[String]) -> &'static str {
    if kind != SecretErrorKind::Unauthenticated {
        return "; it may be better soon";
    }
    let known = codes.iter().find_map(|code| match code.as_str() {
        "7000215" => Some("; AZURE_CLIENT_SECRET is not a secret of the application (the value is needed, not the id)"),
        "7000222" => Some("; the secret has expired; make a new one with az ad app credential reset"),
        "700016" => Some("; the tenant AZURE_TENANT_ID has no application AZURE_CLIENT_ID"),
        "90002" | "900023" => Some("; there is no tenant AZURE_TENANT_ID"),
        "70021" | "700211" | "700212" | "700213" | "700024" => {
            Some("; the application has no federated credential for the token in AZURE_FEDERATED_TOKEN_FILE, or it is over")
        }
        _ => None,
    });
    known.unwrap_or("; look at AZURE_TENANT_ID, AZURE_CLIENT_ID and what proves them")
}

#[async_trait::async_trait]
impl TokenCredential for Entra {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        self.inner.get_token(scopes, options).await.map_err(|error| self.failed(&error).into())
    }
}

#[cfg(test)]
mod tests {
    use azure_core::http::headers::Headers;
    use azure_core::http::{RawResponse, StatusCode};

    use super::*;

    /// Says no to everybody, as Microsoft's credentials do: the reason inside an error of another kind.
    #[derive(Debug)]
    struct Refuses;

    #[async_trait::async_trait]
    impl TokenCredential for Refuses {
        async fn get_token(
            &self,
            _: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            unreachable!("its errors are made by hand")
        }
    }

    fn failed(inner: azure_core::Error) -> LoginError {
        let outer = azure_core::Error::with_error(ErrorKind::Credential, inner, "the secret is hunter22");
        let failed = Entra::new(Arc::new(Refuses), "https://login.example/").failed(&outer);
        assert!(failed.what.starts_with("the login at https://login.example "), "{}", failed.what);
        assert!(!failed.what.contains("hunter22"), "{}", failed.what);
        failed
    }

    fn answered(status: StatusCode, codes: &str) -> LoginError {
        let mut headers = Headers::new();
        headers.insert("retry-after", "3");
        let raw = RawResponse::from_bytes(status, headers, "the secret is hunter22");
        let (error_code, raw_response) = (Some(codes.to_owned()), Some(Box::new(raw)));
        failed(ErrorKind::HttpResponse { status, error_code, raw_response }.into())
    }

    #[test]
    fn codes_say_what_to_do() {
        for (code, what) in [
            ("7000215", "not a secret of the application"),
            ("7000222", "has expired"),
            ("700016", "has no application"),
            ("90002", "there is no tenant"),
            ("700213", "no federated credential"),
            ("1", "look at AZURE_TENANT_ID"),
        ] {
            let failed = answered(StatusCode::Unauthorized, code);
            assert_eq!(failed.kind, SecretErrorKind::Unauthenticated);
            assert!(failed.what.contains(&format!("(HTTP 401, AADSTS{code})")), "{}", failed.what);
            assert!(failed.what.contains(what), "{}", failed.what);
        }
        assert!(answered(StatusCode::Unauthorized, "hunter22").what.contains("(HTTP 401)"));
    }

    #[test]
    fn trouble_of_the_service_is_not_ours() {
        let slow = answered(StatusCode::TooManyRequests, "");
        assert_eq!((slow.kind, slow.retry_after), (SecretErrorKind::Throttled, Some(Duration::from_secs(3))));
        assert_eq!(answered(StatusCode::ServiceUnavailable, "").kind, SecretErrorKind::Unavailable);
        let strange = failed(azure_core::Error::with_message(ErrorKind::DataConversion, "<html>"));
        assert_eq!(strange.kind, SecretErrorKind::Unavailable);
        assert!(strange.what.contains("something that is no token"), "{}", strange.what);
    }
}
