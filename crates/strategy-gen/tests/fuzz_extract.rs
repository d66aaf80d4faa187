//! Arbitrary replies through extraction and check: no panic, no hang, nothing invented.
//!
//! 256 replies by default; `cargo xtask fuzz` asks for more.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use strategy_gen::{Gate, extract};

/// Replies that once were of interest; the fuzzer cuts and mixes them.
const CORPUS: [&str; 8] = [
    include_str!("corpus/bare.txt"),
    include_str!("corpus/docstring_fence.txt"),
    include_str!("corpus/indented_list.txt"),
    include_str!("corpus/markdown_around.txt"),
    include_str!("corpus/several_fences.txt"),
    include_str!("corpus/tilde_crlf.txt"),
    include_str!("corpus/unclosed.txt"),
    include_str!("corpus/unicode.txt"),
];

const PIECES: [&str; 30] = [
    "```",
    "```python\n",
    "````",
    "~~~",
    "`",
    "\n",
    "\r\n",
    "\r",
    " ",
    "    ",
    "\t",
    "\u{feff}",
    "\u{a0}",
    "é",
    "買",
    "🦀",
    "\0",
    "import a",
    "from a import b",
    "class A(Strategy):",
    "def f(",
    "(",
    ")",
    "\"\"\"",
    "'",
    "#",
    "f'{",
    "lambda: ",
    "\\",
    "1 + ",
];

/// Lines that may stand anywhere in a module.
const WORDS: [&str; 8] = [
    "x = 1",
    "def f():",
    "class A(Strategy):",
    "pass",
    "\"\"\"`\"\"\"",
    "# ``` in a comment",
    "y = '~~~'",
    "(買)",
];

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => select(&PIECES[..]).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A reply of the corpus with something cut out and something put in.
fn mutated() -> impl Strategy<Value = String> {
    (select(&CORPUS[..]), any::<(Index, Index)>(), soup()).prop_map(|(reply, (from, to), piece)| {
        let chars: Vec<char> = reply.chars().collect();
        let (from, to) = (from.index(chars.len()), to.index(chars.len()));
        let (from, to) = (from.min(to), from.max(to));
        chars[..from].iter().copied().chain(piece.chars()).chain(chars[to..].iter().copied()).collect()
    })
}

/// What is found is a part of the reply.
fn extract_from(reply: &str) -> Option<String> {
    let code = extract(reply)?.code;
    assert!(!code.trim().is_empty());
    assert!(!code.contains('\r'));
    let lines: Vec<&str> = reply.split(['\n', '\r']).collect();
    for line in code.lines() {
        assert!(lines.iter().any(|whole| whole.contains(line)), "{line:?} is not in the reply");
    }
    Some(code)
}

/// True if it is a strategy; what is said about the code is in the code.
fn check_code(code: &str) -> bool {
    match Gate::default().check(code) {
        Ok(checked) => {
            assert!(code.contains(&checked.class_name));
            true
        }
        Err(findings) => {
            for finding in findings.iter() {
                assert!(finding.line <= code.matches('\n').count() + 1);
                assert!(!finding.to_string().is_empty());
            }
            false
        }
    }
}

#[test]
fn corpus_of_replies_holds_strategies() {
    for reply in CORPUS {
        let code = extract_from(reply).expect(reply);
        assert!(check_code(&code), "{code}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fuzz_extract_never_panics_and_invents_nothing(reply in prop_oneof![soup(), mutated()]) {
        extract_from(&reply);
    }

    #[test]
    fn fuzz_check_never_panics_and_its_findings_point_into_the_code(code in prop_oneof![soup(), mutated()]) {
        check_code(&code);
    }

    #[test]
    fn fuzz_extract_gives_back_what_was_fenced(words in prop::collection::vec((0..4usize, select(&WORDS[..])), 1..12)) {
        // The first line is at the left edge, as in any module.
        let lines = words.iter().enumerate().map(|(at, (depth, word))| {
            format!("{}{word}", "    ".repeat(if at == 0 { 0 } else { *depth }))
        });
        let code = lines.collect::<Vec<_>>().join("\n");
        let found = extract(&format!("Text.\n\n```python\n{code}\n```\nMore."));
        prop_assert_eq!(found.map(|found| found.code), Some(code));
    }
}
