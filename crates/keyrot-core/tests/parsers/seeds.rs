//! The files of `tests/corpus`, and text made from them by cutting and inserting.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Pieces on which the parsers turn, and nearly whole entries.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"keys\"",
    "\"key_id\"",
    "\"a\"",
    "\"b\"",
    "\"model_name\"",
    "\"rpm\"",
    "\"tags\"",
    "\"models\"",
    "\"secret\"",
    "\"project\"",
    "\"created_at\"",
    "\"2024-01-01T00:00:00\"",
    "null",
    "true",
    "-1",
    "60",
    "1e6",
    "1e999",
    "//",
    "/*",
    "*/",
    "#",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\\",
    "\\u12",
    "'",
    "\"",
    "=",
    "export ",
    "$",
    "\u{feff}",
    "é",
    "\0",
    "{\"keys\": [",
    "{\"key_id\": \"a\", \"model_name\": \"m\"",
    "}]}",
    "/* c */",
    "// c\n",
    "\"rpm\": 1, ",
    ", \"x\": [{}]",
    ", {\"key_id\": \"b\", \"model_name\": \"m\", \"tags\": {}}",
    "\nA=1\n",
    "\nB=\"",
];

/// One file of the corpus.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// The files of a folder of the corpus, by name.
pub(crate) fn seeds(folder: &str) -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut seeds: Vec<Seed> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| Seed {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            text: std::fs::read_to_string(path).unwrap(),
        })
        .collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!seeds.is_empty());
    seeds
}

/// Pieces in any order, or arbitrary text.
pub(crate) fn soup() -> impl Strategy<Value = String> {
    prop_oneof![
        vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat()),
        vec(any::<char>(), 0..32).prop_map(String::from_iter),
    ]
}

/// A file of the folder with something cut out, put in or both at up to three places.
pub(crate) fn mutated(folder: &str) -> impl Strategy<Value = String> + use<> {
    let seeds = seeds(folder);
    let scrap = prop_oneof![
        6 => select(PIECES).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => Just(String::new()),
    ];
    let length = prop_oneof![4 => Just(0), 4 => 1..12usize, 1 => 0..200usize];
    (0..seeds.len(), vec((any::<Index>(), length, scrap), 0..4)).prop_map(move |(seed, edits)| {
        let mut text = seeds[seed].text.clone();
        for (at, length, scrap) in edits {
            let from = text.floor_char_boundary(at.index(text.len() + 1));
            let to = text.ceil_char_boundary((from + length).min(text.len()));
            text.replace_range(from..to, &scrap);
        }
        text
    })
}
