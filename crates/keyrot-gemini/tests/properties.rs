//! Whatever comes in: no panic, no key out, and the same answer however the bytes were cut.
//!
//! Each property runs ten thousand times; `PROPTEST_CASES` in the environment changes that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use keyrot_gemini::{SseItem, SseReader, classify, redact, redact_secret};
use proptest::prelude::*;
use serde_json::Value;

/// Bodies to begin from: an arbitrary text is hardly ever JSON.
static BODIES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let file: Value = serde_json::from_str(include_str!("gemini-errors.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let mut bodies: Vec<String> =
        cases.iter().map(|case| case["body"].as_str().unwrap().to_owned()).collect();
    let nested = serde_json::json!({"error": {"message": bodies[0]}}).to_string();
    bodies.extend([nested, r#"{"usageMetadata": {"promptTokenCount": 3}}"#.to_owned()]);
    bodies
});

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    // 256 is proptest's own default: nobody asked for another number.
    let cases = if default.cases == 256 { 10_000 } else { default.cases };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

/// Keys of both shapes.
fn key() -> impl Strategy<Value = String> {
    prop_oneof!["AIza[0-9A-Za-z_-]{35}", r"AQ\.[0-9A-Za-z._-]{20,60}"]
}

/// Bits of JSON, markers and words on which the readers turn.
fn scrap() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,6}",
        "\\PC{0,4}",
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            "\"",
            "\\",
            ":",
            "key=",
            "api_key:",
            "limit: 0",
            "retry in 5s",
            "PerDay",
            "error",
            "details",
            "@type",
            "null",
            "data: ",
            "\n",
            "\r",
            "AIza",
            "AQ.",
            "%41",
            "\\u0041",
            "Bearer ",
            "429",
        ])
        .prop_map(str::to_owned),
    ]
}

/// A body of the file with pieces put in and cut out.
fn damaged_body() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, scrap()), 0..5);
    (0..BODIES.len(), edits).prop_map(|(body, edits)| {
        let mut body = BODIES[body].clone();
        for (at, cut, scrap) in edits {
            let from = body.floor_char_boundary(at.index(body.len() + 1));
            let to = body.ceil_char_boundary((from + cut).min(body.len()));
            body.replace_range(from..to, &scrap);
        }
        body
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(scrap(), 0..8).prop_map(|scraps| scraps.concat())
}

fn length(item: &SseItem) -> usize {
    let (SseItem::Data(text) | SseItem::Raw(text)) = item;
    text.len()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fuzz_the_classifier_takes_any_body_and_shows_no_key(
        status in prop_oneof![any::<u16>(), Just(200), 400..600u16],
        body in damaged_body(),
        at in any::<prop::sample::Index>(),
        key in key(),
    ) {
        let mut body = body;
        body.insert_str(body.floor_char_boundary(at.index(body.len() + 1)), &key);
        let outcome = classify(status, Some(&body[..body.floor_char_boundary(4)]), &body);
        prop_assert!(!format!("{outcome:?}").contains(&key), "{outcome:?}");
        prop_assert!(outcome.detail.chars().count() <= 300);
        prop_assert!(outcome.retry_after.is_none_or(|delay| !delay.is_zero()));
    }

    #[test]
    fn fuzz_redaction_leaves_no_key(before in text(), key in key(), after in text()) {
        let clean = redact(&format!("{before}{key}{after}"));
        prop_assert!(!clean.contains(&key), "{clean}");
    }

    #[test]
    fn fuzz_redaction_leaves_no_known_secret(before in text(), secret in "[!-~]{8,40}", after in text(), spelling in 0..3u8) {
        let spelled: String = secret.bytes().map(|byte| match spelling {
            0 => char::from(byte).to_string(),
            1 => format!("%{byte:02x}"),
            _ => format!("\\u00{byte:02X}"),
        }).collect();
        let clean = redact_secret(&format!("{before}{spelled}{after}"), &secret);
        prop_assert!(!clean.contains(&secret) && !clean.contains(&spelled), "{clean}");
    }

    #[test]
    fn fuzz_the_stream_reader_gives_the_same_items_for_every_cut(
        text in prop_oneof![
            text().prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..40),
            damaged_body().prop_map(|body| format!("data: 1\r\n\r\n{body}\ndata: 2\n\n").into_bytes()),
        ],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut parts = SseReader::new(1 << 16);
        let mut items = Vec::new();
        let mut from = 0;
        for to in cuts.into_iter().chain([text.len()]) {
            items.extend(parts.push(&text[from..to]).unwrap());
            from = to;
        }
        items.extend(parts.finish());
        let mut whole = SseReader::new(1 << 16);
        let mut expected = whole.push(&text).unwrap();
        expected.extend(whole.finish());
        let size: usize = items.iter().map(length).sum();
        prop_assert_eq!(items, expected);
        prop_assert!(size <= 3 * text.len(), "a byte that is no UTF-8 becomes three");
    }

    #[test]
    fn fuzz_the_stream_reader_holds_no_more_than_its_limit(
        parts in prop::collection::vec(text(), 0..6), limit in 0..64usize,
    ) {
        let mut reader = SseReader::new(limit);
        for part in parts {
            if reader.push(part.as_bytes()).is_err() {
                return Ok(());
            }
        }
        let left: usize = reader.finish().iter().map(length).sum();
        prop_assert!(left <= limit);
    }
}
