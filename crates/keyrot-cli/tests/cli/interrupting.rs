//! `keyrot generate` is ended while it runs a strategy, and leaves nothing running and nothing behind.
#![cfg(target_os = "linux")]

use std::process::Stdio;
use std::time::Duration;

use gemini_sim::SimServer;
use keyrot_test_servers::wait_until;
use serde_json::json;

use crate::place::{Place, Run, provider, serve};
use crate::stopping::signal;
use crate::verified::answer;

const TEXT: &str = "Buy when RSI < 30, sell when RSI > 70";

const SOON: Duration = Duration::from_secs(60);

const NEVER_ENDS: &str = "from backtesting import Strategy\n\n\nclass Endless(Strategy):\n    def init(self):\n        \
                          pass\n\n    def next(self):\n        while True:\n            pass\n";

/// With Python, and a folder for temporary files of its own.
fn place(server: &SimServer) -> Place {
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(server).with_python();
    let temporary = place.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    place.set("TMPDIR", &temporary.display().to_string())
}

/// Folders of runs.
fn left(place: &Place) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(place.path("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
    entries.filter(|name| name.to_string_lossy().starts_with("keyrot-run-")).collect()
}

/// Processes that work in this place's folder of runs.
fn at_work(place: &Place) -> usize {
    let marker = place.path("tmp").join("keyrot-run-").display().to_string();
    let folders = std::fs::read_dir("/proc").unwrap().flatten().map(|folder| folder.path());
    let has = |line: Vec<u8>| String::from_utf8_lossy(&line).contains(&marker);
    folders.filter(|folder| std::fs::read(folder.join("cmdline")).is_ok_and(has)).count()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn ctrl_c_in_the_middle_of_a_run_ends_the_run_too() {
    let server = serve(provider().fault(answer(NEVER_ENDS, 100))).await;
    let place = place(&server);
    place.write("endless.py", NEVER_ENDS);
    place.write("items.jsonl", &format!("{}\n", json!({"text": TEXT})).repeat(2));
    for arguments in [
        &["generate", TEXT, "--out", "s.py"][..],
        &["improve", "endless.py", "do", "--out", "s.py"],
        &["fix", "endless.py", "--out", "s.py"],
        &["generate", "--batch", "items.jsonl", "--out-dir", "out"],
    ] {
        let mut command = place.command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("it is run", SOON, async || at_work(&place) >= 2).await;
        signal(&child, "-INT");
        let run = Run::from(child.wait_with_output().unwrap());
        run.fails(130, &["stopped"]);
        wait_until("the run is ended", SOON, async || at_work(&place) == 0).await;
        assert!(left(&place).is_empty(), "{arguments:?}: {:?}", left(&place));
        assert!(!place.path("s.py").exists() && run.stdout.is_empty(), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn what_a_killed_run_left_behind_is_removed_by_the_next() {
    let server = serve(provider().fault(answer(NEVER_ENDS, 1))).await;
    let place = place(&server);
    let mut killed = place.command(&["generate", TEXT]).stderr(Stdio::null()).spawn().unwrap();
    wait_until("it is run", SOON, async || !left(&place).is_empty()).await;
    // Somebody else's run takes nothing away.
    let before = left(&place);
    assert_eq!(place.run(&["generate", TEXT, "--require-verified"]).code, 0);
    assert_eq!(left(&place), before);
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(left(&place), before, "it could not clean up");
    assert_eq!(place.run(&["generate", TEXT, "--require-verified"]).code, 0);
    assert!(left(&place).is_empty(), "{:?}", left(&place));
}
