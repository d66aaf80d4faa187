//! The table of replies and verdicts is complete and consistent, and the module is found in each reply.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::Deserialize;
use strategy_gen::extract;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) file: String,
    pub(crate) what: String,
    pub(crate) kind: String,
    pub(crate) description: Option<String>,
    #[serde(default = "text")]
    pub(crate) format: String,
    #[serde(default = "stop")]
    pub(crate) finish: String,
    pub(crate) stage: String,
    pub(crate) reason: Option<String>,
    pub(crate) at: Option<String>,
    pub(crate) says: Option<String>,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    pub(crate) data: Option<String>,
    pub(crate) cash: Option<u64>,
    pub(crate) at_latest: Option<String>,
    pub(crate) at_latest_reason: Option<String>,
    #[serde(default)]
    pub(crate) needs: Vec<String>,
}

fn text() -> String {
    "text".to_owned()
}

fn stop() -> String {
    "STOP".to_owned()
}

/// Stages in order, each with the reasons for which it ends a reply.
const STAGES: [(&str, &[&str]); 6] = [
    ("extract", &["no-code", "truncated", "blocked"]),
    (
        "gate",
        &[
            "syntax",
            "no-strategy",
            "several-strategies",
            "missing-method",
            "strategy-import",
            "import",
            "forbidden-name",
            "forbidden-attribute",
            "dunder",
            "private",
            "top-level-call",
        ],
    ),
    ("compile", &["syntax"]),
    (
        "backtest",
        &["exception", "time-limit", "memory-limit", "process-limit", "crash", "exited", "no-strategy"],
    ),
    ("judge", &["no-trades", "not-repeatable", "bankrupt", "look-ahead"]),
    ("verified", &[]),
];

const WARNINGS: [&str; 4] = ["negative-shift", "centered-window", "reversed-series", "frame-in-init"];

const NEEDS: [&str; 8] = [
    "empty-environment",
    "no-network",
    "read-only-files",
    "time-limit",
    "memory-limit",
    "process-limit",
    "same-process",
    "second-process",
];

/// Files of the folder that are not replies.
const OTHERS: [&str; 3] = [".gitattributes", "README.md", "expected.json"];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/verdicts")
}

pub(crate) fn reply(row: &Row) -> String {
    fs::read_to_string(folder().join(&row.file)).expect("a reply is a text file")
}

pub(crate) fn rows() -> Vec<Row> {
    let table = fs::read_to_string(folder().join("expected.json")).expect("the table is there");
    serde_json::from_str(&table).expect("the table has these columns")
}

pub(crate) fn order(stage: &str) -> usize {
    STAGES.iter().position(|(name, _)| *name == stage).expect("a stage of the pipeline")
}

#[test]
fn every_reply_is_in_the_table_once_and_nothing_else_is() {
    let rows = rows();
    let listed: BTreeSet<&str> = rows.iter().map(|row| row.file.as_str()).collect();
    assert_eq!(listed.len(), rows.len(), "a file is listed twice");
    let there: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| !OTHERS.contains(&name.as_str()))
        .collect();
    assert_eq!(there.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn the_corpus_has_enough_of_each_kind() {
    let rows = rows();
    let count = |wanted: fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).count();
    assert!(count(|row| row.stage == "verified") >= 34);
    assert!(count(|row| row.description.is_some()) >= 10);
    assert!(count(|row| row.kind == "cheat") >= 20);
    for (stage, reasons) in STAGES {
        for reason in reasons {
            // Some reasons are only those of a second wall.
            let seen = rows.iter().any(|row| {
                let first = row.stage == stage && row.reason.as_deref() == Some(reason);
                let latest = row.at_latest.as_deref() == Some(stage);
                first || (latest && row.at_latest_reason.as_deref() == Some(reason))
            });
            assert!(seen, "no reply for {stage}: {reason}");
        }
    }
}

#[test]
fn every_row_is_consistent() {
    for row in rows() {
        let name = &row.file;
        assert!(!row.what.is_empty(), "{name}");
        assert!(["text", "json"].contains(&row.format.as_str()), "{name}");
        assert!(["STOP", "MAX_TOKENS", "SAFETY"].contains(&row.finish.as_str()), "{name}");
        assert!(row.warnings.iter().all(|rule| WARNINGS.contains(&rule.as_str())), "{name}");
        assert!(row.needs.iter().all(|need| NEEDS.contains(&need.as_str())), "{name}");
        let stage = order(&row.stage);
        assert_eq!(row.kind == "honest", row.stage == "verified", "{name}");
        assert_eq!(row.kind == "cheat", name.starts_with("cheat_"), "{name}");
        assert_eq!(row.description.is_some(), name.starts_with("plain_"), "{name}");
        assert_eq!(
            row.at.is_some(),
            row.stage == "gate" && row.reason.as_deref() != Some("no-strategy"),
            "{name}"
        );
        assert_eq!(
            row.finish != "STOP",
            matches!(row.reason.as_deref(), Some("truncated" | "blocked")),
            "{name}"
        );
        let ends = |stage: usize, reason: &Option<String>| {
            reason.as_deref().is_some_and(|reason| STAGES[stage].1.contains(&reason))
        };
        assert_eq!(row.reason.is_some(), row.kind != "honest", "{name}");
        assert!(row.reason.is_none() || ends(stage, &row.reason), "{name}");
        let latest = row.at_latest.as_deref().map_or(stage, order);
        assert!(stage <= latest && STAGES[latest].0 != "verified" || stage == latest, "{name}");
        assert_eq!(latest > stage, row.at_latest_reason.is_some(), "{name}");
        assert!(latest == stage || ends(latest, &row.at_latest_reason), "{name}");
        let runs = latest >= order("backtest");
        assert_eq!((row.data.is_some(), row.cash.is_some()), (runs, runs), "{name}");
        assert!(
            row.data.as_deref().is_none_or(|data| ["goog", "eurusd", "btcusd"].contains(&data)),
            "{name}"
        );
        assert!(row.says.is_none() || ["compile", "backtest"].contains(&row.stage.as_str()), "{name}");
    }
}

#[test]
fn the_module_is_found_in_each_reply_that_has_one() {
    // Finish reasons are not a matter of the text.
    for row in rows().iter().filter(|row| row.finish == "STOP") {
        let found = extract(&reply(row));
        assert_eq!(found.is_none(), row.stage == "extract", "{}", row.file);
        let Some(found) = found else { continue };
        if let Some(at) = &row.at {
            assert!(found.code.lines().any(|line| line.contains(at.as_str())), "{}: {at}", row.file);
        }
        if row.kind != "bad" {
            assert!(found.code.contains("def next(self)"), "{}", row.file);
            assert!(!found.code.contains("```"), "{}", row.file);
        }
    }
}
