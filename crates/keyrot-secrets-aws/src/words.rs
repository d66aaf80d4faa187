//! The words of an error: what was found, where it was asked, what to do, and the command that shows what is there.

use keyrot_core::{KeyId, SecretError, SecretErrorKind};

use crate::name;
use crate::session::Place;
use crate::trouble::{Trouble, kind_of};
use crate::value::Flaw;

/// What was asked for, for the words of an error.
pub(crate) struct Asked<'a> {
    pub(crate) key_id: &'a KeyId,
    /// The secret's name or ARN.
    pub(crate) id: &'a str,
    pub(crate) locator: &'a str,
    /// The permission that the call needs.
    pub(crate) action: &'static str,
}

impl Asked<'_> {
    /// What is found in the stored value is not a key.
    pub(crate) fn flawed(&self, place: &Place, flaw: &Flaw) -> SecretError {
        let Self { key_id, .. } = self;
        let todo = format!("write the API key with `keyrot secrets put {key_id}`");
        self.error(place, flaw.kind, &flaw.found, &todo)
    }

    /// The call failed.
    pub(crate) fn failed(&self, place: &Place, trouble: &Trouble) -> SecretError {
        let (found, todo) = match trouble {
            Trouble::Answered(code) => self.answered(place, code.as_deref().unwrap_or("")),
            Trouble::Credential(why) => ((*why).to_owned(), SAY_WHO.to_owned()),
            Trouble::Profile(why) => {
                let message = format!("{why}; then look with {}", self.look(place));
                return SecretError::new(trouble.kind(), self.locator, message);
            }
            Trouble::SlowCredential => (
                "no credential came in time from the role, the container or the instance".to_owned(),
                format!("{SAY_WHO}; AWS_EC2_METADATA_DISABLED=true keeps keyrot from asking the instance"),
            ),
            Trouble::NoConnection(why) => (
                format!("no connection: {why}"),
                match why.contains("InvalidContentType") {
                    true => "does the server speak http? then its address begins with http://".to_owned(),
                    false => "check the network, AWS_REGION, AWS_ENDPOINT_URL and AWS_CA_BUNDLE".to_owned(),
                },
            ),
            Trouble::TimedOut(total) => (
                format!("no answer within {total:?}"),
                "check the network, or raise KEYROT_SECRET_TIMEOUT if it is only slow".to_owned(),
            ),
        };
        self.error(place, trouble.kind(), &found, &todo)
    }

    fn answered(&self, place: &Place, code: &str) -> (String, String) {
        let Self { key_id, id, action, .. } = self;
        let options = options(place);
        match kind_of(code) {
            SecretErrorKind::NotFound if name::is_arn(id) => (
                "there is no such secret, or none with the label AWSCURRENT".to_owned(),
                "check the ARN in \"secret\" of keys.json, and that AWS_REGION is its region".to_owned(),
            ),
            SecretErrorKind::NotFound => (
                "there is no such secret, or none with the label AWSCURRENT".to_owned(),
                format!(
                    "write it with `keyrot secrets put {key_id}` or `aws secretsmanager create-secret --name {id} \
                     --secret-string API_KEY{options}`"
                ),
            ),
            SecretErrorKind::Disabled => (
                format!("the secret is scheduled for deletion, or in no state to be used ({code})"),
                format!("bring it back with `aws secretsmanager restore-secret --secret-id {id}{options}`"),
            ),
            SecretErrorKind::BadName => (
                format!("AWS refuses the name ({code})"),
                "check \"secret\" of the key in keys.json and AWS_SECRET_PREFIX".to_owned(),
            ),
            SecretErrorKind::Denied => (
                format!("the credential is good and has no permission for {action} ({code})"),
                format!(
                    "allow it {action}, and kms:Decrypt if the secret has an encryption key of its own; `aws sts \
                     get-caller-identity` shows who it is"
                ),
            ),
            SecretErrorKind::Unauthenticated => (
                format!("the credential is refused ({code})"),
                format!("{}; {SAY_WHO}", about_credential(code)),
            ),
            SecretErrorKind::Throttled => (
                format!("AWS asks to slow down ({code})"),
                "try again in a while; a longer KEYROT_SECRET_TTL asks less".to_owned(),
            ),
            _ if code.is_empty() => (
                "what answers is not Secrets Manager".to_owned(),
                "check AWS_ENDPOINT_URL, and what stands between".to_owned(),
            ),
            _ => (
                format!("AWS cannot serve now ({code})"),
                "try again in a while; https://health.aws.amazon.com tells of outages".to_owned(),
            ),
        }
    }

    fn error(&self, place: &Place, kind: SecretErrorKind, found: &str, todo: &str) -> SecretError {
        let Place { address, region, .. } = place;
        let look = self.look(place);
        let message = format!("{found} (asked {address}, region {region}); {todo}; look with {look}");
        SecretError::new(kind, self.locator, message)
    }

    fn look(&self, place: &Place) -> String {
        format!("`aws secretsmanager get-secret-value --secret-id {}{}`", self.id, options(place))
    }
}

