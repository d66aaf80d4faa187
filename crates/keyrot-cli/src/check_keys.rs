//! What `keyrot check` finds by looking at the keys and their secrets, without the network of the provider.

use std::collections::BTreeMap;

use keyrot::secrecy::{ExposeSecret, SecretString};
use keyrot::{KeyId, KeyMetadata, KeySet, Limits, ModelName, Opened, ProjectId, SecretError};

/// The secrets of the active keys, or why they cannot be had.
pub(crate) type Secrets = BTreeMap<KeyId, Result<SecretString, SecretError>>;

pub(crate) async fn read_secrets(opened: &Opened, keys: &KeySet) -> Secrets {
    let mut secrets = Secrets::new();
    for key in keys.iter().filter(|key| key.active) {
        secrets.insert(key.key_id.clone(), opened.secrets.fetch(key).await);
    }
    secrets
}

/// Ids that have one secret without saying so: their quota would be counted twice.
pub(crate) fn duplicates(keys: &KeySet, secrets: &Secrets) -> Vec<String> {
    let mut by_value: BTreeMap<&str, Vec<&KeyMetadata>> = BTreeMap::new();
    for key in keys {
        if let Some(Ok(secret)) = secrets.get(&key.key_id) {
            by_value.entry(secret.expose_secret()).or_default().push(key);
        }
    }
    let mut found: Vec<String> = by_value
        .values()
        .filter(|same| same.len() > 1 && !is_one_name(same))
        .map(|same| {
            format!(
                "{} have the same secret: they are one key, whose quota would be counted {} times; take all but one \
                 out, or give them all the same \"secret\"",
                ids(same),
                same.len()
            )
        })
        .collect();
    found.sort();
    found
}

/// Active keys of one project with limits for the same model: one quota, however many keys.
pub(crate) fn siblings(keys: &KeySet) -> Vec<String> {
    let mut groups: BTreeMap<(ProjectId, ModelName), Vec<(&KeyMetadata, Limits)>> = BTreeMap::new();
    for key in keys.iter().filter(|key| key.active) {
        for (model, limits) in key.served_models() {
            groups.entry((key.quota_project(), model)).or_default().push((key, limits));
        }
    }
    let mut found = Vec::new();
    for ((project, model), members) in &groups {
        let same: Vec<&KeyMetadata> = members.iter().map(|(key, _)| *key).collect();
        let stated: Vec<Limits> =
            members.iter().map(|(_, limits)| *limits).filter(|limits| *limits != Limits::default()).collect();
        let Some(lowest) = stated.iter().copied().reduce(Limits::lowest) else { continue };
        if same.len() < 2 || is_one_name(&same) {
            continue;
        }
        let differ = stated.len() < same.len() || stated.iter().any(|limits| *limits != lowest);
        let differ = if differ { "; they state different limits, of which the lowest apply" } else { "" };
        found.push(format!(
            "{} are keys of one project ({project}) and share one quota for {model}: {} in all, not each{differ}",
            ids(&same),
            in_words(lowest)
        ));
    }
    found
}

/// True if all name the same secret in keys.json: then they are meant to be one key.
fn is_one_name(same: &[&KeyMetadata]) -> bool {
    same.iter().all(|key| key.secret.is_some() && key.secret == same[0].secret)
}

fn ids(keys: &[&KeyMetadata]) -> String {
    let ids: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
    match ids.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        _ => ids.join(""),
    }
}

fn in_words(Limits { rpm, tpm, rpd, .. }: Limits) -> String {
    let each = [
        rpm.map(|rpm| format!("rpm {rpm}")),
        tpm.map(|tpm| format!("tpm {tpm}")),
        rpd.map(|rpd| format!("rpd {rpd}")),
    ];
    each.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(entries: &str) -> KeySet {
        KeySet::parse(&format!("{{\"keys\": [{entries}]}}")).unwrap()
    }

    fn secrets(values: &[(&str, &str)]) -> Secrets {
        values.iter().map(|(id, value)| (KeyId::parse(id).unwrap(), Ok(SecretString::from(*value)))).collect()
    }

    #[test]
    fn one_secret_under_two_ids_is_found_and_not_repeated() {
        let keys = keys(
            r#"{"key_id": "a", "model_name": "m"}, {"key_id": "b", "model_name": "m"}, {"key_id": "c", "model_name": "m"}"#,
        );
        let found =
            duplicates(&keys, &secrets(&[("a", "sentinel-1"), ("b", "sentinel-2"), ("c", "sentinel-1")]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a and c have the same secret"), "{found:?}");
        assert!(!found[0].contains("sentinel"));
    }

    #[test]
    fn entries_that_name_one_secret_are_meant_so() {
        let keys = keys(
            r#"{"key_id": "a", "model_name": "m", "secret": "X", "rpm": 5}, {"key_id": "b", "model_name": "m", "secret": "X", "rpm": 5}"#,
        );
        assert!(duplicates(&keys, &secrets(&[("a", "one"), ("b", "one")])).is_empty());
        assert!(siblings(&keys).is_empty());
    }

    #[test]
    fn siblings_are_told_their_common_quota() {
        let keys = keys(
            r#"{"key_id": "a", "model_name": "m", "project": "p", "rpm": 60, "rpd": 500},
               {"key_id": "b", "model_name": "m", "project": "p", "rpm": 60, "rpd": 500},
               {"key_id": "c", "model_name": "m", "project": "p", "rpm": 60, "active": false},
               {"key_id": "d", "model_name": "other", "project": "p", "rpm": 60},
               {"key_id": "e", "model_name": "m", "rpm": 60}"#,
        );
        assert_eq!(
            siblings(&keys),
            [
                "a and b are keys of one project (p) and share one quota for m: rpm 60, rpd 500 in all, not each"
            ]
        );
    }

    #[test]
    fn siblings_with_different_limits_get_the_lowest() {
        let keys = keys(
            r#"{"key_id": "a", "model_name": "m", "project": "p", "rpm": 60},
               {"key_id": "b", "model_name": "m", "project": "p", "rpm": 10, "tpm": 1000}"#,
        );
        let found = siblings(&keys);
        assert!(found[0].contains("rpm 10, tpm 1000 in all"), "{found:?}");
        assert!(found[0].ends_with("of which the lowest apply"), "{found:?}");
    }

    #[test]
    fn siblings_without_limits_claim_nothing() {
        let keys = keys(
            r#"{"key_id": "a", "model_name": "m", "project": "p"}, {"key_id": "b", "model_name": "m", "project": "p"}"#,
        );
        assert!(siblings(&keys).is_empty());
    }
}
