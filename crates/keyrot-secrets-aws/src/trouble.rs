//! What went wrong with a call. Nothing of AWS's own words is kept: its message on a wrong signature shows the request,
//! session token included.

use std::error::Error;
use std::io;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_secretsmanager::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use keyrot_core::SecretErrorKind;

/// What went wrong, without anything secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// AWS answered with this code, or with none that can be read.
    Answered(Option<String>),
    /// No credential: why.
    Credential(&'static str),
    /// The profile cannot be used: why, and what to do.
    Profile(String),
    /// The credential did not come in time.
    SlowCredential,
    /// No connection: why.
    NoConnection(String),
    /// No answer within this time.
    TimedOut(Duration),
}

impl Trouble {
    /// By code and kind, never by HTTP status: servers disagree about it.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E>, total: Duration) -> Self {
        match error {
            SdkError::ServiceError(answer) => Self::answered(answer.err().code()),
            SdkError::ResponseError(_) => Self::Answered(None),
            SdkError::TimeoutError(_) => Self::TimedOut(total),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::TimedOut(total),
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(error) => Self::unsent(error),
                None => Self::NoConnection("the request could not be sent".to_owned()),
            },
            _ => Self::NoConnection("the request could not be made; is the region right?".to_owned()),
        }
    }

    /// AWS answered with this code. Codes are names; what is none is not repeated.
    pub(crate) fn answered(code: Option<&str>) -> Self {
        let name = |code: &&str| code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric());
        Self::Answered(code.filter(name).map(str::to_owned))
    }

    /// Before anything was sent there was a credential to be had and a connection to be made.
    fn unsent(error: &ConnectorError) -> Self {
        let mut io = None;
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<CredentialsError>() {
                return Self::without_credential(error);
            }
            // words of the system, of name resolution or of TLS: they hold nothing of the request
            io = error.downcast_ref::<io::Error>().map(ToString::to_string).or(io);
            cause = error.source();
        }
        Self::NoConnection(io.unwrap_or_else(|| "the request could not be sent".to_owned()))
    }

    fn without_credential(error: &CredentialsError) -> Self {
        match error {
            CredentialsError::CredentialsNotLoaded(_) => Self::Credential(
                "no credential was found: not in variables, profiles, a web identity, the container or the instance",
            ),
            CredentialsError::ProviderTimedOut(_) => Self::SlowCredential,
            CredentialsError::InvalidConfiguration(_) => {
                Self::Credential("the AWS profile or its settings cannot be used")
            }
            _ => Self::Credential(
                "where the credential should come from (a role, a token file, credential_process, the container or the \
                 instance) something failed",
            ),
        }
    }

    /// What kind of trouble it is for the caller.
    pub(crate) fn kind(&self) -> SecretErrorKind {
        match self {
            Self::Answered(code) => kind_of(code.as_deref().unwrap_or("")),
            Self::Credential(_) | Self::Profile(_) => SecretErrorKind::Unauthenticated,
            Self::SlowCredential | Self::TimedOut(_) => SecretErrorKind::TimedOut,
            Self::NoConnection(_) => SecretErrorKind::Unreachable,
        }
    }
}

/// Sources: the errors of GetSecretValue and BatchGetSecretValue
/// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>) and those that are common
/// to all services (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html>).
pub(crate) fn kind_of(code: &str) -> SecretErrorKind {
    match code {
        "ResourceNotFoundException" => SecretErrorKind::NotFound,
        "InvalidRequestException" => SecretErrorKind::Disabled,
        "InvalidParameterException" | "ValidationException" | "ValidationError" => SecretErrorKind::BadName,
        "AccessDenied" | "AccessDeniedException" | "NotAuthorized" | "UnauthorizedOperation" => {
            SecretErrorKind::Denied
        }
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignature"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => SecretErrorKind::Unauthenticated,
        "LimitExceeded"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException" => SecretErrorKind::Throttled,
        _ => SecretErrorKind::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_is_not_repeated() {
        let code = "ThrottlingException";
        assert_eq!(Trouble::answered(Some(code)), Trouble::Answered(Some(code.to_owned())));
        for code in [None, Some("a code: with <words>"), Some("x".repeat(65).as_str())] {
            assert_eq!(Trouble::answered(code), Trouble::Answered(None));
        }
    }
}