const SAY_WHO: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role; `aws \
                       sts get-caller-identity` shows whether that works";

fn about_credential(code: &str) -> &'static str {
    match code {
        "ExpiredToken" | "ExpiredTokenException" => "AWS_SESSION_TOKEN is over, log in again",
        "InvalidSignature" | "InvalidSignatureException" | "RequestExpired" | "SignatureDoesNotMatch" => {
            "the secret access key does not fit the access key id, or the clock of this machine is wrong"
        }
        _ => "AWS does not know the access key id",
    }
}

/// What a command of AWS has to be told to ask at the same place.
fn options(place: &Place) -> String {
    let endpoint = place.endpoint.as_ref().map(|url| format!(" --endpoint-url {url}")).unwrap_or_default();
    format!(" --region {}{endpoint}", place.region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: &str, trouble: &Trouble) -> SecretError {
        let key_id = KeyId::parse("flash_01").unwrap();
        let asked = Asked { key_id: &key_id, id, locator: "aws:x", action: "secretsmanager:GetSecretValue" };
        let place =
            Place { region: "eu-west-1".to_owned(), address: "https://sm".to_owned(), endpoint: None };
        asked.failed(&place, trouble)
    }

    #[test]
    fn each_code_is_of_one_kind_and_in_the_text() {
        for (code, kind) in [
            ("ResourceNotFoundException", SecretErrorKind::NotFound),
            ("InvalidRequestException", SecretErrorKind::Disabled),
            ("InvalidParameterException", SecretErrorKind::BadName),
            ("AccessDeniedException", SecretErrorKind::Denied),
            ("UnrecognizedClientException", SecretErrorKind::Unauthenticated),
            ("InvalidSignatureException", SecretErrorKind::Unauthenticated),
            ("ExpiredTokenException", SecretErrorKind::Unauthenticated),
            ("ThrottlingException", SecretErrorKind::Throttled),
            ("DecryptionFailure", SecretErrorKind::Unavailable),
            ("InternalServiceError", SecretErrorKind::Unavailable),
            ("SomethingNew", SecretErrorKind::Unavailable),
        ] {
            let error = told("algoagent/flash_01", &Trouble::Answered(Some(code.to_owned())));
            assert_eq!(error.kind(), kind, "{code}");
            let text = error.to_string();
            assert!(kind == SecretErrorKind::NotFound || text.contains(code), "{text}");
            assert!(text.contains("asked https://sm, region eu-west-1"), "{text}");
            assert!(
                text.contains("get-secret-value --secret-id algoagent/flash_01 --region eu-west-1`"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_missing_secret_is_told_how_to_be_written() {
        let missing = Trouble::Answered(Some("ResourceNotFoundException".to_owned()));
        let text = told("algoagent/flash_01", &missing).to_string();
        assert!(text.contains("`keyrot secrets put flash_01`"), "{text}");
        assert!(
            text.contains(
                "`aws secretsmanager create-secret --name algoagent/flash_01 --secret-string API_KEY --region"
            ),
            "{text}"
        );
        let text = told("arn:aws:secretsmanager:eu-west-2:123456789012:secret:x", &missing).to_string();
        assert!(text.contains("check the ARN") && !text.contains("create-secret"), "{text}");
    }
}
