//! The files of `tests/corpus` and the documented errors, bytes made from them by cutting and inserting, and keys.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Bits of JSON, marks and words on which the readers turn.
const PIECES: &[&str] = &[
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
    "\r\n",
    "\n\n",
    "\u{feff}",
    "AIza",
    "AQ.",
    "%41",
    "\\u0041",
    "Bearer ",
    "429",
];

/// What keys are made of.
const LETTERS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-";
const LETTERS_AND_DOT: &[u8; 65] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-.";

/// One file of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The files of a folder of the corpus, by name.
pub(crate) fn seeds(folder: &str) -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut seeds: Vec<Seed> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| Seed {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            bytes: std::fs::read(path).unwrap(),
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!seeds.is_empty());
    seeds
}

/// The bodies of the corpus, and those of the documented errors.
pub(crate) fn bodies() -> Vec<Seed> {
    let file: Value = serde_json::from_str(include_str!("../gemini-errors.json")).unwrap();
    let documented = file["cases"].as_array().unwrap().iter().map(|case| Seed {
        name: case["name"].as_str().unwrap().to_owned(),
        bytes: case["body"].as_str().unwrap().into(),
    });
    documented.chain(seeds("bodies")).collect()
}

/// One of the seeds with bytes cut out, text put in or both at up to four places, also inside of characters.
pub(crate) fn mutated(seeds: Vec<Seed>) -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![3 => Just(0), 4 => 1..12usize, 1 => 0..200usize];
    (0..seeds.len(), vec((any::<Index>(), length, scrap()), 0..5)).prop_map(move |(seed, edits)| {
        let mut bytes = seeds[seed].bytes.clone();
        for (at, length, scrap) in edits {
            let from = at.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, scrap.bytes());
        }
        bytes
    })
}

/// A damaged body as text, as the client reads it.
pub(crate) fn mutated_body() -> impl Strategy<Value = String> {
    mutated(bodies()).prop_map(|bytes| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

fn scrap() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => vec(b' '..=b'~', 0..7).prop_map(|bytes| bytes.into_iter().map(char::from).collect()),
        1 => vec(any::<char>(), 0..5).prop_map(String::from_iter),
        1 => select(PIECES).prop_map(str::to_owned),
    ]
}

/// Arbitrary text with the pieces in it.
pub(crate) fn text() -> impl Strategy<Value = String> {
    vec(scrap(), 0..8).prop_map(|scraps| scraps.concat())
}

/// Keys of both shapes.
pub(crate) fn key() -> impl Strategy<Value = String> {
    // Not by a regular expression: proptest would parse it for each key, and draw each character by itself.
    let old = any::<[u64; 4]>().prop_map(|noise| word("AIza", LETTERS, noise, 35));
    let new = (any::<[u64; 6]>(), 20..=60usize);
    prop_oneof![old, new.prop_map(|(noise, length)| word("AQ.", LETTERS_AND_DOT, noise, length))]
}

/// `start` and that many letters, ten from each number.
fn word<const N: usize>(start: &str, letters: &[u8], noise: [u64; N], length: usize) -> String {
    let base = letters.len() as u64;
    let digits = (0..length).map(|at| noise[at / 10] / base.pow((at % 10) as u32) % base);
    start.chars().chain(digits.map(|digit| char::from(letters[digit as usize]))).collect()
}
