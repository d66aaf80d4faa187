//! Whatever comes in: no panic, no key out, and the same answer however the bytes were cut.
//!
//! Each property runs ten thousand times; `PROPTEST_CASES` in the environment changes that.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod seeds;

use keyrot_gemini::{SseItem, SseReader, SseTooLong, classify, redact, redact_secret};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::seeds::{Seed, bodies, key, mutated, mutated_body, seeds, text};

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    // 256 is proptest's own default: nobody asked for another number.
    let cases = if default.cases == 256 { 10_000 } else { default.cases };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

fn length(item: &SseItem) -> usize {
    let (SseItem::Data(text) | SseItem::Raw(text)) = item;
    text.len()
}

/// The verdict is bounded and does not show the key that is in the body.
fn classify_body(status: u16, body: &str, key: &str) {
    let outcome = classify(status, Some(&body[..body.floor_char_boundary(4)]), body);
    assert!(!format!("{outcome:?}").contains(key), "{outcome:?}");
    assert!(outcome.detail.chars().count() <= 300);
    assert!(outcome.retry_after.is_none_or(|delay| !delay.is_zero()));
}

/// All items of a stream that arrives in these parts.
fn read_stream<'a>(
    limit: usize,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<SseItem>, SseTooLong> {
    let mut reader = SseReader::new(limit);
    let mut items = Vec::new();
    for part in parts {
        items.extend(reader.push(part)?);
    }
    items.extend(reader.finish());
    Ok(items)
}

#[test]
fn corpus_of_bodies_is_classified_and_shows_no_key() {
    for Seed { name, bytes } in bodies() {
        let body = String::from_utf8(bytes).unwrap();
        for status in [0, 200, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503, 999] {
            println!("{status} {name}"); // shown when it fails
            classify_body(status, &body, "sentinel");
            for key in
                ["AIzaSyFAKE-sentinel-1111111111111111111", "AQ.Ab8RN6K_fake-sentinel.1111111111111111"]
            {
                classify_body(status, &format!("{key}{body}"), "sentinel");
                classify_body(status, &format!("{body}{key}"), "sentinel");
            }
        }
    }
}

#[test]
fn corpus_of_streams_is_read_the_same_for_every_cut() {
    for Seed { name, bytes } in seeds("sse") {
        let whole = read_stream(1 << 16, [&*bytes]);
        assert!(whole.is_ok(), "{name}");
        assert_eq!(read_stream(1 << 16, bytes.chunks(1)), whole, "{name}");
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(read_stream(1 << 16, [head, tail]), whole, "{name}, cut at {cut}");
        }
    }
}

#[test]
fn corpus_of_streams_means_the_same_with_each_kind_of_line_end() {
    let streams = seeds("sse");
    let [lf, crlf, cr] = ["lf.txt", "crlf.txt", "cr.txt"].map(|name| {
        let stream = streams.iter().find(|stream| stream.name == name).unwrap();
        read_stream(1 << 16, [&*stream.bytes]).unwrap()
    });
    assert_eq!(lf.len(), 4, "{lf:?}");
    assert_eq!((&crlf, &cr), (&lf, &lf));
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fuzz_the_classifier_takes_any_body_and_shows_no_key(
        status in prop_oneof![any::<u16>(), Just(200), 400..600u16],
        body in mutated_body(),
        at in any::<Index>(),
        key in key(),
    ) {
        let mut body = body;
        body.insert_str(body.floor_char_boundary(at.index(body.len() + 1)), &key);
        classify_body(status, &body, &key);
    }

    #[test]
    fn fuzz_redaction_leaves_no_key(before in text(), key in key(), after in text()) {
        let clean = redact(&format!("{before}{key}{after}"));
        prop_assert!(!clean.contains(&key), "{clean}");
    }

    #[test]
    fn fuzz_redaction_leaves_no_known_secret(
        before in text(), secret in prop::collection::vec(b'!'..=b'~', 8..=40), after in text(), spelling in 0..3u8,
    ) {
        let secret = String::from_utf8(secret).unwrap();
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
        stream in prop_oneof![
            1 => text().prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..40),
            1 => mutated_body().prop_map(|body| format!("data: 1\r\n\r\n{body}\ndata: 2\n\n").into_bytes()),
            3 => mutated(seeds("sse")),
        ],
        cuts in prop::collection::vec(any::<Index>(), 0..4),
        limit in prop_oneof![4 => Just(1 << 16), 1 => 0..400usize],
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let items = read_stream(limit, cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]));
        prop_assert_eq!(&items, &read_stream(limit, [&*stream]));
        // A byte that is no UTF-8 becomes three.
        prop_assert!(items.is_ok() || 3 * stream.len() > limit);
        let size: usize = items.iter().flatten().map(length).sum();
        prop_assert!(size <= 3 * stream.len());
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
