//! Valid keys.json of every look: nothing is lost that was not changed.
//! `PROPTEST_CASES` sets the number of cases.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::time::SystemTime;

use keyrot_core::{KeyId, KeyMetadata, KeySet, Limits};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What may stand between two tokens.
fn gap() -> impl Strategy<Value = &'static str> {
    let blank = select(&["", "", " ", "\n", "\n    ", "\t", "\n\n"][..]);
    let comment = select(&[" // note\n", " /* note */ ", "\n  // note\n  ", "/**/"][..]);
    prop_oneof![4 => blank, 1 => comment]
}

const FIELDS: &[&str] = &[
    "\"rpm\": 60",
    "\"tpm\": 1e6",
    "\"rpd\": null",
    "\"active\": false",
    "\"priority\": 7",
    "\"tags\": {\"region\": \"us\", \"tier\": 1}",
    "\"tags\": { /* none */ }",
    "\"models\": {\"pro\": {\"rpm\": 1}}",
    "\"burst_capacity\": [1, {\"deep\": null}]",
    "\"note \\u0041 \\\"x\\\"\": \"// no comment\"",
    "\"updated_at\": \"2024-01-01T00:00:00\"",
    "\"key_id_2\": \"x\"",
];

const OWNER: &str = "\"owner\": {\"team\": \"a\"}";

/// Joins `{` name: value, ... `}` with generated gaps, and a comma at the end if asked.
fn joined(open: char, items: &[String], gaps: &[&str], trailing: bool, close: char) -> String {
    let mut gaps = gaps.iter().copied().cycle();
    let mut gap = || gaps.next().unwrap_or_default();
    let mut text = format!("{open}{}", gap());
    for (index, item) in items.iter().enumerate() {
        let comma = index + 1 < items.len() || trailing;
        text.extend([item.as_str(), gap(), if comma { "," } else { "" }, gap()]);
    }
    text.push(close);
    text
}

fn entry(number: usize) -> impl Strategy<Value = String> {
    let fields = proptest::sample::subsequence(FIELDS, 0..6).prop_shuffle();
    (fields, vec(gap(), 1..12), any::<bool>()).prop_map(move |(fields, gaps, trailing)| {
        let own = [format!("\"key_id\": \"k{number}\""), "\"model_name\": \"m\"".to_owned()];
        let mut fields: Vec<String> =
            own.into_iter().chain(fields.iter().map(|&field| field.to_owned())).collect();
        // one entry may state its tags once only
        let mut tags = 0;
        fields.retain(|field| !field.starts_with("\"tags\"") || std::mem::replace(&mut tags, 1) == 0);
        joined('{', &fields, &gaps, trailing, '}')
    })
}

