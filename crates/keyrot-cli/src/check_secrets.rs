//! What `keyrot check` finds about the secrets. Values are compared here, and never leave.

use std::collections::{BTreeMap, BTreeSet};

use keyrot::secrecy::{ExposeSecret, SecretString};
use keyrot::{KeyMetadata, KeySet, SecretError, SecretErrorKind, SecretStore, SecretWriter, Settings};

use crate::check_report::{Finding, Level};
use crate::secrets_value::can_be_sent;

/// The secret of each active key, or why it cannot be had.
#[derive(Debug)]
pub(crate) struct Secrets<'a> {
    each: Vec<Read<'a>>,
}

#[derive(Debug)]
struct Read<'a> {
    key: &'a KeyMetadata,
    locator: String,
    secret: Result<SecretString, SecretError>,
}

impl<'a> Secrets<'a> {
    pub(crate) async fn read(keys: &'a KeySet, store: &dyn SecretStore) -> Self {
        let active: Vec<&KeyMetadata> = keys.iter().filter(|key| key.active).collect();
        let asked: Vec<KeyMetadata> = active.iter().copied().cloned().collect();
        let fetched = store.fetch_all(&asked).await;
        let each = active.into_iter().zip(fetched);
        let each = each.map(|(key, secret)| Read { key, locator: store.locator(key), secret });
        Self { each: each.collect() }
    }

    /// Those that could be had, with where they are.
    pub(crate) fn found(&self) -> impl Iterator<Item = (&'a KeyMetadata, &str, &SecretString)> {
        self.each.iter().filter_map(|read| Some((read.key, &*read.locator, read.secret.as_ref().ok()?)))
    }

    pub(crate) fn findings(&self) -> Vec<Finding> {
        let failed =
            || self.each.iter().filter_map(|read| Some((&read.key.key_id, read.secret.as_ref().err()?)));
        let each = self.each.iter().map(|Read { key, locator, secret }| match secret {
            Ok(secret) if !can_be_sent(secret.expose_secret()) => {
                let text = format!(
                    "its secret is not an API key, it holds white space or unusual characters: {locator}"
                );
                let fix = "store the key again, as one word, without what was copied along with it";
                Finding::new(Level::Error, key.key_id.as_str(), text).fix(fix)
            }
            Ok(_) => Finding::new(Level::Ok, key.key_id.as_str(), format!("its secret is there: {locator}")),
            Err(error) => {
                // trouble of the store itself is the same for each key
                if let Some((first, _)) = failed().find(|(_, first)| first.is_same_trouble(error))
                    && *first != key.key_id
                {
                    let text = format!("its secret cannot be had, as that of {first}: {locator}");
                    return Finding::new(Level::Error, key.key_id.as_str(), text);
                }
                let trouble = match error.kind() {
                    SecretErrorKind::NotFound | SecretErrorKind::Empty => "is missing",
                    SecretErrorKind::Disabled => "is switched off",
                    _ => "cannot be had",
                };
                Finding::told(Level::Error, key.key_id.as_str(), &format!("its secret {trouble}: {error}"))
            }
        });
        each.collect()
    }

    /// Ids whose secrets have the same value without saying so: their quota would be counted twice.
    pub(crate) fn duplicates(&self) -> Vec<Finding> {
        let mut by_value: BTreeMap<&str, Vec<&KeyMetadata>> = BTreeMap::new();
        for (key, _, secret) in self.found() {
            by_value.entry(secret.expose_secret()).or_default().push(key);
        }
        let mut findings: Vec<Finding> = by_value
            .values()
            .filter(|same| same.len() > 1 && !is_one_name(same))
            .map(|same| duplicate(same))
            .collect();
        findings.sort_by(|a, b| a.subject.cmp(&b.subject)); // not in the order of the values
        findings
    }
}

/// Keys of one project are counted together whatever their secrets are; keys of several are counted several times.
fn duplicate(same: &[&KeyMetadata]) -> Finding {
    let ids = same.iter().map(|key| key.key_id.as_str()).collect::<Vec<_>>().join(", ");
    let projects: BTreeSet<_> = same.iter().map(|key| key.quota_project()).collect();
    let (level, text) = match projects.len() {
        1 => (Level::Warning, format!("{ids} have the same secret: they are one key")),
        times => {
            let text = format!(
                "{ids} have the same secret: they are one key, whose quota would be counted {times} times"
            );
            (Level::Error, text)
        }
    };
    let fix = "put another key into one of them, take one out with keyrot keys remove, or give them all the same \
               \"secret\" in the file if one key is meant";
    Finding::new(level, ids, text).fix(fix)
}

/// True if all name the same secret in keys.json: then they are meant to be one key.
fn is_one_name(same: &[&KeyMetadata]) -> bool {
    same.iter().all(|key| key.secret.is_some() && key.secret == same[0].secret)
}

/// Keys whose secrets nobody can replace in a process that runs: one line for all.
pub(crate) fn fixed(secrets: &Secrets<'_>, store: &dyn SecretWriter) -> Option<Finding> {
    let told = |key: &KeyMetadata| Some((key.key_id.to_string(), store.unwritable(key)?));
    let (ids, errors): (Vec<_>, Vec<_>) = secrets.found().filter_map(|(key, ..)| told(key)).unzip();
    let first = errors.first()?;
    let text = match ids.len() {
        1 => format!("its secret is fixed until a restart: {first}"),
        _ => format!("their secrets are fixed until a restart, for example {first}"),
    };
    Some(Finding::new(Level::Info, ids.join(", "), text))
}

