//! The Python of docs/migration.md is Python, and the table of names covers what it uses.

use keyrot::strategy_gen::{Gate, Rule};
use keyrot_e2e::docs::{Block, code_words, page};

fn python() -> Vec<Block> {
    page("docs/migration.md").blocks().into_iter().filter(|block| block.language == "python").collect()
}

#[test]
fn the_python_blocks_are_python() {
    assert!(!python().is_empty());
    for block in python() {
        if let Err(findings) = Gate::default().check(&block.text) {
            assert!(!findings.has(Rule::Syntax), "{}: {findings}", block.place);
        }
    }
}

/// Every function, class and field of the snippets has a row in the table of names.
#[test]
fn every_name_of_the_python_blocks_has_a_rust_name() {
    let rows = page("docs/migration.md").table("Names");
    let known: Vec<&str> = rows.iter().flat_map(|row| code_words(&row[0])).collect();
    for block in python() {
        for name in names(&block.text) {
            let has = known.iter().any(|known| known.contains(&name));
            assert!(has, "{}: {name} has no row", block.place);
        }
    }
}

/// What is called, and what stands in `['...']`.
fn names(code: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = Vec::new();
    for (at, _) in code.match_indices('(') {
        let name = code[..at].rsplit(|c| !word(c)).next().unwrap_or_default();
        if !["", "print", "items"].contains(&name) {
            names.push(name.to_owned());
        }
    }
    for (at, _) in code.match_indices("['") {
        let name = code[at + 2..].split('\'').next().unwrap_or_default();
        names.push(name.to_owned());
    }
    names
}
