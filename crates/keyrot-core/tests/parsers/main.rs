//! keys.json and .env with any text: no panic, no hang, and a file that was read is written as it was.
//!
//! Files of the corpus whose names begin with `bad_` must be refused, all others read.
//! `PROPTEST_CASES` sets the number of generated inputs.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod seeds;

use std::time::SystemTime;

use keyrot_core::{ConfigError, KeySet, parse_dotenv, set_in_dotenv};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::string::string_regex;

use crate::seeds::{Seed, mutated, seeds, soup};

/// Reads keys.json; what was read comes out unchanged.
fn read_keys_json(text: &str) -> Result<(), ConfigError> {
    let keys = KeySet::parse(text)?;
    assert_eq!(keys.to_text(SystemTime::UNIX_EPOCH).unwrap(), text);
    Ok(())
}

/// Reads .env. What was read can be written to, and only that changes; each problem names a line, in order.
fn read_dotenv(text: &str) -> Result<(), ConfigError> {
    let error = match parse_dotenv(text) {
        Ok(before) => {
            let after = parse_dotenv(&set_in_dotenv(text, "A", "x 'y'").unwrap()).unwrap();
            assert_eq!(after.raw("A"), Some("x 'y'"));
            for name in before.names_with_prefix("").filter(|name| *name != "A") {
                assert_eq!(after.raw(name), before.raw(name), "{text:?}: {name}");
            }
            return Ok(());
        }
        Err(error) => error,
    };
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

/// Arbitrary text.
fn arbitrary() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..32).prop_map(String::from_iter)
}

/// Parsed once: a plain text in its place is parsed again for each input.
fn regex(expression: &str) -> impl Strategy<Value = String> + use<> {
    string_regex(expression).unwrap()
}

/// A line of a `.env` file, or two with a value that spans them.
fn dotenv_line() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("K"), Just(" export K "), Just("A"), Just("B"), Just("KK")];
    let value = prop_oneof![
        regex("[a-zA-Z0-9#$=\\.]{0,6}"),
        regex("'[a-z\" #\\\\]{0,6}'"),
        regex("\"[a-z' #$\n]{0,6}\""),
        regex("[ \t]{0,2}[a-z]{0,3}[ \t]{0,2}"),
    ];
    let assignment = (name, value, prop_oneof![Just(""), Just(" # K=1"), Just("\t#x")])
        .prop_map(|(name, value, comment)| format!("{name}={value}{comment}"));
    prop_oneof![assignment, regex("# [a-zK=]{0,5}"), Just(String::new())]
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
    fn fuzz_a_variable_is_set_in_a_dotenv_file_and_nothing_else_changes(
        lines in vec(dotenv_line(), 0..6), line_end in prop_oneof![Just("\n"), Just("\r\n")], value in arbitrary(),
    ) {
        let text = lines.join(line_end);
        let before = parse_dotenv(&text).unwrap();
        let after_text = set_in_dotenv(&text, "K", &value).unwrap();
        let after = parse_dotenv(&after_text).unwrap();
        prop_assert_eq!(after.raw("K"), Some(value.trim()), "{:?}", after_text);
        for name in ["A", "B", "KK"] {
            prop_assert_eq!(after.raw(name), before.raw(name), "{:?}", after_text);
        }
        for line in lines.iter().filter(|line| !line.contains('K')) {
            prop_assert!(after_text.contains(line.as_str()), "{:?} is not in {:?}", line, after_text);
        }
        prop_assert_eq!(set_in_dotenv(&after_text, "K", &value).unwrap(), after_text);
    }

    #[test]
    fn fuzz_what_is_quoted_in_a_dotenv_file_comes_out_again(
        value in arbitrary(),
        comment in vec(prop::char::range(' ', '~'), 0..6).prop_map(String::from_iter),
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
