//! What `keyrot check` finds about the age of secrets.

use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use keyrot::{SecretError, SecretStore};

use crate::check_report::{Finding, Level};
use crate::check_secrets::Secrets;

/// A secret that is older should have been replaced: people leave, logs leak.
const OLD: Duration = Duration::from_secs(90 * DAY);
const DAY: u64 = 24 * 3600;
/// How many secrets are asked about at the same time.
const AT_A_TIME: usize = 8;

/// A warning for each old secret, and one line for all whose age is not known.
pub(crate) async fn look(
    secrets: &Secrets<'_>,
    store: &dyn SecretStore,
    name: &str,
    now: SystemTime,
) -> Vec<Finding> {
    let asked = secrets.found().map(async |(key, ..)| (key.key_id.as_str(), store.written_at(key).await));
    let ages: Vec<_> = futures_util::stream::iter(asked).buffered(AT_A_TIME).collect().await;
    let mut findings = Vec::new();
    let (mut unknown, mut failed): (Vec<&str>, Vec<(&str, SecretError)>) = Default::default();
    let known = ages.len();
    for (id, written) in ages {
        match written {
            Ok(Some(at)) => findings.extend(old(id, now.duration_since(at).unwrap_or_default())),
            Ok(None) => unknown.push(id),
            Err(error) => failed.push((id, error)),
        }
    }
    if !unknown.is_empty() && unknown.len() == known {
        let text = format!("the store {name} does not tell how old they are: replace each every 90 days");
        findings.push(Finding::new(Level::Info, "secrets", text));
    } else if !unknown.is_empty() {
        let text = format!("the age of the secrets of {} is not known", unknown.join(", "));
        findings.push(Finding::new(Level::Info, "secrets", text));
    }
    if let Some((_, error)) = failed.first() {
        let ids: Vec<&str> = failed.iter().map(|(id, _)| *id).collect();
        let text = format!("the age of the secrets of {} cannot be asked for: {error}", ids.join(", "));
        findings.push(Finding::new(Level::Info, "secrets", text));
    }
    findings
}

fn old(id: &str, age: Duration) -> Option<Finding> {
    (age > OLD).then(|| {
        let text = format!("its secret is {} days old; it should be replaced every 90", age.as_secs() / DAY);
        Finding::new(Level::Warning, id, text).fix(format!("keyrot secrets rotate {id}"))
    })
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use keyrot::secrecy::SecretString;
    use keyrot::{KeyMetadata, KeySet, SecretErrorKind};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    /// A store whose secrets are as many days old as the `secret` of their entries says.
    #[derive(Debug)]
    struct Dated;

    #[async_trait]
    impl SecretStore for Dated {
        fn locator(&self, key: &KeyMetadata) -> String {
            format!("dated:{}", key.key_id)
        }

        async fn fetch(&self, _: &KeyMetadata) -> Result<SecretString, SecretError> {
            Ok(SecretString::from("sentinel"))
        }

        async fn written_at(&self, key: &KeyMetadata) -> Result<Option<SystemTime>, SecretError> {
            let now = SystemTime::UNIX_EPOCH + NOW;
            match key.secret.as_deref() {
                Some(unknown) if unknown.starts_with("unknown") => Ok(None),
                Some(denied) if denied.starts_with("denied") => {
                    Err(SecretError::new(SecretErrorKind::Denied, self.locator(key), "may not be listed"))
                }
                Some("tomorrow") => Ok(Some(now + Duration::from_secs(DAY))),
                hours => Ok(Some(now - Duration::from_secs(3600 * hours.unwrap().parse::<u64>().unwrap()))),
            }
        }
    }

    async fn findings(ages: &[&str]) -> Vec<(Level, String, Option<String>)> {
        let entry = |(number, age)| {
            format!(
                r#"{{"key_id": "k{number}", "model_name": "m{number}", "secret": "{age}", "project": "p{number}"}}"#
            )
        };
        let entries: Vec<String> = ages.iter().enumerate().map(entry).collect();
        let keys = KeySet::parse(&format!("{{\"keys\": [{}]}}", entries.join(","))).unwrap();
        let secrets = Secrets::read(&keys, &Dated).await;
        let found = look(&secrets, &Dated, "dated", SystemTime::UNIX_EPOCH + NOW).await;
        found.into_iter().map(|f| (f.level, format!("{}: {}", f.subject, f.message), f.fix)).collect()
    }

    #[tokio::test]
    async fn a_secret_is_old_after_90_days() {
        let found = findings(&["0", "2160", "2161", "9600", "tomorrow"]).await;
        let expected = [("k2", 90), ("k3", 400)].map(|(id, days)| {
            let text = format!("{id}: its secret is {days} days old; it should be replaced every 90");
            (Level::Warning, text, Some(format!("keyrot secrets rotate {id}")))
        });
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn what_is_not_known_is_one_line_for_all() {
        let found = findings(&["unknown-1", "unknown-2"]).await;
        let text = "secrets: the store dated does not tell how old they are: replace each every 90 days";
        assert_eq!(found, [(Level::Info, text.to_owned(), None)]);
        let found = findings(&["unknown", "1", "denied-1", "denied-2"]).await;
        let texts: Vec<&str> = found.iter().map(|(_, text, _)| text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "secrets: the age of the secrets of k0 is not known",
                "secrets: the age of the secrets of k2, k3 cannot be asked for: dated:k2: may not be listed",
            ]
        );
        assert!(findings(&[]).await.is_empty());
    }
}
