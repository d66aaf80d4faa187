//! What the trusted part in the interpreter does before it comes to a strategy.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use keyrot_test_servers::tool;
use strategy_gen::{CannotRun, Prices, PythonEnvironment, PythonRunner, Runner, Task};
use tempfile::TempDir;

use crate::sandboxed::{environment, runner, sandbox};

const PLENTY: Duration = Duration::from_secs(30);

/// Tries to become another program by way of the loader, which it may execute, and says what came of it.
const BECOMES_ANOTHER: &str = r"
import os
for loader in ('/lib64/ld-linux-x86-64.so.2', '/lib/ld-linux-aarch64.so.1'):
    if os.path.exists(loader):
        try:
            os.execv(loader, [loader, '--version'])
        except OSError as error:
            raise RuntimeError(f'refused with {error.errno}')
raise RuntimeError('no loader')
";

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn a_strategy_executes_no_program_not_even_the_loader() {
    let ran = runner(PLENTY).run(&Task::new(BECOMES_ANOTHER, Prices::Goog)).await.expect("it is run");
    let fault = ran.result.expect_err("it raises");
    assert!(fault.message.contains("refused with 1"), "{fault}");
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn an_environment_that_cannot_load_the_library_is_broken_not_the_strategy() {
    let folder = TempDir::new().expect("a folder");
    let site = folder.path().join("lib/python3/site-packages");
    fs::create_dir_all(site.join("backtesting-0.6.6.dist-info")).expect("it can be made");
    fs::create_dir(folder.path().join("bin")).expect("it can be made");
    // The one that the environment of the tests was made from has no packages.
    let base = tool("python").canonicalize().expect("it is there");
    symlink(base, folder.path().join("bin/python")).expect("it can be made");
    let broken = PythonEnvironment::at(folder.path()).expect("it looks complete");
    let task = Task::new("raise SystemExit", Prices::Goog);
    let error = PythonRunner::new(broken, sandbox()).run(&task).await.expect_err("nothing can be run");
    let CannotRun::BrokenPython(why) = &error else { panic!("{error}") };
    assert!(why.contains("No module named"), "{error}");

    // A strategy that ends the program is at fault itself.
    let ran = PythonRunner::new(environment(), sandbox()).run(&task).await.expect("it is run");
    assert_eq!(ran.result.expect_err("it ends").reason.name(), "exited");
}