/// Variables that look like secrets of keys, of which the file has none.
pub(crate) fn unused_variables(settings: &Settings, keys: &KeySet, store: &dyn SecretStore) -> Vec<Finding> {
    const PREFIX: &str = "GEMINI_KEY_";
    if settings.secret_store() != "env" {
        return Vec::new();
    }
    let settable = |name: &str| name.replace(|c: char| !(c.is_ascii_alphanumeric() || c == '_'), "_");
    let used: BTreeSet<String> =
        keys.iter().map(|key| settable(store.locator(key).trim_start_matches("env:"))).collect();
    let unused = settings.vars().names_with_prefix(PREFIX).filter(|name| !used.contains(&settable(name)));
    unused
        .map(|name| {
            let text = format!("{name} is set, but no entry of {} uses it", settings.keys_path().display());
            let id = name.strip_prefix(PREFIX).unwrap_or(name);
            Finding::new(Level::Info, name, text)
                .fix(format!("keyrot keys add {id} --model MODEL, or unset it"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use keyrot::secrets_env::EnvStore;
    use keyrot::{Environment, Vars};

    use super::*;

    const KEYS: &str = r#"{"keys": [{"key_id": "a", "model_name": "m", "project": "p"},
        {"key_id": "b", "model_name": "m"}, {"key_id": "c-1", "model_name": "m", "project": "q"},
        {"key_id": "d", "model_name": "m", "active": false}]}"#;

    fn vars(c: &str) -> Vars {
        Vars::from_iter([
            ("GEMINI_KEY_a", "sentinel-1"),
            ("GEMINI_KEY_b", "sentinel-1"),
            ("GEMINI_KEY_c_1", c),
        ])
    }

    #[tokio::test]
    async fn one_secret_in_two_projects_is_an_error_and_not_repeated() {
        let keys = KeySet::parse(KEYS).unwrap();
        let found = Secrets::read(&keys, &EnvStore::new(vars("sentinel-2"))).await.duplicates();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, &*found[0].subject), (Level::Error, "a, b"));
        let text = "a, b have the same secret: they are one key, whose quota would be counted 2 times";
        assert_eq!(found[0].message, text);
        assert!(!format!("{found:?}").contains("sentinel"));
        let found = Secrets::read(&keys, &EnvStore::new(vars("sentinel-1"))).await.duplicates();
        assert!(found[0].message.ends_with("counted 3 times"), "{found:?}");
    }

    #[tokio::test]
    async fn one_secret_in_one_project_is_odd_and_harmless() {
        let keys = KeySet::parse(
            &KEYS.replace("\"model_name\": \"m\"}", "\"model_name\": \"m\", \"project\": \"p\"}"),
        );
        let keys = keys.unwrap();
        let found = Secrets::read(&keys, &EnvStore::new(vars("sentinel-2"))).await.duplicates();
        assert_eq!(
            (found[0].level, &*found[0].message),
            (Level::Warning, "a, b have the same secret: they are one key")
        );
    }

    #[tokio::test]
    async fn entries_that_name_one_secret_are_meant_so() {
        let text = r#"{"keys": [{"key_id": "a", "model_name": "m", "secret": "X"},
            {"key_id": "b", "model_name": "pro", "secret": "X"}]}"#;
        let keys = KeySet::parse(text).unwrap();
        let secrets = Secrets::read(&keys, &EnvStore::new(Vars::from_iter([("X", "v")]))).await;
        assert_eq!((secrets.found().count(), secrets.duplicates().len()), (2, 0));
    }

    #[tokio::test]
    async fn a_variable_that_no_entry_uses_is_named() {
        let all = vars("x").over(Vars::from_iter([("GEMINI_KEY_d", "y"), ("GEMINI_KEY_e", "sentinel")]));
        let settings = Settings::from_environment(Environment::of(all)).unwrap().rotation(Some(true));
        let keys = KeySet::parse(KEYS).unwrap();
        let found = unused_variables(&settings, &keys, &*settings.secrets().unwrap());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].level, &*found[0].subject), (Level::Info, "GEMINI_KEY_e"));
    }

    /// A store that cannot serve any of these keys: of some it says that there is no secret.
    #[derive(Debug)]
    struct Down;

    #[async_trait]
    impl SecretStore for Down {
        fn locator(&self, key: &KeyMetadata) -> String {
            format!("down:{}", key.key_id)
        }

        async fn fetch(&self, key: &KeyMetadata) -> Result<SecretString, SecretError> {
            let kind = match key.model_name.as_str() {
                "missing" => SecretErrorKind::NotFound,
                _ => SecretErrorKind::Unreachable,
            };
            Err(SecretError::new(kind, self.locator(key), "told at length"))
        }
    }

    #[tokio::test]
    async fn trouble_of_the_store_itself_is_told_once() {
        let text = r#"{"keys": [{"key_id": "a", "model_name": "m"}, {"key_id": "b", "model_name": "missing"},
            {"key_id": "c", "model_name": "m"}, {"key_id": "d", "model_name": "missing"}]}"#;
        let keys = KeySet::parse(text).unwrap();
        let found = Secrets::read(&keys, &Down).await.findings();
        let told: Vec<String> = found.iter().map(|f| format!("{}: {}", f.subject, f.message)).collect();
        assert_eq!(
            told,
            [
                "a: its secret cannot be had: down:a: told at length",
                "b: its secret is missing: down:b: told at length",
                "c: its secret cannot be had, as that of a: down:c",
                "d: its secret is missing: down:d: told at length",
            ]
        );
        assert!(found.iter().all(|finding| finding.level == Level::Error));
    }
}