prop_compose! {
    fn file()(count in 0_usize..4)
        (entries in (0..count).map(entry).collect::<Vec<_>>(), gaps in vec(gap(), 1..12), top in vec(gap(), 5),
         trailing in any::<bool>(), mark in any::<bool>()) -> String {
        let list = joined('[', &entries, &gaps, trailing && !entries.is_empty(), ']');
        let fields = [OWNER.to_owned(), format!("\"keys\": {list}")];
        let mark = if mark { "\u{feff}" } else { "" };
        format!("{mark}{}{}\n", top[0], joined('{', &fields, &top[1..], false, '}'))
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Add(u8, Option<u32>),
    Limits(u8, Option<u32>, Option<u64>),
    Active(u8, bool),
    Model(u8, Option<u32>),
    Priority(u8, u32),
    Remove(u8),
    Tag(u8, String, Option<String>),
}

impl Edit {
    /// Removing a field or an entry takes the comments with it that stand inside.
    fn removes(&self) -> bool {
        matches!(self, Self::Remove(_) | Self::Limits(..) | Self::Priority(_, 0) | Self::Tag(_, _, None))
            || matches!(self, Self::Model(_, None))
    }

    /// One value in some millions looks like a comment, which is then counted as one.
    fn writes_a_comment(&self) -> bool {
        matches!(self, Self::Tag(_, _, Some(value)) if comments(value) > 0)
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = || select(&["region", "new", "a \"b\" \\", "ключ", "key_id"][..]).prop_map(str::to_owned);
    prop_oneof![
        (0_u8..3, any::<Option<u32>>()).prop_map(|(key, rpm)| Edit::Add(key, rpm)),
        (0_u8..4, any::<Option<u32>>(), any::<Option<u64>>())
            .prop_map(|(key, rpm, tpm)| Edit::Limits(key, rpm, tpm)),
        (0_u8..4, any::<bool>()).prop_map(|(key, active)| Edit::Active(key, active)),
        (0_u8..4, any::<Option<u32>>()).prop_map(|(key, rpm)| Edit::Model(key, rpm)),
        (0_u8..4, 0_u32..3).prop_map(|(key, priority)| Edit::Priority(key, priority)),
        (0_u8..4).prop_map(Edit::Remove),
        (0_u8..4, name(), any::<Option<String>>()).prop_map(|(key, name, value)| Edit::Tag(key, name, value)),
    ]
}

fn apply(keys: &mut KeySet, edit: &Edit) {
    let existing = |keys: &KeySet, number: &u8| keys.get(&format!("k{number}")).cloned();
    let changed = match edit {
        Edit::Add(number, rpm) => {
            let id = KeyId::parse(&format!("new{number}")).unwrap();
            Some(KeyMetadata::new(id, "m").with_limits(Limits::new(*rpm, None, None)))
        }
        Edit::Limits(number, rpm, tpm) => existing(keys, number).map(|key| {
            let rpd = key.limits.rpd;
            key.with_limits(Limits::new(*rpm, *tpm, rpd))
        }),
        Edit::Active(number, active) => existing(keys, number).map(|mut key| {
            key.active = *active;
            key
        }),
        Edit::Model(number, rpm) => existing(keys, number).map(|mut key| {
            match rpm {
                Some(rpm) => drop(key.models.insert("pro".into(), Limits::new(Some(*rpm), None, None))),
                None => key.models.clear(),
            }
            key
        }),
        Edit::Priority(number, priority) => existing(keys, number).map(|key| key.with_priority(*priority)),
        Edit::Tag(number, name, value) => existing(keys, number).map(|mut key| {
            match value {
                Some(value) => drop(key.tags.insert(name.clone(), value.clone())),
                None => drop(key.tags.remove(name)),
            }
            key
        }),
        Edit::Remove(number) => {
            keys.remove(&KeyId::parse(&format!("k{number}")).unwrap());
            None
        }
    };
    if let Some(key) = changed {
        keys.upsert(key).unwrap();
    }
}

fn undated(keys: &KeySet) -> Vec<KeyMetadata> {
    let undated = keys.iter().cloned().map(|mut key| {
        key.created_at = None;
        key.updated_at = None;
        key
    });
    undated.collect()
}

fn comments(text: &str) -> usize {
    text.matches("// note").count() + text.matches("/* note */").count() + text.matches("/**/").count()
}

proptest! {
    #[test]
    fn fuzz_an_unchanged_keys_json_is_saved_as_it_was(text in file()) {
        let keys = KeySet::parse(&text).unwrap();
        prop_assert_eq!(keys.to_text(SystemTime::UNIX_EPOCH).unwrap(), text);
    }

    #[test]
    fn fuzz_an_edited_keys_json_holds_the_edits_and_all_else(text in file(), edits in vec(edit(), 1..5)) {
        let mut keys = KeySet::parse(&text).unwrap();
        for edit in &edits {
            apply(&mut keys, edit);
        }
        let saved = keys.to_text(SystemTime::UNIX_EPOCH).unwrap();
        let read = KeySet::parse(&saved).unwrap();
        prop_assert_eq!(undated(&read), undated(&keys), "{}", saved);
        prop_assert!(saved.contains(OWNER), "{}", saved);
        if !edits.iter().any(|edit| edit.removes() || edit.writes_a_comment()) {
            prop_assert_eq!(comments(&saved), comments(&text), "{}", saved);
            prop_assert_eq!(saved.matches("burst_capacity").count(), text.matches("burst_capacity").count());
        }
        prop_assert_eq!(read.to_text(SystemTime::UNIX_EPOCH).unwrap(), saved);
    }
}
