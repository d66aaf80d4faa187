//! `keyrot generate --batch`: resumable whatever ends it, one line of result for each item.

use std::collections::BTreeSet;
use std::time::Duration;

use gemini_sim::{Config, Fault, FaultKind, Latency, Project};
use keyrot_test_servers::wait_until;
use serde_json::{Value, json};

use crate::place::{Place, Run, provider, serve};

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

fn items(count: u32) -> String {
    (1..=count)
        .map(|n| json!({"id": format!("rsi-{n}"), "text": format!("Buy when RSI({}) < 40, sell when RSI > 60", n + 4)}))
        .map(|item| format!("{item}\n"))
        .collect()
}

fn lines(run: &Run) -> Vec<Value> {
    run.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn with_status<'a>(lines: &'a [Value], status: &str) -> BTreeSet<&'a str> {
    lines.iter().filter(|line| line["status"] == status).map(|line| line["id"].as_str().unwrap()).collect()
}

/// Ids of the items whose results are there.
fn done(place: &Place) -> BTreeSet<String> {
    let Ok(folder) = std::fs::read_dir(place.path("out")) else { return BTreeSet::new() };
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

const BATCH: [&str; 6] = ["generate", "--batch", "items.jsonl", "--out-dir", "out", "--no-verify"];

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_killed_goes_on_where_it_was() {
    // two are never answered, so that it cannot be through before it is killed
    let hang = Fault::new(FaultKind::Slow { extra_ms: 600_000 }).times(2);
    let server = serve(provider().latency(Latency::Fixed { ms: 60 }).fault(hang)).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("items.jsonl", &items(40));
    let mut killed = place.start(&BATCH, "");
    wait_until("some are done", SOON, async || done(&place).len() >= 8).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let before = done(&place);

    let run = place.run(&BATCH);
    assert_eq!(run.code, 0, "{run:?}");
    let lines = lines(&run);
    assert_eq!(lines.len(), 40);
    let skipped: BTreeSet<String> = with_status(&lines, "skipped").into_iter().map(str::to_owned).collect();
    assert_eq!(skipped, before, "what was done is not done again, and nothing else is left out");
    let calls: u64 = lines.iter().map(|line| line["attempts"].as_u64().unwrap()).sum();
    assert_eq!(calls as usize, 40 - before.len(), "one call for each of the others");
    for n in 1..=40 {
        let code = place.read(&format!("out/rsi-{n}.py"));
        assert!(
            code.contains("class RsiStrategy") && code.contains(&format!("period = {}\n", n + 4)),
            "{code}"
        );
        let result: Value = serde_json::from_str(&place.read(&format!("out/rsi-{n}.json"))).unwrap();
        assert_eq!(json!([result["id"], result["result"]["code"]]), json!([format!("rsi-{n}"), code]));
    }

    // A changed description is another item.
    place.write("items.jsonl", &items(40).replacen("< 40", "< 35", 1));
    let lines = self::lines(&place.run(&BATCH));
    assert_eq!(with_status(&lines, "unverified"), BTreeSet::from(["rsi-1"]));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_what_is_done_whole_and_says_how_to_go_on() {
    let server = serve(provider().latency(Latency::Fixed { ms: 60 })).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("items.jsonl", &items(40));
    let stopped = place.start(&BATCH, "");
    wait_until("some are done", SOON, async || done(&place).len() >= 8).await;
    crate::stopping::signal(&stopped, "-INT");
    let run = Run::from(stopped.wait_with_output().unwrap());
    let before = done(&place);
    assert!(before.len() < 40, "it was stopped too late to prove anything");
    let says = format!("{} of 40 are done; the same command goes on", before.len());
    run.fails(130, &["stopped", &says]);
    let told = lines(&run);
    assert!(with_status(&told, "unverified").iter().all(|id| before.contains(*id)), "{told:?}");
    let folder = std::fs::read_dir(place.path("out")).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = folder.map(|name| name.into_string().unwrap()).collect();
    let whole = before.iter().flat_map(|id| [format!("{id}.py"), format!("{id}.json")]);
    let expected: BTreeSet<String> = whole.chain([".keyrot-batch.lock".to_owned()]).collect();
    assert_eq!(names, expected, "each item has both of its files or none");

    let again = place.run(&BATCH);
    assert_eq!(again.code, 0, "{again:?}");
    let lines = lines(&again);
    assert_eq!(with_status(&lines, "skipped").len(), before.len());
    assert_eq!(done(&place).len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_makes_the_exit_code_1_and_is_tried_again() {
    let server = serve(provider().fault(Fault::new(FaultKind::SafetyBlock).times(1))).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("items.jsonl", &items(3));
    let run = place.run(&BATCH);
    run.fails(1, &["1 of 3 failed"]);
    let lines = lines(&run);
    let failed = lines.iter().find(|line| line["status"] == "failed").unwrap();
    assert!(failed["error"].as_str().unwrap().contains("blocked the prompt"), "{failed}");
    assert_eq!(failed["file"], Value::Null);
    assert_eq!(done(&place).len(), 2);
    let again = place.run(&BATCH);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(with_status(&self::lines(&again), "skipped").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_batches_do_not_work_in_one_folder() {
    let server = serve(provider().fault(Fault::new(FaultKind::Slow { extra_ms: 600_000 }))).await;
    let place = Place::new().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    place.write("items.jsonl", &items(2));
    let mut first = place.start(&BATCH, "");
    wait_until("it has begun", SOON, async || {
        !server.attempts().is_empty() || place.path("out/.keyrot-batch.lock").exists()
    })
    .await;
    wait_until("the folder is taken", SOON, async || {
        place.run(&BATCH[..5]).stderr.contains("another keyrot is at work in it")
    })
    .await;
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_batch_with_mistakes_is_refused_whole() {
    let place = Place::new().set("GEMINI_API_KEY", "x");
    place.write("items.jsonl", "{\"text\": \"a\"}\n{\"txet\": \"b\"}\n{\"text\": \"\"}\n");
    place.run(&BATCH).fails(2, &["items.jsonl: line 2: unknown field `txet`", "line 3: the text is empty"]);
    place
        .run(&["generate", "--batch", "none.jsonl", "--out-dir", "out"])
        .fails(2, &["none.jsonl cannot be read"]);
    place.run(&["generate", "--batch", "items.jsonl"]).fails(2, &["--out-dir"]);
    place
        .run(&["generate", "text", "--batch", "items.jsonl", "--out-dir", "out"])
        .fails(2, &["cannot be used with"]);
    place.run(&["generate", "--out-dir", "out"]).fails(2, &["--batch"]);
    place.run(&["generate", "text", "--out-dir", "out"]).fails(2, &["cannot be used with"]);
    place.write("good.jsonl", "\u{feff}{\"text\": \"a\"}\r\n");
    place
        .run(&["generate", "--batch", "good.jsonl", "--out-dir", "items.jsonl"])
        .fails(2, &["--out-dir items.jsonl cannot be used: it is a file; name a folder"]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn twenty_are_verified_while_one_of_four_keys_dies_and_nobody_notices() {
    let ids = ["a", "b", "c", "d"];
    let config = ids.iter().fold(Config::default().latency(Latency::Fixed { ms: 100 }), |config, id| {
        config.project(Project::new(*id).key(*id, format!("secret-of-{id}")))
    });
    let server = serve(config.fault(Fault::new(FaultKind::KeyLeaked).key("c").from_ms(600))).await;
    // whoever asks after its death is sent to it first, and eight at a time the last ones cannot ask before
    let key =
        |id: &&str| json!({"key_id": id, "model_name": "gemini-2.5-flash", "priority": u8::from(*id != "c")});
    let keys: Vec<Value> = ids.iter().map(key).collect();
    let mut place = Place::new()
        .file("keys.json", &json!({"keys": keys}).to_string())
        .set("ENABLE_KEY_ROTATION", "true")
        .at(&server)
        .with_python();
    for id in ids {
        place = place.set(&format!("GEMINI_KEY_{id}"), &format!("secret-of-{id}"));
    }
    place.write("items.jsonl", &items(20));
    let run = place.run(&[
        "generate",
        "--batch",
        "items.jsonl",
        "--out-dir",
        "out",
        "--concurrency",
        "8",
        "--require-verified",
    ]);
    assert_eq!(run.code, 0, "{run:?}");
    let lines = lines(&run);
    assert_eq!(with_status(&lines, "verified").len(), 20, "{lines:?}");
    assert!(server.attempts().iter().any(|attempt| attempt.status == Some(403)), "the key has died in time");
    assert!(lines.iter().all(|line| line["error"].is_null()));
}
