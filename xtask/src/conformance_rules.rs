//! The tables of docs/contributing.md that show which backend runs which case of a suite are what the code says.

use std::collections::BTreeMap;

use crate::markdown;
use crate::rust_text;
use crate::tree::{self, File};

const TESTKIT: &str = "crates/keyrot-testkit/src/";
const DOCUMENT: &str = "docs/contributing.md";

/// Begins a cell of a case that a package leaves out; the reason follows.
const CANNOT: &str = "cannot occur: ";

/// A suite of the testkit: a macro whose name ends in `_tests`, below the trait of its harness. Its cases are the
/// functions of the testkit that take that harness.
#[derive(Debug)]
struct Suite {
    name: String,
    cases: Vec<String>,
    /// The code of the macro, which lists the cases of each group.
    code: String,
}

/// Each suite has a section with a row for each case and a column for each package that runs it.
pub(crate) fn tables(files: &[File]) -> Vec<String> {
    let Some(document) = tree::find(files, DOCUMENT) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for suite in suites(files) {
        let forgotten = suite.cases.iter().filter(|case| !lists(&suite.code, case));
        findings
            .extend(forgotten.map(|case| format!("{TESTKIT}: no arm of `{}!` lists `{case}`", suite.name)));
        let shown = shown_table(&document.text, &suite.name);
        let expected = expected_table(&suite, files, &shown);
        if shown != expected || expected.iter().any(|row| row.contains("WHY?")) {
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
    let sources = files.iter().filter(|file| file.is_rust() && file.path.starts_with(TESTKIT));
    let testkit: Vec<String> = sources.map(|file| rust_text::cut(&file.text).code).collect();
    let mut suites = Vec::new();
    for source in &testkit {
        let (Some((before, code)), Some((_, harness))) =
            (source.split_once("macro_rules! "), source.split_once("pub trait "))
        else {
            continue;
        };
        let name = word(code);
        if name.ends_with("_tests") && before.contains("pub trait ") {
            let takes = format!("(harness: impl {})", word(harness));
            let functions = testkit.iter().flat_map(|source| source.split("pub async fn ").skip(1));
            let mut cases: Vec<String> = functions
                .map(|function| (word(function), function))
                .filter(|(case, function)| function[case.len()..].starts_with(&takes))
                .map(|(case, _)| case)
                .collect();
            cases.sort_unstable();
            suites.push(Suite { name, cases, code: code.to_owned() });
        }
    }
    suites
}

/// A header, a rule, and a row for each case in order. A cell of a case that a package leaves out keeps the reason
/// that is written there.
fn expected_table(suite: &Suite, files: &[File], shown: &[String]) -> Vec<String> {
    let runs = runs(suite, files);
    let header = runs.keys().map(|package| format!(" {package} |")).collect::<String>();
    let mut table = vec![format!("| case |{header}"), format!("|---|{}", "---|".repeat(runs.len()))];
    for case in &suite.cases {
        let row = shown.iter().find(|row| row.starts_with(&format!("| `{case}` |")));
        let cells = runs.values().enumerate().map(|(column, calls)| {
            if calls.iter().all(|groups| has_case(suite, groups, case)) {
                return " yes |".to_owned();
            }
            let cell = row.and_then(|row| row.split('|').nth(column + 2)).unwrap_or_default().trim();
            let reason = cell.strip_prefix(CANNOT).filter(|reason| reason.contains(' '));
            format!(" {CANNOT}{} |", reason.unwrap_or("WHY?"))
        });
        table.push(format!("| `{case}` |{}", cells.collect::<String>()));
    }
    table
}

/// The packages that call the suite, each call with the groups of cases that it names after the harness.
fn runs(suite: &Suite, files: &[File]) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut runs: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    let call = format!("{}!(", suite.name);
    for file in files.iter().filter(|file| file.is_rust() && !file.path.starts_with(TESTKIT)) {
        let Some(package) = file.path.strip_prefix("crates/").and_then(|path| path.split('/').next()) else {
            continue;
        };
        for arguments in rust_text::cut(&file.text).code.split(&call).skip(1) {
            let groups = arguments.split(')').next().and_then(|call| call.split_once(';'));
            let groups = groups.map_or("", |(_, groups)| groups).split_whitespace().map(str::to_owned);
            runs.entry(package.to_owned()).or_default().push(groups.collect());
        }
    }
    runs
}

/// True if the arm of the harness alone lists `case`, which every call runs, or the arm of one of the groups.
fn has_case(suite: &Suite, groups: &[String], case: &str) -> bool {
    let mut arms = suite.code.split("=> {");
    let mut head = arms.next().unwrap_or_default();
    let mut found = false;
    for body in arms {
        let group = head.rsplit_once("(@group ").map(|(_, group)| word(group));
        found |= lists(body.split("\n    (").next().unwrap_or_default(), case)
            && group.is_none_or(|group| groups.contains(&group));
        head = body;
    }
    found
}

fn lists(code: &str, case: &str) -> bool {
    code.split_whitespace().any(|word| word == case)
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
        pub trait StoreHarness {}\n\
        pub async fn sees(harness: impl StoreHarness) {}\n\
        macro_rules! store_tests {\n    \
            ($harness:path; $($group:ident)*) => {\n @each $harness; fetches\n };\n    \
            (@group named $harness:path) => {\n @each $harness; sees\n };\n    \
            (@each $harness:path; $($case:ident)*) => {};\n\
        }";

    const ELSEWHERE: &str = "//! More cases.\n\
        pub async fn fetches(harness: impl StoreHarness) {}\n\
        pub async fn counts(harness: impl LimiterHarness) {}";

    fn check(table: &str) -> Vec<String> {
        let document = format!("## Conformance\n\n### store_tests\n\n{table}\n\n## Next\n\n| other |\n");
        tables(&[
            file("crates/keyrot-testkit/src/store.rs", SUITE),
            file("crates/keyrot-testkit/src/more.rs", ELSEWHERE),
            file("crates/keyrot-a/tests/conformance.rs", "store_tests!(harness; named);"),
            file("crates/keyrot-b/tests/conformance.rs", "keyrot_testkit::store_tests!(harness);"),
            file(DOCUMENT, &document),
        ])
    }

    #[test]
    fn the_table_shows_every_case_and_who_runs_it() {
        let right = "| case | keyrot-a | keyrot-b |\n|---|---|---|\n| `fetches` | yes | yes |\n\
                     | `sees` | yes | cannot occur: it is blind |";
        assert_eq!(check(right), [""; 0]);
        for (from, to) in [
            ("cannot occur: it is blind", "yes"),
            (" keyrot-b |", ""),
            ("| `fetches` | yes | yes |\n", ""),
            ("| `fetches` | yes |", "| `fetches` | cannot occur: not so |"),
        ] {
            let findings = check(&right.replace(from, to));
            assert_eq!(findings.len(), 1, "{from}");
        }
    }

    #[test]
    fn a_case_that_is_left_out_needs_a_reason() {
        let table = "| case | keyrot-a | keyrot-b |\n|---|---|---|\n| `fetches` | yes | yes |\n\
                     | `sees` | yes | cannot occur: WHY? |";
        let findings = check(table);
        assert!(findings[0].ends_with("| `sees` | yes | cannot occur: WHY? |"), "{findings:?}");
    }

    #[test]
    fn a_case_that_no_arm_lists_is_found_because_nobody_runs_it() {
        let more = "//! More.\npub async fn forgotten(harness: impl StoreHarness) {}";
        let findings = tables(&[
            file("crates/keyrot-testkit/src/more.rs", more),
            file("crates/keyrot-testkit/src/store.rs", SUITE),
            file(DOCUMENT, ""),
        ]);
        assert!(findings[0].contains("no arm of `store_tests!` lists `forgotten`"), "{findings:?}");
    }

    #[test]
    fn a_suite_without_a_section_is_named() {
        let findings = tables(&[file("crates/keyrot-testkit/src/store.rs", SUITE), file(DOCUMENT, "")]);
        assert!(findings[0].contains("`### store_tests`"), "{findings:?}");
    }
}
