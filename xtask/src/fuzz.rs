//! `cargo xtask fuzz [--cases N] [FILTER]`: the parsers against random input, at full speed.

use crate::provision::Tools;
use crate::{metadata, provision, run, test};

/// Selects the fuzz tests in nextest's language.
pub(crate) const FILTER: &str = "test(fuzz_)";

/// The variable in which proptest is told how many inputs to try. A test that sets the number itself ignores it.
pub(crate) const CASES: &str = "PROPTEST_CASES";

const DEFAULT_CASES: u64 = 100_000;

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (cases, filter) = parse(arguments)?;
    let tools: Tools = provision::tools(&metadata::load()?)?;
    let mut command = test::nextest(&tools);
    let expression = match filter {
        Some(filter) => format!("{FILTER} & test({filter})"),
        None => FILTER.to_owned(),
    };
    command.args(["--release", "--no-tests", "fail", "-E", &expression]).env(CASES, cases.to_string());
    run::run(test::for_tests(&mut command, &tools))
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
