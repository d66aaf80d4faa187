//! What `keyrot check` finds in the entries of keys.json.

use std::collections::BTreeMap;
use std::fmt::Display;

use keyrot::{KeyMetadata, KeySet, Limits, ModelName, NO_KEYS, ProjectId};

use crate::check_report::{Finding, Level};
use crate::keys_list::in_words;

/// Fields of the Python program that nothing ever read, there or here.
const WITHOUT_EFFECT: [&str; 2] = ["burst_capacity", "workload_type"];

/// What is odd about each entry by itself, and whether any can be used at all.
pub(crate) fn entries(keys: &KeySet, path: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = keys.iter().flat_map(entry).collect();
    findings.extend(unknown_fields(keys));
    if !keys.iter().any(is_used) {
        let (problem, fix) = if keys.is_empty() {
            ("it has no key", "keyrot keys add KEY_ID --model MODEL")
        } else {
            ("none of its keys can be used", "keyrot keys list shows them; keyrot keys enable KEY_ID")
        };
        findings.push(Finding::new(Level::Error, path, format!("{NO_KEYS}: {problem}")).fix(fix));
    }
    findings
}

/// True if the pool ever selects this key.
pub(crate) fn is_used(key: &KeyMetadata) -> bool {
    let some_quota = key.served_models().iter().any(|(_, limits)| !limits.forbids_everything());
    key.active && key.provider == "gemini" && key.weight > 0 && some_quota
}

fn entry(key: &KeyMetadata) -> Vec<Finding> {
    let id = &key.key_id;
    if !key.active {
        let text = format!("inactive, so it is not used until: keyrot keys enable {id}");
        return vec![Finding::new(Level::Ok, id.as_str(), text)];
    }
    let mut findings = Vec::new();
    let mut warn = |message: String, fix: String| {
        findings.push(Finding::new(Level::Warning, id.as_str(), message).fix(fix));
    };
    if key.provider != "gemini" {
        let message =
            format!("its provider is {:?}, of which this build knows nothing: never used", key.provider);
        warn(message, format!("write \"gemini\" if it is a Gemini key, or keyrot keys disable {id}"));
    }
    if key.weight == 0 {
        let fix = format!("keyrot keys set {id} --weight 1, or keyrot keys disable {id}");
        warn("its weight is 0: never used".to_owned(), fix);
    }
    for (model, limits) in key.served_models() {
        for name in zeros(limits) {
            let fix = format!("keyrot keys set {id} --no-{name} for no limit, or keyrot keys disable {id}");
            warn(format!("{name} is 0 for {model}: never used for it"), fix);
        }
    }
    findings
}

fn zeros(limits: Limits) -> Vec<&'static str> {
    let all = [("rpm", limits.rpm.map(u64::from)), ("tpm", limits.tpm), ("rpd", limits.rpd.map(u64::from))];
    all.into_iter().filter(|(_, limit)| *limit == Some(0)).map(|(name, _)| name).collect()
}

fn unknown_fields(keys: &KeySet) -> Vec<Finding> {
    let unknown = keys.unknown_fields().into_iter().map(|(id, field)| {
        if WITHOUT_EFFECT.contains(&field.as_str()) {
            let text = format!("{field} has no effect; it is kept");
            return Finding::new(Level::Info, id.as_str(), text);
        }
        let last = field.rsplit('.').next().unwrap_or(&field).to_lowercase();
        let distance = |known: &&str| strsim::damerau_levenshtein(&last, known);
        let meant = KeySet::FIELDS.iter().copied().min_by_key(distance).filter(|known| distance(known) <= 2);
        let fix = match meant {
            Some(known) => format!("did you mean {known}?"),
            None => format!("allowed: {}; notes belong into tags or comments", KeySet::FIELDS.join(", ")),
        };
        Finding::new(Level::Warning, id.as_str(), format!("the field {field} means nothing")).fix(fix)
    });
    unknown.collect()
}

