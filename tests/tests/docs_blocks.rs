//! Every fenced block of the documentation has a language that some test reads, and JSON blocks are JSON.
#![expect(clippy::panic, reason = "a test ends at the first surprise")]

use keyrot_core::KeySet;
use keyrot_e2e::docs::{self, Block, pages};
use serde_json::Value;

/// The languages, each with who checks it.
const LANGUAGES: [&str; 8] = [
    "bash",    // run: docs_commands.rs
    "console", // its names exist: docs_commands.rs and `cargo xtask tidy`
    "json",    // parsed: here
    "jsonc",   // read as keys.json: here
    "python",  // parsed: docs_migration.rs
    "rust",    // compiled: docs_examples.rs, or the doc tests of its crate
    "sh",      // as bash
    "text",    // what our code prints: docs_messages.rs; or a drawing
];

fn blocks() -> Vec<Block> {
    pages().iter().flat_map(docs::Page::blocks).collect()
}

#[test]
fn every_block_has_a_language_that_a_test_reads() {
    let unread: Vec<String> = blocks()
        .into_iter()
        .filter(|block| !LANGUAGES.contains(&block.language.as_str()))
        .map(|block| format!("{}: {:?}", block.place, block.language))
        .collect();
    assert!(unread.is_empty(), "no test reads these blocks: {unread:?}");
}

#[test]
fn json_blocks_are_json_and_those_that_hold_keys_are_a_keys_file() {
    for block in blocks().iter().filter(|block| block.language == "json") {
        let value: Value = serde_json::from_str(&block.text)
            .unwrap_or_else(|error| panic!("{}: not JSON: {error}", block.place));
        let entry = value["key_id"].is_string() && value["model_name"].is_string();
        if entry || value["keys"].is_array() {
            read_as_keys_file(block);
        }
    }
}

#[test]
fn json_blocks_with_comments_are_a_keys_file() {
    blocks().iter().filter(|block| block.language == "jsonc").for_each(read_as_keys_file);
}

/// A whole file, or one entry of it.
fn read_as_keys_file(block: &Block) {
    let text = match block.text.contains("\"keys\":") {
        true => block.text.clone(),
        false => format!("{{\"keys\": [{}]}}", block.text),
    };
    let keys = KeySet::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", block.place));
    assert!(!keys.is_empty(), "{}: holds no key", block.place);
}

#[test]
fn every_page_with_rust_is_compiled() {
    let of_this_package = docs::page("tests/src/docs_examples.rs").text;
    let of_strategy_gen = docs::page("crates/strategy-gen/src/lib.rs").text;
    for page in pages() {
        let compiled = match page.path.strip_suffix("/README.md") {
            Some(folder) => {
                docs::page(format!("{folder}/src/lib.rs")).text.contains("include_str!(\"../README.md\")")
            }
            None => {
                let include = format!("/{}\")", page.path);
                of_this_package.contains(&include) || of_strategy_gen.contains(&include)
            }
        };
        let rust = page.blocks().iter().filter(|block| block.language == "rust").count();
        assert!(rust == 0 || compiled, "{}: nobody compiles its {rust} blocks of Rust", page.path);
    }
}
