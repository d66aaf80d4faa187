//! Rules about Rust source that clippy has no lint for.

use crate::rust_text::{self, RustText};
use crate::tree::File;

/// Every file begins by saying what it is.
pub(crate) fn module_docs(files: &[File]) -> Vec<String> {
    files
        .iter()
        .filter(|file| file.is_rust() && !file.text.starts_with("//! "))
        .map(|file| format!("{}:1: begin with `//! ` and what the file is for", file.path))
        .collect()
}

/// What is not finished is not committed.
pub(crate) fn unfinished_work(files: &[File]) -> Vec<String> {
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat());
    let macros = [["todo", "!"], ["unimplemented", "!"]].map(|parts| parts.concat());
    let mut findings = Vec::new();
    let mut report = |file: &File, line: usize, mark: &str| {
        findings.push(format!("{}:{line}: `{mark}`: finish it, or open an issue", file.path));
    };
    for file in files {
        if file.is_rust() {
            let cut = rust_text::cut(&file.text);
            for (line, comment) in &cut.comments {
                marks
                    .iter()
                    .filter(|mark| has_word(comment, mark))
                    .for_each(|mark| report(file, *line, mark));
            }
            for (number, code) in cut.code.lines().enumerate() {
                let found = macros.iter().filter(|mark| has_word(code, mark));
                found.for_each(|mark| report(file, number + 1, mark));
            }
        } else if is_written_by_hand(file) {
            for (number, line) in file.text.lines().enumerate() {
                marks
                    .iter()
                    .filter(|mark| has_word(line, mark))
                    .for_each(|mark| report(file, number + 1, mark));
            }
        }
    }
    findings
}

/// An ignored test says what it needs.
pub(crate) fn ignored_tests(files: &[File]) -> Vec<String> {
    judge_code(files, |_, code| {
        let bare: String = code.chars().filter(|character| !character.is_whitespace()).collect();
        let unexplained = bare.contains("#[ignore]") || bare.contains("#[ignore=\"\"]");
        unexplained.then(|| "say what an ignored test needs: `#[ignore = \"needs ...\"]`".to_owned())
    })
}

/// A test waits for a condition or moves its clock; it never waits for time to pass.
pub(crate) fn sleeping_tests(files: &[File]) -> Vec<String> {
    judge_code(files, |in_test, code| {
        let sleeps = in_test && has_word(code, "sleep(") && !has_word(code, "fn sleep(");
        sleeps.then(|| "a test does not sleep: move the clock, or await the condition".to_owned())
    })
}

/// Names that could mean anything gather everything.
pub(crate) fn empty_names(files: &[File]) -> Vec<String> {
    judge_code(files, |_, code| {
        let words: Vec<&str> = code.split(|character: char| !is_word(character)).collect();
        let name = words.windows(2).find_map(|pair| {
            let declares = matches!(pair[0], "struct" | "enum" | "trait" | "type");
            let empty = ["Manager", "Helper", "Helpers", "Util", "Utils", "Handler"];
            (declares && empty.iter().any(|end| pair[1].ends_with(end))).then_some(pair[1])
        })?;
        Some(format!("`{name}`: use the word of the field for what it does"))
    })
}

/// Judges each line of code, without comments and what string literals say. The first argument is true inside tests.
fn judge_code(files: &[File], judge: impl Fn(bool, &str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let RustText { code, .. } = rust_text::cut(&file.text);
        let mut in_test = file.path.starts_with("tests/") || file.path.contains("/tests/");
        for (number, line) in code.lines().enumerate() {
            in_test |= line.trim() == "#[cfg(test)]";
            if let Some(message) = judge(in_test, line) {
                findings.push(format!("{}:{}: {message}", file.path, number + 1));
            }
        }
    }
    findings
}

fn is_written_by_hand(file: &File) -> bool {
    let by_hand = [".md", ".toml", ".sh", ".py", ".yml", ".yaml", ".lua", ".html", ".css"];
    file.path == ".ci/run" || by_hand.iter().any(|end| file.path.ends_with(end))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// True if `word` stands in `line` with no letter, digit or `_` before it, or after it if it ends in one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let open_end = !word.ends_with(is_word);
        !before.is_some_and(is_word) && (open_end || !after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    #[test]
    fn a_file_begins_with_what_it_is_for() {
        assert!(module_docs(&[file("a.rs", "//! A.\n")]).is_empty());
        assert_eq!(module_docs(&[file("a.rs", "use b;\n//! A.\n")]).len(), 1);
        assert_eq!(module_docs(&[file("a.rs", "//!\n")]).len(), 1);
    }

    #[test]
    fn unfinished_work_is_found_in_comments_and_code_but_not_in_literals() {
        let mark = ["TO", "DO"].concat();
        let check = |path, text: &str| unfinished_work(&[file(path, text)]).len();
        assert_eq!(check("a.rs", &format!("// {mark}: later")), 1);
        assert_eq!(check("a.rs", &format!("let a = \"{mark}\";")), 0);
        assert_eq!(check("a.rs", &format!("let a = {mark}S;")), 0);
        assert_eq!(check("a.rs", &["fn a() { to", "do!() }"].concat()), 1);
        assert_eq!(check("docs/a.md", &format!("{mark}: write")), 1);
        assert_eq!(check("docs/a.json", &format!("{mark}: data")), 0);
    }

    #[test]
    fn an_ignored_test_needs_a_reason() {
        let check = |text| ignored_tests(&[file("a.rs", text)]).len();
        assert_eq!(check("#[ignore]\nfn a() {}"), 1);
        assert_eq!(check("#[ignore = \"\"]\nfn a() {}"), 1);
        assert_eq!(check("#[ignore = \"needs Redis\"]\nfn a() {}"), 0);
        assert_eq!(check("// #[ignore]\nfn a() {}"), 0);
    }

    #[test]
    fn a_test_that_sleeps_is_found_and_code_that_waits_is_not() {
        let check = |path, text| sleeping_tests(&[file(path, text)]).len();
        assert_eq!(check("tests/tests/a.rs", "tokio::time::sleep(second).await;"), 1);
        assert_eq!(
            check("crates/a/src/b.rs", "sleep(second);\n#[cfg(test)]\nmod tests { thread::sleep(second); }"),
            1
        );
        assert_eq!(check("crates/a/src/b.rs", "clock.sleep(second);"), 0);
        assert_eq!(check("tests/tests/a.rs", "clock.sleep_until(at); run(\"time.sleep(1)\")"), 0);
    }

    #[test]
    fn a_declared_name_that_means_nothing_is_found() {
        let check = |text| empty_names(&[file("a.rs", text)]).len();
        assert_eq!(check("pub struct KeyManager;"), 1);
        assert_eq!(check("pub(crate) trait Handler {"), 1);
        assert_eq!(check("use deadpool::Manager;"), 0);
        assert_eq!(check("struct Managed;"), 0);
    }
}
