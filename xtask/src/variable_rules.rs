//! Rules about environment variables: the table of docs/configuration.md, the code and .env.example agree.

use std::collections::BTreeSet;

use crate::markdown;
use crate::rust_text;
use crate::tree::{self, File};

const TABLE: &str = "docs/configuration.md";
const EXAMPLE: &str = ".env.example";

/// A string literal of this shape in a crate is one of our variables.
const OURS: [&str; 9] =
    ["AWS_", "AZURE_", "ENABLE_KEY_", "GEMINI_", "GOOGLE_", "KEYROT_", "REDIS_", "SECRET_STORE_", "VAULT_"];

/// Variables that libraries read for us: documented, but in no source of ours.
const READ_BY_LIBRARIES: [&str; 7] =
    ["HTTPS_PROXY", "HTTP_PROXY", "NO_COLOR", "NO_PROXY", "RUST_LOG", "SSL_CERT_DIR", "SSL_CERT_FILE"];

/// Variables of the shell and of other tools that examples may use.
const FOREIGN: [&str; 8] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "BAO_ADDR",
    "HOME",
    "PATH",
    "PROPTEST_CASES",
    "PWD",
    "VAULT_DEV_ROOT_TOKEN_ID",
];

/// Every variable in the table is read by a crate, and every one that a crate reads is in the table.
pub(crate) fn documented_variables(files: &[File]) -> Vec<String> {
    let Some(documented) = documented(files) else {
        return Vec::new();
    };
    let read = read_by_crates(files);
    let mut findings = Vec::new();
    for name in &documented {
        let known = read.iter().any(|(_, found)| found == name) || READ_BY_LIBRARIES.contains(&name.as_str());
        if !known {
            findings.push(format!("{TABLE}: `{name}` is in the table, but no crate reads it"));
        }
    }
    for (place, name) in &read {
        let ours = OURS.iter().any(|prefix| name.starts_with(prefix) && name != prefix);
        let known = documented.contains(name) || FOREIGN.contains(&name.as_str());
        if ours && !known {
            findings.push(format!("{place}: the variable `{name}` has no row in {TABLE}"));
        }
    }
    findings
}

/// Every variable of the table stands in .env.example, set or commented out.
pub(crate) fn example_environment(files: &[File]) -> Vec<String> {
    let (Some(documented), Some(example)) = (documented(files), tree::find(files, EXAMPLE)) else {
        return Vec::new();
    };
    let shown: Vec<&str> = example
        .text
        .lines()
        .filter_map(|line| line.trim_start_matches(['#', ' ']).split_once('='))
        .map(|(name, _)| name.trim())
        .collect();
    let lacks = |name: &&String| !shown.iter().any(|shown| matches(shown, name));
    documented.iter().filter(lacks).map(|name| format!("{EXAMPLE}: `{name}` of {TABLE} is missing")).collect()
}

/// The names in the first column of the tables, `{...}` and what follows cut off; nothing if there is no such file.
pub(crate) fn documented(files: &[File]) -> Option<BTreeSet<String>> {
    let file = tree::find(files, TABLE)?;
    let prose = markdown::cut(&file.text).prose;
    Some(
        prose
            .iter()
            .filter_map(|(_, line)| line.strip_prefix("| `")?.split('`').next())
            .filter_map(variable)
            .collect(),
    )
}

/// True if `name` is in the table, or is a foreign tool's.
pub(crate) fn is_known(name: &str, documented: &BTreeSet<String>) -> bool {
    FOREIGN.contains(&name) || documented.iter().any(|known| matches(name, known))
}

/// The variables that a line of shell sets or reads: `NAME=`, `$NAME`, `${NAME`.
pub(crate) fn used_in_shell(line: &str) -> impl Iterator<Item = &str> {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let starts = line
        .char_indices()
        .filter(move |(at, character)| character.is_ascii_uppercase() && !line[..*at].ends_with(word));
    starts.filter_map(move |(at, _)| {
        let name = line[at..].split(|character| !word(character)).next()?;
        let before = &line[..at];
        let read = before.ends_with('$') || before.ends_with("${");
        let set = line[at + name.len()..].starts_with('=') && !before.ends_with(['-', '.', '/', '?', '&']);
        (name.len() > 1 && (read || set)).then_some(name)
    })
}

/// True if `name` is `known`, or begins with it when `known` is a prefix such as `GEMINI_KEY_`.
fn matches(name: &str, known: &str) -> bool {
    name == known || (known.ends_with('_') && name.starts_with(known))
}

/// Literals of the crates that have the shape of a variable, with where they stand. Tests may name any.
fn read_by_crates(files: &[File]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with("crates/")) {
        if !file.path.contains("/src/") {
            continue;
        }
        let cut = rust_text::cut(&file.text);
        let tests = cut.code.lines().position(|line| line.trim() == "#[cfg(test)]").unwrap_or(usize::MAX);
        for (line, literal) in cut.strings {
            if line <= tests
                && let Some(name) = variable(&literal)
            {
                found.push((format!("{}:{line}", file.path), name));
            }
        }
    }
    found
}

/// `text` as a variable's name or, before a `{`, as the beginning of one.
fn variable(text: &str) -> Option<String> {
    let name = text.split('{').next()?;
    let shape = name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.contains('_')
        && name.chars().all(|character| {
            character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_'
        });
    shape.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    fn check(code: &str, table: &str) -> String {
        let files = [file("crates/a/src/lib.rs", code), file(TABLE, table)];
        documented_variables(&files).join("\n")
    }

    #[test]
    fn the_table_and_the_code_name_the_same_variables() {
        let table =
            "| `REDIS_URL` | x |\n| `GEMINI_KEY_{key_id}` | x |\n| `key_id` | a field |\n| `NO_COLOR` | x |";
        let code = "const A: &str = \"REDIS_URL\"; format!(\"GEMINI_KEY_{id}\"); \"MAX_TOKENS\"";
        assert_eq!(check(code, table), "");
        assert!(check("\"REDIS_URL\"", table).contains("`GEMINI_KEY_` is in the table"));
        let found = check("\n\"KEYROT_NEW\"", "| `x` |");
        assert_eq!(
            found,
            "crates/a/src/lib.rs:2: the variable `KEYROT_NEW` has no row in docs/configuration.md"
        );
    }

    #[test]
    fn tests_may_name_variables_that_do_not_exist() {
        assert_eq!(check("#[cfg(test)]\nmod tests { \"KEYROT_TYPO\" }", ""), "");
    }

    #[test]
    fn without_the_table_there_is_nothing_to_compare() {
        assert!(documented_variables(&[file("crates/a/src/lib.rs", "\"KEYROT_NEW\"")]).is_empty());
    }

    #[test]
    fn the_example_shows_every_variable_of_the_table() {
        let table = file(TABLE, "| `REDIS_URL` | x |\n| `GEMINI_KEY_{key_id}` | x |");
        let example = |text| example_environment(&[table.clone(), file(EXAMPLE, text)]);
        assert!(example("# REDIS_URL=redis://x\nGEMINI_KEY_flash_01=y\n").is_empty());
        assert_eq!(
            example("REDIS_URL=x"),
            [".env.example: `GEMINI_KEY_` of docs/configuration.md is missing"]
        );
    }

    #[test]
    fn a_shell_line_tells_its_variables_and_not_its_options() {
        let names = |line: &str| used_in_shell(line).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(names("A_B=1 $CD ${EF} key=G --tag H plain IJ"), ["A_B", "CD", "EF"]);
        assert!(names("--tag=X --K=V").is_empty());
    }
}
