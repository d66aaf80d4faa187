//! `keyrot generate` runs what it generates, and what it does where it cannot.

use std::process::Command;

use gemini_sim::{Fault, FaultKind, SimServer};
use keyrot_test_servers::tool;
use serde_json::{Value, json};

use crate::place::{Place, Run, provider, serve};

const TEXT: &str = "Buy when RSI < 30, sell when RSI > 70";
const MARK: &str = "# NOT VERIFIED: ";

fn place(server: &SimServer) -> Place {
    Place::new().set("GEMINI_API_KEY", "secret-of-single").at(server)
}

/// A module that the provider answers with, so many times.
pub(crate) fn answer(code: &str, times: u64) -> Fault {
    ending(code, "STOP", times)
}

/// The same for another reason than that it is finished.
fn ending(code: &str, finish: &str, times: u64) -> Fault {
    let event = json!({
        "candidates": [{
            "content": {"role": "model", "parts": [{"text": format!("```python\n{code}\n```\n")}]},
            "finishReason": finish,
            "index": 0,
        }],
        "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120},
        "modelVersion": "gemini-3.8-flash",
    });
    let content_type = Some("text/event-stream".to_owned());
    Fault::new(FaultKind::Verbatim { status: 200, body: format!("data: {event}\r\n\r\n"), content_type })
        .times(times)
}

const NEVER_TRADES: &str = "from backtesting import Strategy\n\n\nclass Idle(Strategy):\n    def init(self):\n        \
                            pass\n\n    def next(self):\n        pass\n";

