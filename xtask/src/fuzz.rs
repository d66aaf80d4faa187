//! `cargo xtask fuzz [--cases N] [FILTER]`: the parsers against random input, at full speed.

use std::collections::BTreeSet;
use std::process::Command;

use crate::metadata::{self, Workspace};
use crate::provision::{self, Tools};
use crate::tree::{self, File};
use crate::{run, rust_text, test};

/// In this variable proptest is told how many inputs to try. A test that sets the number itself ignores it.
const CASES: &str = "PROPTEST_CASES";

const DEFAULT_CASES: u64 = 100_000;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (cases, filter) = parse(arguments)?;
    let workspace = metadata::load()?;
    let tools = provision::tools(&workspace)?;
    // The profile of .config/nextest.toml that lets a test run for hours.
    run::run(command(&workspace, &tools, cases, filter)?.args(["--profile", "fuzz"]))
}

/// The test runner on all tests whose name contains `fuzz_` and `filter`, with `cases` inputs for each.
pub(crate) fn command(
    workspace: &Workspace,
    tools: &Tools,
    cases: u64,
    filter: Option<&str>,
) -> Result<Command, String> {
    let targets = targets(workspace, &tree::load()?);
    if targets.is_empty() {
        return Err("no package has a test whose name begins with `fuzz_`".to_owned());
    }
    let mut command = test::nextest(tools);
    command.args(["--cargo-profile", "fuzz"]).env(CASES, cases.to_string());
    for (package, target) in targets {
        command.args(["--package", package]);
        match target {
            Some(test) => command.args(["--test", &test]),
            None => command.arg("--lib"),
        };
    }
    let narrower = filter.map(|filter| format!(" & test({filter})")).unwrap_or_default();
    command.args(["-E", &format!("test(fuzz_){narrower}")]);
    Ok(command)
}

/// The packages with fuzz tests, and in which of their tests; nothing for the library itself. The others need not be
/// compiled a second time.
fn targets<'a>(workspace: &'a Workspace, files: &[File]) -> BTreeSet<(&'a str, Option<String>)> {
    let mut targets = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let has_fuzz_tests = rust_text::cut(&file.text).code.contains("    fn fuzz_");
        let homes = workspace.packages.iter().filter_map(|package| {
            let inside = file.path.strip_prefix(package.manifest.trim_end_matches("Cargo.toml"))?;
            Some((package.name.as_str(), inside))
        });
        // A package may lie in the folder of another one.
        let home = homes.min_by_key(|(_, inside)| inside.len());
        if let Some((package, inside)) = home
            && has_fuzz_tests
        {
            // tests/NAME.rs, or any file below tests/NAME/
            let test = inside.strip_prefix("tests/").and_then(|path| path.split(['/', '.']).next());
            targets.insert((package, test.map(str::to_owned)));
        }
    }
    targets
}

fn parse(arguments: &[String]) -> Result<(u64, Option<&str>), String> {
    let mut cases = DEFAULT_CASES;
    let mut filter = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--cases" {
            let value = rest.next().ok_or("`--cases` needs a number, as in `--cases 1000000`")?;
            cases = value
                .parse()
                .ok()
                .filter(|cases| *cases > 0)
                .ok_or_else(|| format!("`--cases {value}`: expected a whole number above 0"))?;
        } else if argument.starts_with('-') {
            return Err(format!("there is no option `{argument}`; there is `--cases N`"));
        } else if filter.replace(argument.as_str()).is_some() {
            return Err(format!("`{argument}`: one filter at most"));
        }
    }
    Ok((cases, filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str]) -> Result<(u64, Option<String>), String> {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        parse(&arguments).map(|(cases, filter)| (cases, filter.map(str::to_owned)))
    }

    #[test]
    fn only_what_holds_fuzz_tests_is_chosen() {
        let workspace = metadata::load().unwrap();
        let code = "proptest! {\n    #[test]\n    fn fuzz_a(text in soup()) {}\n}";
        let files = [
            tree::file("crates/keyrot-core/tests/a.rs", code),
            tree::file("crates/keyrot-gemini/tests/b/c.rs", code),
            tree::file("crates/strategy-gen/src/d.rs", code),
            tree::file("tests/servers/src/e.rs", code),
            tree::file("crates/keyrot/src/lib.rs", "fn main() {}"),
            tree::file("docs/a.md", code),
            tree::file("xtask/src/a.rs", "const CODE: &str = \"    fn fuzz_a() {}\";"),
        ];
        let expected = [
            ("keyrot-core", Some("a".to_owned())),
            ("keyrot-gemini", Some("b".to_owned())),
            ("keyrot-test-servers", None),
            ("strategy-gen", None),
        ];
        assert_eq!(targets(&workspace, &files), BTreeSet::from(expected));
    }

    #[test]
    fn the_number_of_inputs_and_the_filter_may_come_in_any_order() {
        assert_eq!(check(&[]), Ok((DEFAULT_CASES, None)));
        assert_eq!(check(&["sse", "--cases", "7"]), Ok((7, Some("sse".to_owned()))));
    }

    #[test]
    fn a_wrong_number_or_option_is_named() {
        for bad in [&["--cases", "0"][..], &["--cases", "many"], &["--cases"], &["--case", "1"], &["a", "b"]]
        {
            let error = check(bad).unwrap_err();
            assert!(bad.iter().any(|part| error.contains(part)), "{error}");
        }
    }
}
