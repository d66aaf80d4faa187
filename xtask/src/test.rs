//! `cargo xtask test`: everything that CI checks, cheap checks first, the tests last.

use std::process::Command;

use crate::metadata;
use crate::provision::{self, Tools};
use crate::run::{self, cargo, step};
use crate::{docs, features, fuzz, tidy};

/// A user's own settings must not reach a test.
const USER_VARIABLES: [&str; 9] = [
    "AWS_",
    "AZURE_",
    "ENABLE_KEY_ROTATION",
    "GEMINI_",
    "GOOGLE_",
    "KEYROT_",
    "REDIS_",
    "SECRET_STORE_TYPE",
    "VAULT_",
];

/// How many inputs each `fuzz_` test gets here; `cargo xtask fuzz` gives more.
const FUZZ_CASES: u64 = 100_000;

pub(crate) fn run() -> Result<(), String> {
    let workspace = metadata::load()?;
    let mut tools = None;
    step("tools", || {
        tools = Some(provision::tools(&workspace)?);
        Ok(())
    })?;
    let Some(tools) = tools else {
        return Err("the step `tools` brought none".to_owned());
    };
    step("format", || run::run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    step("dependencies", || dependencies(&tools))?;
    step("lints", || {
        run::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
    })?;
    step("features", || features::check(&workspace))?;
    step("documentation", docs::run)?;
    step("examples in the documentation", || {
        run::run(for_tests(&mut cargo(&["test", "--quiet", "--workspace", "--doc"]), &tools))
    })?;
    step("fuzz tests", || fuzz_tests(&tools))?;
    // Last, and with nothing after it: its closing lines are the result of the whole run.
    println!("\n== tests");
    run::run(for_tests(nextest(&tools).args(["--no-tests", "fail"]), &tools))
}

fn dependencies(tools: &Tools) -> Result<(), String> {
    let mut deny = Command::new(&tools.cargo_deny);
    deny.args(["--workspace", "--config", ".deny.toml", "check", "--hide-inclusion-graph"]);
    run::run(deny.args(["bans", "licenses", "sources"]).current_dir(run::root()))
}

fn fuzz_tests(tools: &Tools) -> Result<(), String> {
    let mut command = nextest(tools);
    command.args(["--no-tests", "warn", "-E", fuzz::FILTER]).env(fuzz::CASES, FUZZ_CASES.to_string());
    run::run(for_tests(&mut command, tools))
}

/// Every test of the workspace: the ignored ones need the tools, which are there now.
pub(crate) fn nextest(tools: &Tools) -> Command {
    let mut command = Command::new(&tools.cargo_nextest);
    command.args(["nextest", "run", "--workspace", "--run-ignored", "all"]).current_dir(run::root());
    command
}

/// The environment of every test: the tools, no Redis but the test's own, no proxy before a loopback server, and
/// nothing of the user's.
pub(crate) fn for_tests<'a>(command: &'a mut Command, tools: &Tools) -> &'a mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| USER_VARIABLES.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
    command
        .env("KEYROT_TEST_PYTHON", &tools.python)
        .env("KEYROT_TEST_LLMOCK", &tools.llmock)
        .env("NO_PROXY", "127.0.0.1,localhost,::1")
        .env("REDIS_URL", "")
}