fn warnings(run: &Run) -> usize {
    run.stderr.lines().filter(|line| line.starts_with("warning:")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_python_the_code_is_delivered_marked_with_one_warning_that_says_what_to_do() {
    let server = serve(provider()).await;
    let place = place(&server).set("XDG_DATA_HOME", "/nowhere");
    let run = place.run(&["generate", TEXT, "--out", "s.py"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(warnings(&run), 1, "{run:?}");
    assert!(
        run.stderr.contains("warning: not verified: no Python environment")
            && run.stderr.contains("`keyrot python setup`"),
        "{run:?}"
    );
    let code = place.read("s.py");
    assert!(code.starts_with(MARK) && code.contains("\nimport pandas"), "{code}");
    assert!(!code.contains("nowhere"), "the code may go elsewhere: {code}");

    let json = place.run(&["generate", TEXT, "--json"]).json();
    assert_eq!(json!([json["verified"], json["report"]["verified"]]), json!([false, false]));
    assert_eq!(json["report"]["not_run"]["reason"], "no-python");
    assert!(json["code"].as_str().unwrap().starts_with(MARK), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_want_it_run_gets_the_code_as_it_is() {
    let server = serve(provider()).await;
    let run = place(&server).run(&["generate", TEXT, "--no-verify"]);
    assert_eq!((run.code, warnings(&run)), (0, 0), "{run:?}");
    assert!(run.stdout.starts_with("import"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_only_verified_code_is_told_before_anything_is_spent() {
    let server = serve(provider()).await;
    let place = place(&server);
    place
        .run(&["generate", TEXT, "--require-verified"])
        .fails(1, &["nothing can be verified", "keyrot python setup"]);
    place
        .run(&["generate", TEXT, "--data", "mine.csv"])
        .fails(2, &["--data mine.csv cannot be read", "goog, eurusd, btcusd"]);
    place.write("mine.csv", "Date,Open,High,Close\n2024-01-01,1,1,1\n");
    place.run(&["generate", TEXT, "--data", "mine.csv"]).fails(2, &["mine.csv has no column Low"]);
    place.run(&["generate", TEXT, "--require-verified", "--no-verify"]).fails(2, &["cannot be used with"]);
    assert_eq!(server.attempts().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withheld_is_told_to_programs_without_its_code() {
    let server = serve(provider().fault(answer(&NEVER_TRADES.replace("def next", "def after"), 2))).await;
    let place = place(&server);
    let arguments = ["generate", TEXT, "--no-verify", "--repairs", "1", "--json"];
    let run = place.run(&arguments);
    run.fails(1, &["in 2 replies: line 4, column 7"]);
    assert!(!run.stderr.contains("--allow-unverified"), "it would deliver nothing either: {run:?}");
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json!([json["code"], json["verified"]]), json!([null, false]));
    let fault = &json["report"]["fault"];
    assert_eq!(json!([fault["stage"], fault["reason"]]), json!(["gate", "missing-method"]));
    let finding = &fault["findings"][0];
    assert_eq!(json!([finding["rule"], finding["line"], finding["column"]]), json!(["missing-method", 4, 7]));
    assert!(finding["hint"].as_str().unwrap().contains("next"), "{finding}");
    assert_eq!(json["attempts"].as_array().unwrap().len(), 2);

    // Nothing comes of the repair.
    let once = answer(&NEVER_TRADES.replace("def next", "def after"), 1);
    let server = serve(provider().fault(once).fault(ending(NEVER_TRADES, "SAFETY", 1))).await;
    let place = self::place(&server);
    let run = place.run(&[&arguments[..], &["--out", "s.py"]].concat());
    run.fails(1, &["blocked its reply (SAFETY)", "the best of them is in s.rejected.py"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["report"]["fault"]["reason"], "missing-method");
    assert!(place.read("s.rejected.py").contains("def after") && !place.path("s.py").exists());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn with_python_it_is_run_and_the_report_says_what_it_showed() {
    let server = serve(provider()).await;
    let place = place(&server).with_python();
    let run = place.run(&["generate", TEXT, "--require-verified"]);
    assert_eq!((run.code, warnings(&run)), (0, 0), "{run:?}");
    assert!(
        run.stdout.starts_with("import") && run.stderr.contains("verified on GOOG, 2148 days: "),
        "{run:?}"
    );

    let bars: Vec<String> = (0..400)
        .map(|bar| {
            let price = 100.0 + 30.0 * (f64::from(bar) / 15.0).sin();
            format!("{},{price},{},{},{price}", 1_600_000_000 + 86_400 * bar, price + 1.0, price - 1.0)
        })
        .collect();
    place.write("mine.csv", &format!("time,open,high,low,close\n{}\n", bars.join("\n")));
    let json = place.run(&["generate", TEXT, "--json", "--data", "mine.csv"]).json();
    assert_eq!(json["verified"], true, "{json}");
    let report = &json["report"];
    let stages: Vec<&str> =
        report["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["extract", "gate", "compile", "backtest", "judge"]);
    assert_eq!(report["data"], "mine.csv, 400 bars");
    assert_eq!(report["backtest"]["look_ahead"]["tried"], 16);
    assert_eq!(report["backtest"]["look_ahead"]["flagged"], 0);
    let statistics = report["backtest"]["statistics"].as_object().unwrap();
    assert!(statistics.len() == 35 && statistics["# Trades"].as_u64().unwrap() > 0, "{statistics:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn what_was_run_and_is_not_good_is_repaired_or_withheld() {
    let server = serve(provider().fault(answer(NEVER_TRADES, 2))).await;
    let json = place(&server).with_python().run(&["generate", TEXT, "--json"]).json();
    assert_eq!(json!([json["verified"], json["repaired"]]), json!([true, true]));
    assert_eq!(json["attempts"].as_array().unwrap().len(), 3);

    let server = serve(provider().fault(answer(NEVER_TRADES, 100))).await;
    let place = place(&server).with_python();
    let run = place.run(&["generate", TEXT, "--repairs", "1", "--out", "s.py"]);
    run.fails(1, &["in 2 replies: judge: the strategy never trades", "--allow-unverified"]);
    assert!(run.stdout.is_empty() && !place.path("s.py").exists(), "{run:?}");
    assert!(run.stderr.contains("the best of them is in s.rejected.py"), "{run:?}");
    assert_eq!(place.read("s.rejected.py").trim_end(), NEVER_TRADES.trim_end());
    let report: Value = serde_json::from_str(&place.read("s.rejected.json")).unwrap();
    assert_eq!(report["report"]["fault"]["reason"], "no-trades");
    let run = place.run(&["generate", TEXT, "--repairs", "0", "--allow-unverified"]);
    assert_eq!((run.code, warnings(&run)), (0, 1), "{run:?}");
    assert!(run.stdout.starts_with(&format!("{MARK}judge: the strategy never trades")), "{run:?}");
    assert!(run.stderr.contains("warning: not verified: judge: "), "{run:?}");
    let run = place.run(&["generate", TEXT, "--repairs", "0", "--json"]);
    run.fails(1, &["--allow-unverified"]);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json!([json["code"], json["report"]["fault"]["reason"]]), json!([null, "no-trades"]));
    assert_eq!(json["report"]["stages"].as_array().unwrap().len(), 5);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn a_broken_python_environment_is_not_the_strategys_fault() {
    let server = serve(provider()).await;
    let place = place(&server).with_python_without_packages();
    let run = place.run(&["generate", TEXT, "--json"]);
    let json = run.json();
    assert_eq!(
        json!([json["verified"], json["report"]["not_run"]["reason"]]),
        json!([false, "broken-python"])
    );
    assert!(json["code"].as_str().unwrap().starts_with(MARK), "{json}");
    assert_eq!((warnings(&run), server.attempts().len()), (1, 1), "{run:?}");
    assert!(
        run.stderr.contains("No module named") && run.stderr.contains("`keyrot python setup --force`"),
        "{run:?}"
    );
    place.run(&["generate", TEXT, "--require-verified"]).fails(1, &["`keyrot python setup --force`"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn without_a_place_for_a_run_the_code_is_delivered_and_the_place_is_named() {
    let server = serve(provider()).await;
    let run = place(&server).with_python().set("TMPDIR", "/nowhere").run(&["generate", TEXT]);
    assert_eq!((run.code, warnings(&run)), (0, 1), "{run:?}");
    assert!(run.stderr.contains("/nowhere/keyrot-run-") && run.stderr.contains("TMPDIR"), "{run:?}");
    assert!(run.stdout.starts_with(MARK) && !run.stdout.contains("nowhere"), "{run:?}");
}

/// Runs a program on a kernel without Landlock: that call does not exist for it.
const WITHOUT_LANDLOCK: &str = r"
import ctypes, os, struct, sys
code = lambda *op: struct.pack('HBBI', *op)
# Load the number of the call; 444 is landlock_create_ruleset: ENOSYS (38), everything else is allowed.
filter = code(0x20, 0, 0, 0) + code(0x15, 0, 1, 444) + code(0x06, 0, 0, 0x50000 | 38) + code(0x06, 0, 0, 0x7fff0000)
buffer = ctypes.create_string_buffer(filter, len(filter))
program = struct.pack('HxxxxxxP', len(filter) // 8, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.create_string_buffer(program, len(program)), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

fn without_landlock(place: &Place, arguments: &[&str]) -> Run {
    let keyrot = place.command(arguments);
    let mut command = Command::new(tool("python"));
    command.args(["-c", WITHOUT_LANDLOCK]).arg(keyrot.get_program()).args(arguments).env_clear();
    command.envs(keyrot.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(place.folder()).output().unwrap().into()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn where_the_kernel_cannot_isolate_nothing_is_run_unless_it_is_wished() {
    let server = serve(provider()).await;
    let place = place(&server).with_python();
    let run = |arguments: &[&str]| without_landlock(&place, arguments);
    let delivered = run(&["generate", TEXT, "--json"]);
    let json: Value = delivered.json();
    assert_eq!(
        json!([json["verified"], json["report"]["not_run"]["reason"]]),
        json!([false, "no-isolation"])
    );
    assert!(json["code"].as_str().unwrap().starts_with(MARK));
    assert_eq!(warnings(&delivered), 1, "{delivered:?}");
    assert!(
        delivered.stderr.contains("Landlock")
            && delivered.stderr.contains("after `keyrot python setup` there")
            && delivered.stderr.contains("--unsafe-no-sandbox"),
        "{delivered:?}"
    );
    run(&["generate", TEXT, "--require-verified"]).fails(1, &["cannot isolate"]);
    let json = run(&["generate", TEXT, "--json", "--unsafe-no-sandbox"]).json();
    assert_eq!(json["verified"], true);

    // Neither Python nor isolation: each step says what the next one needs.
    let data = place.path("other").display().to_string();
    let place = place.set("XDG_DATA_HOME", &data).set("PATH", "/nowhere");
    let delivered = without_landlock(&place, &["generate", TEXT]);
    assert_eq!((delivered.code, warnings(&delivered)), (0, 1), "{delivered:?}");
    assert!(delivered.stderr.contains("run `keyrot python setup` once"), "{delivered:?}");
    let setup = without_landlock(&place, &["python", "setup"]);
    setup.fails(1, &["warning: this machine cannot isolate", "--unsafe-no-sandbox", "neither uv nor Python"]);
}
