//! The tables of docs/contributing.md that show which backend runs which case of a suite are what the code says.

use std::collections::BTreeMap;

use crate::markdown;
use crate::rust_text;
use crate::tree::{self, File};

const TESTKIT: &str = "crates/keyrot-testkit/src/";
const DOCUMENT: &str = "docs/contributing.md";

/// A suite of the testkit: a macro whose name ends in `_tests`, in the file of its cases.
#[derive(Debug)]
struct Suite {
    name: String,
    cases: Vec<String>,
    /// The code of the macro, which lists the cases of each variant.
    code: String,
}

/// Each suite has a section with a row for each case and a column for each package that runs it.
pub(crate) fn tables(files: &[File]) -> Vec<String> {
    let Some(document) = tree::find(files, DOCUMENT) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for suite in suites(files) {
        let expected = expected_table(&suite, files);
        let shown = shown_table(&document.text, &suite.name);
        if shown != expected {
            findings.push(format!(
                "{DOCUMENT}: the section `### {}` should hold this table:\n{}",
                suite.name,
                expected.join("\n")
            ));
        }
    }
    findings
}

fn suites(files: &[File]) -> Vec<Suite> {
    let mut suites = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with(TESTKIT)) {
        let code = rust_text::cut(&file.text).code;
        let Some((before, code)) = code.split_once("macro_rules! ") else {
            continue;
        };
        let name = word(code);
        if name.ends_with("_tests") {
            let mut cases: Vec<String> = before.split("pub async fn ").skip(1).map(word).collect();
            cases.sort_unstable();
            suites.push(Suite { name, cases, code: code.to_owned() });
        }
    }
    suites
}

/// A header, a rule, and a row for each case in order.
fn expected_table(suite: &Suite, files: &[File]) -> Vec<String> {
    let runs = runs(suite, files);
    let header = runs.keys().map(|package| format!(" {package} |")).collect::<String>();
    let mut table = vec![format!("| case |{header}"), format!("|---|{}", "---|".repeat(runs.len()))];
    for case in &suite.cases {
        let cells = runs.values().map(|variants| {
            let runs_it = variants.iter().any(|variant| has_case(suite, variant, case));
            if runs_it { " yes |" } else { " no |" }
        });
        table.push(format!("| `{case}` |{}", cells.collect::<String>()));
    }
    table
}

/// The packages that call the suite, each with the variants that it calls: the word before the harness, or nothing.
fn runs(suite: &Suite, files: &[File]) -> BTreeMap<String, Vec<String>> {
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let call = format!("{}!(", suite.name);
    for file in files.iter().filter(|file| file.is_rust() && !file.path.starts_with(TESTKIT)) {
        let Some(package) = file.path.strip_prefix("crates/").and_then(|path| path.split('/').next()) else {
            continue;
        };
        for arguments in rust_text::cut(&file.text).code.split(&call).skip(1) {
            let first = word(arguments);
            let is_variant = arguments[first.len()..].starts_with(' ');
            let variant = if is_variant { first } else { String::new() };
            runs.entry(package.to_owned()).or_default().push(variant);
        }
    }
    runs
}

/// True if the arm of `variant` lists `case`; the arm without a variant runs all cases.
fn has_case(suite: &Suite, variant: &str, case: &str) -> bool {
    if variant.is_empty() {
        return true;
    }
    let arm = suite.code.split(&format!("({variant} ")).nth(1).unwrap_or_default();
    let arm = arm.split("};").next().unwrap_or_default();
    arm.split_whitespace().any(|word| word == case)
}

/// The table below the heading of the suite.
fn shown_table(document: &str, suite: &str) -> Vec<String> {
    let heading = format!("### {suite}");
    let lines = markdown::cut(document).prose.into_iter().map(|(_, line)| line);
    let section = lines.skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with('#'));
    section.filter(|line| line.starts_with('|')).collect()
}

fn word(text: &str) -> String {
    text.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::file;

    const SUITE: &str = "//! Cases.\n\
        pub async fn sees(harness: impl Harness) {}\n\
        pub async fn fetches(harness: impl Harness) {}\n\
        macro_rules! store_tests {\n\
            (by_id $harness:path) => {\n $crate::store_tests! { @each $harness;\n fetches\n }\n };\n\
            ($harness:path) => { $crate::store_tests! { @each $harness; fetches sees } };\n\
        }";

    fn check(table: &str) -> Vec<String> {
        let document = format!("## Conformance\n\n### store_tests\n\n{table}\n\n## Next\n\n| other |\n");
        tables(&[
            file("crates/keyrot-testkit/src/store.rs", SUITE),
            file("crates/keyrot-a/tests/conformance.rs", "store_tests!(harness);"),
            file("crates/keyrot-b/tests/conformance.rs", "keyrot_testkit::store_tests!(by_id harness);"),
            file(DOCUMENT, &document),
        ])
    }

    #[test]
    fn the_table_shows_every_case_and_who_runs_it() {
        let right =
            "| case | keyrot-a | keyrot-b |\n|---|---|---|\n| `fetches` | yes | yes |\n| `sees` | yes | no |";
        assert_eq!(check(right), [""; 0]);
        for (from, to) in
            [("| yes | no |", "| yes | yes |"), (" keyrot-b |", ""), ("| `sees` | yes | no |", "")]
        {
            let findings = check(&right.replace(from, to));
            assert!(findings[0].ends_with(right), "{findings:?}");
        }
    }

    #[test]
    fn a_suite_without_a_section_is_named() {
        let findings = tables(&[file("crates/keyrot-testkit/src/store.rs", SUITE), file(DOCUMENT, "")]);
        assert!(findings[0].contains("`### store_tests`"), "{findings:?}");
    }
}