type Member<'a> = (&'a KeyMetadata, Limits);

/// Active keys of one project and model: one quota, however many keys.
pub(crate) fn siblings(keys: &KeySet) -> Vec<Finding> {
    let mut groups: BTreeMap<(ProjectId, ModelName), Vec<Member<'_>>> = BTreeMap::new();
    for key in keys.iter().filter(|key| is_used(key)) {
        for (model, limits) in key.served_models() {
            groups.entry((key.quota_project(), model)).or_default().push((key, limits));
        }
    }
    groups.retain(|_, members| members.len() > 1);
    groups.iter().map(|((project, model), members)| one_quota(project, model, members)).collect()
}

fn one_quota(project: &ProjectId, model: &ModelName, members: &[Member<'_>]) -> Finding {
    let ids: Vec<&str> = members.iter().map(|(key, _)| key.key_id.as_str()).collect();
    let lowest = members.iter().map(|(_, limits)| *limits).reduce(Limits::lowest).unwrap_or_default();
    let quota = if lowest == Limits::default() {
        String::new()
    } else {
        format!(": {} in all, not each", in_words(lowest))
    };
    let text = format!("{} share the quota of project {project} for {model}{quota}", ids.join(", "));
    let differing = [
        differs("rpm", members, |limits| limits.rpm.map(u64::from)),
        differs("tpm", members, |limits| limits.tpm),
        differs("rpd", members, |limits| limits.rpd.map(u64::from)),
    ];
    let differing: Vec<String> = differing.into_iter().flatten().collect();
    if differing.is_empty() {
        return Finding::new(Level::Info, ids.join(", "), text);
    }
    let text = format!(
        "{text}; but they state different limits, of which the lowest apply: {}",
        differing.join("; ")
    );
    Finding::new(Level::Warning, ids.join(", "), text)
        .fix("give each of them the limits of the whole project with keyrot keys set")
}

/// How the members state one limit, if not all alike.
fn differs<T: Display + Copy + Ord + Into<u64>>(
    name: &str,
    members: &[Member<'_>],
    limit: impl Fn(Limits) -> Option<T>,
) -> Option<String> {
    let stated: Vec<Option<T>> = members.iter().map(|(_, limits)| limit(*limits)).collect();
    if stated.iter().all(|value| *value == stated[0]) {
        return None;
    }
    let each = members.iter().zip(&stated).map(|((key, _), value)| match value {
        Some(value) => format!("{value} in {}", key.key_id),
        None => format!("none in {}", key.key_id),
    });
    let text = format!("{name} {}", each.collect::<Vec<_>>().join(", "));
    let values: Vec<u128> = stated.iter().flatten().map(|value| u128::from((*value).into())).collect();
    let (sum, largest) = (values.iter().sum::<u128>(), values.iter().copied().max()?);
    let summed = values.len() > 2 && largest > 0 && sum == 2 * largest;
    Some(if summed { format!("{text} ({largest} looks like the sum of the others)") } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(entries: &str) -> KeySet {
        KeySet::parse(&format!("{{\"keys\": [{entries}]}}")).unwrap()
    }

    #[test]
    fn siblings_with_the_same_limits_are_told_that_they_are_one_quota() {
        let found = siblings(&keys(
            r#"{"key_id": "a", "model_name": "m", "project": "p", "rpm": 60, "rpd": 500},
               {"key_id": "b", "model_name": "m", "project": "p", "rpm": 60, "rpd": 500},
               {"key_id": "c", "model_name": "m", "project": "p", "rpm": 6, "active": false},
               {"key_id": "d", "model_name": "other", "project": "p", "rpm": 60},
               {"key_id": "e", "model_name": "m", "rpm": 60}"#,
        ));
        let text = "a, b share the quota of project p for m: rpm 60, rpd 500 in all, not each";
        assert_eq!(found, [Finding::new(Level::Info, "a, b", text)]);
    }

    #[test]
    fn siblings_with_different_limits_are_warned_with_each_and_the_lowest() {
        let found = siblings(&keys(
            r#"{"key_id": "a", "model_name": "m", "project": "p", "rpm": 60},
               {"key_id": "b", "model_name": "m", "project": "p", "rpm": 10, "tpm": 1000}"#,
        ));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].level, found[0].fix.is_some()), (Level::Warning, true));
        assert_eq!(
            found[0].message,
            "a, b share the quota of project p for m: rpm 10, tpm 1000 in all, not each; but they state different \
             limits, of which the lowest apply: rpm 60 in a, 10 in b; tpm none in a, 1000 in b"
        );
    }

    #[test]
    fn a_limit_that_looks_like_a_sum_is_called_so() {
        let found = siblings(&keys(
            r#"{"key_id": "a", "model_name": "m", "project": "p", "rpm": 30},
               {"key_id": "b", "model_name": "m", "project": "p", "rpm": 10},
               {"key_id": "c", "model_name": "m", "project": "p", "rpm": 20}"#,
        ));
        assert!(found[0].message.ends_with("(30 looks like the sum of the others)"), "{found:?}");
    }

    #[test]
    fn what_keeps_an_entry_from_being_used_is_named() {
        let found = entries(
            &keys(
                r#"{"key_id": "a", "model_name": "m", "provider": "claude"},
                   {"key_id": "b", "model_name": "m", "weight": 0},
                   {"key_id": "c", "model_name": "m", "rpm": 0, "models": {"pro": {"tpm": 5}}},
                   {"key_id": "d", "model_name": "m", "active": false, "rpd": 0}"#,
            ),
            "k.json",
        );
        let short: Vec<_> = found.iter().map(|f| (f.level, &*f.subject, &*f.message)).collect();
        assert_eq!(
            short,
            [
                (
                    Level::Warning,
                    "a",
                    "its provider is \"claude\", of which this build knows nothing: never used"
                ),
                (Level::Warning, "b", "its weight is 0: never used"),
                (Level::Warning, "c", "rpm is 0 for m: never used for it"),
                (Level::Ok, "d", "inactive, so it is not used until: keyrot keys enable d"),
            ]
        );
        assert!(is_used(
            keys(r#"{"key_id": "c", "model_name": "m", "rpm": 0, "models": {"pro": {}}}"#).get("c").unwrap()
        ));
    }

    #[test]
    fn a_file_without_a_usable_key_is_an_error() {
        for text in [
            "",
            r#"{"key_id": "a", "model_name": "m", "active": false}"#,
            r#"{"key_id": "a", "model_name": "m", "tpm": 0}"#,
        ] {
            let found = entries(&keys(text), "k.json");
            let last = found.last().unwrap();
            assert_eq!((last.level, &*last.subject), (Level::Error, "k.json"), "{text}");
            assert!(last.message.starts_with(NO_KEYS) && last.fix.is_some(), "{last:?}");
        }
    }

    #[test]
    fn slips_in_field_names_find_what_was_meant() {
        let found = unknown_fields(&keys(
            r#"{"key_id": "a", "model_name": "m", "prority": 1, "RPM": 5, "enabled": false, "workload_type": "x",
                "models": {"pro": {"rmp": 1}}}"#,
        ));
        let short: Vec<_> = found.iter().map(|f| (f.level, &*f.message, f.fix.as_deref())).collect();
        assert_eq!(
            short[0],
            (Level::Warning, "the field prority means nothing", Some("did you mean priority?"))
        );
        assert_eq!(short[1], (Level::Warning, "the field RPM means nothing", Some("did you mean rpm?")));
        assert!(short[2].2.unwrap().starts_with("allowed: key_id, model_name"), "{short:?}");
        assert_eq!(short[3], (Level::Info, "workload_type has no effect; it is kept", None));
        assert_eq!(short[4].1, "the field models.pro.rmp means nothing");
        assert_eq!(short[4].2, Some("did you mean rpm?"));
    }
}
