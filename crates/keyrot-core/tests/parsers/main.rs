//! keys.json and .env with any text: no panic, no hang, and a file that was read is written as it was.
//!
//! Files of the corpus whose names begin with `bad_` must be refused, all others read.
//! `PROPTEST_CASES` sets the number of generated inputs.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod seeds;

use std::time::SystemTime;

use keyrot_core::{ConfigError, KeySet, parse_dotenv};
use proptest::prelude::*;

use crate::seeds::{Seed, mutated, seeds, soup};

/// Reads keys.json; what was read comes out unchanged.
fn read_keys_json(text: &str) -> Result<(), ConfigError> {
    let keys = KeySet::parse(text)?;
    assert_eq!(keys.to_text(SystemTime::UNIX_EPOCH).unwrap(), text);
    Ok(())
}

/// Reads .env; each problem names a line of the text, in order.
fn read_dotenv(text: &str) -> Result<(), ConfigError> {
    let Err(error) = parse_dotenv(text) else { return Ok(()) };
    let mut last = 0;
    for problem in error.problems() {
        let number = problem.strip_prefix("line ").and_then(|rest| rest.split(':').next());
        let number: usize = number.expect("a line number").parse().unwrap();
        assert!(last < number && number <= text.matches('\n').count() + 1, "{text:?}: {error}");
        last = number;
    }
    Err(error)
}

#[track_caller]
fn all_are_as_named(folder: &str, read: fn(&str) -> Result<(), ConfigError>) {
    for Seed { name, text } in seeds(folder) {
        let result = read(&text);
        assert_eq!(result.is_err(), name.starts_with("bad_"), "{name}: {result:?}");
    }
}

#[test]
fn corpus_of_keys_json_is_read_or_refused_as_named() {
    all_are_as_named("keys_json", read_keys_json);
}

#[test]
fn corpus_of_dotenv_is_read_or_refused_as_named() {
    all_are_as_named("dotenv", read_dotenv);
}

proptest! {
    #[test]
    fn fuzz_keys_json(text in prop_oneof![1 => soup(), 3 => mutated("keys_json")]) {
        let _ = read_keys_json(&text);
    }

    #[test]
    fn fuzz_dotenv(text in prop_oneof![1 => soup(), 3 => mutated("dotenv")]) {
        let _ = read_dotenv(&text);
    }

    #[test]
    fn fuzz_what_is_quoted_in_a_dotenv_file_comes_out_again(
        value in prop::collection::vec(any::<char>(), 0..32).prop_map(String::from_iter),
        comment in prop::collection::vec(prop::char::range(' ', '~'), 0..6).prop_map(String::from_iter),
    ) {
        let mut escaped = String::new();
        for c in value.chars() {
            match c {
                '"' | '\\' => escaped.extend(['\\', c]),
                '\r' => escaped.push_str("\\r"),
                _ => escaped.push(c),
            }
        }
        let vars = parse_dotenv(&format!("A=1\nK=\"{escaped}\" # {comment}\nB=2")).unwrap();
        prop_assert_eq!(vars.raw("K"), Some(value.trim()));
        prop_assert_eq!((vars.raw("A"), vars.raw("B")), (Some("1"), Some("2")));
    }
}
