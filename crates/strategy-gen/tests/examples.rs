//! The example runs, with programs of a few lines as model and runner.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

const MODULE: &str = "from backtesting import Strategy\n\n\nclass Cross(Strategy):\n    def init(self):\n        \
                      pass\n\n    def next(self):\n        self.buy()\n";

/// Its first reply has no code; the second one, which is told so, has.
const MODEL: &str = "#!/bin/sh\ncase $(cat) in\n*no-code*) printf '```python\\n%s\\n```\\n' \"$(cat module.py)\" ;;\n*) \
                     echo 'Which period?' ;;\nesac\n";

/// Has seen what it tells only if it was given the module.
const RUNNER: &str = "#!/bin/sh\nread -r first\ntest \"$first\" = 'from backtesting import Strategy' || exit 1\necho \
                      '{\"statistics\": {}, \"trades\": TRADES, \"lowest_equity\": 9000, \"same_again\": true, \
                      \"same_elsewhere\": true, \"look_ahead\": {\"tried\": 16, \"flagged\": 0, \"examples\": []}}'\n";

/// Built beside this test, as every run of the tests of this package does.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/own_model_and_runner");
    assert!(path.exists(), "{} was not built: cargo build -p strategy-gen --examples", path.display());
    path
}

/// How the example ended and what it said, with a runner that has seen so many trades.
fn run(trades: u32) -> (bool, String) {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("module.py"), MODULE).unwrap();
    for (name, text) in [("model", MODEL), ("runner", &*RUNNER.replace("TRADES", &trades.to_string()))] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(example());
    command.args(["./model", "./runner", "Buy at every bar"]).current_dir(folder.path());
    let output = command.output().unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.success(), told)
}

#[test]
fn own_model_and_runner_give_a_verified_strategy_or_say_why_not() {
    let (good, told) = run(3);
    let stages = "# extract: passed\n# gate: passed\n# backtest: passed\n# judge: passed\n# verified: true, 2 replies\n";
    assert!(good && told == format!("{stages}{MODULE}"), "{told}");

    let (good, told) = run(0);
    assert!(!good && told.contains("the strategy never trades"), "{told}");
}
