//! `keyrot improve`, `keyrot fix` and `keyrot prompt`.

use crate::place::{Place, provider, serve};

const GOOD: &str = "from backtesting import Strategy\n\n\nclass Idle(Strategy):\n    def init(self):\n        \
                    pass\n\n    def next(self):\n        pass\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_corrected_and_a_good_one_costs_no_call() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("good.py", GOOD);
    let run = place.run(&["fix", "good.py", "--no-verify"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, GOOD), "{run:?}");
    assert!(run.stderr.contains("was not run"), "{run:?}");
    let json = place.run(&["fix", "good.py", "--no-verify", "--json", "--report", "report"]).json();
    let page = place.read("report/index.html");
    assert!(page.contains("<h1>good.py</h1>") && page.contains("Not verified: not asked for"), "{page}");
    assert!(!page.contains("Where it comes from") && page.contains("class Idle(Strategy)"), "{page}");
    let kept: serde_json::Value = serde_json::from_str(&place.read("report/report.json")).unwrap();
    assert_eq!(kept, json);
    assert_eq!(
        serde_json::json!([json["unchanged"], json["verified"], json["report"]["not_run"]["reason"]]),
        serde_json::json!([true, false, "not-asked"])
    );
    assert_eq!(server.attempts().len(), 0);

    place.write("bad.py", &GOOD.replace("def init(self):", "def init(self)"));
    let run = place.run(&["fix", "bad.py", "--no-verify", "--out", "fixed.py"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("found: line 5, column 19"), "{run:?}");
    assert_eq!(place.read("fixed.py").trim_end(), GOOD.trim_end());
    assert_eq!(server.attempts().len(), 1);
    place.run(&["fix", "none.py"]).fails(2, &["the file none.py cannot be read"]);
    place.write("empty.py", "\n");
    place.run(&["fix", "empty.py"]).fails(2, &["the file empty.py is empty"]);
    place.run(&["improve", "empty.py", "sell short"]).fails(2, &["the file empty.py is empty"]);
    assert_eq!(server.attempts().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_is_changed_as_one_says() {
    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("s.py", GOOD);
    let arguments = [
        "improve",
        "s.py",
        "trade on RSI(9) instead",
        "--no-verify",
        "--name",
        "Reversal",
        "--param",
        "period=9",
    ];
    let json = place.run(&[&arguments[..], &["--json"]].concat()).json();
    assert_eq!(json["class_name"], "Reversal");
    assert!(json["code"].as_str().unwrap().contains("period = 9"), "{json}");
    place.run(&["improve", "s.py", " "]).fails(2, &["description is empty"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_instruction_is_shown_and_may_be_ones_own() {
    let place = Place::new();
    let shown = place.run(&["prompt", "show"]).stdout;
    assert!(
        shown.starts_with("You write trading strategies") && shown.contains("class BreakoutRiskStrategy"),
        "{shown}"
    );
    let json = place.run(&["prompt", "show", "--json"]).json();
    assert!(json["version"].as_u64().unwrap() >= 3 && json["system_instruction"] == shown.as_str());
    assert_eq!(json["reply_schema"]["required"], serde_json::json!(["code", "assumptions", "parameters"]));

    let server = serve(provider()).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("mine.md", "Write Python.");
    let run = place.run(&["generate", "RSI", "--no-verify", "--prompt", "mine.md"]);
    assert_eq!(run.code, 0, "{run:?}");
    let attempts = server.attempts();
    assert_eq!(attempts.len(), 1);
    assert!(attempts[0].input_tokens < 400, "{} tokens for a short instruction", attempts[0].input_tokens);
    place.run(&["generate", "RSI", "--prompt", "none.md"]).fails(2, &["--prompt none.md cannot be read"]);
}
