//! `cargo xtask test`: everything that CI checks, cheap checks first, the tests last.

use std::process::Command;

use crate::metadata;
use crate::provision::{self, Tools};
use crate::run::{self, cargo, step};
use crate::{docs, features, fuzz, tidy};

/// A user's own settings must not reach a test: all variables that begin like these.
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
    let tools = step("tools", || provision::tools(&workspace))?;
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
    step("fuzz tests", || run::run(&mut fuzz::command(&workspace, &tools, FUZZ_CASES, None)?))?;
    // Last, and with nothing after it: its closing lines are the result of the whole run.
    println!("\n== tests");
    run::run(nextest(&tools).arg("--workspace"))
}

fn dependencies(tools: &Tools) -> Result<(), String> {
    let mut deny = Command::new(&tools.cargo_deny);
    deny.args(["--workspace", "--config", ".deny.toml", "check", "--hide-inclusion-graph"]);
    run::run(deny.args(["bans", "licenses", "sources"]).current_dir(run::root()))
}

/// The test runner. Ignored tests are run too: they need the tools, which are there now.
pub(crate) fn nextest(tools: &Tools) -> Command {
    let mut command = Command::new(&tools.cargo_nextest);
    command.args(["nextest", "run", "--run-ignored", "all", "--no-tests", "fail"]).current_dir(run::root());
    for_tests(&mut command, tools);
    command
}

/// The environment of every test: the tools, no Redis but the test's own, no proxy before a loopback server, and
/// nothing of the user's.
fn for_tests<'a>(command: &'a mut Command, tools: &Tools) -> &'a mut Command {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_setting_of_the_user) {
            command.env_remove(name);
        }
    }
    command
        .env("KEYROT_TEST_TOOLS", &tools.folder)
        .env("NO_PROXY", "127.0.0.1,localhost,::1")
        .env("REDIS_URL", "")
}

fn is_setting_of_the_user(name: &str) -> bool {
    // `AWS_LC_...` tells the build of a dependency where its compiler is.
    USER_VARIABLES.iter().any(|prefix| name.starts_with(prefix)) && !name.starts_with("AWS_LC_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_user_are_told_from_those_of_the_build() {
        for name in ["GEMINI_API_KEY", "GEMINI_KEY_flash_01", "REDIS_URL", "KEYROT_KEYS_FILE", "AWS_PROFILE"]
        {
            assert!(is_setting_of_the_user(name), "{name}");
        }
        for name in ["PATH", "CARGO_TARGET_DIR", "AWS_LC_SYS_CMAKE_BUILDER", "HTTPS_PROXY"] {
            assert!(!is_setting_of_the_user(name), "{name}");
        }
    }
}
