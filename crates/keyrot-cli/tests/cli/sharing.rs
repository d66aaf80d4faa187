//! Runs of the command that count together in a file: `status`, `explain` and `reset` beside `generate`.

use std::fs;

use gemini_sim::{Fault, FaultKind, SimServer};
use serde_json::{Value, json};

use crate::place::{Place, provider, serve};

/// The second key is asked first.
const KEYS: &str = r#"{"keys": [
    {"key_id": "flash_01", "model_name": "gemini-2.5-flash", "rpm": 60, "rpd": 500, "priority": 1},
    {"key_id": "flash_02", "model_name": "gemini-2.5-flash", "rpm": 60, "rpd": 500}
]}"#;

fn place() -> Place {
    Place::rotating().file("keys.json", KEYS).set("KEYROT_STATE", "state.db")
}

/// One call that fails with the second key and succeeds with the first.
async fn called(place: Place, fault: FaultKind) -> (Place, SimServer) {
    let server = serve(provider().fault(Fault::new(fault).key("flash_02"))).await;
    let place = place.at(&server);
    let generated = place.run(&["generate", "Buy when RSI < 30", "--json"]).json();
    assert_eq!(generated["key_id"], "flash_01", "{generated}");
    (place, server)
}

fn key<'j>(status: &'j Value, id: &str) -> &'j Value {
    &status["keys"][id]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_run_shows_the_counts_and_the_rests_of_the_first() {
    let (place, _server) = called(place(), FaultKind::QuotaDay).await;
    let status = place.run(&["status", "--json"]).json();
    assert_eq!(json!([status["scope"], status["degraded"]]), json!(["sqlite", null]));
    let (served, refused) = (key(&status, "flash_01"), key(&status, "flash_02"));
    assert_eq!(json!([served["success_count"], served["error_count"]]), json!([1, 0]));
    assert_eq!(
        json!([served["usage"][0]["requests_minute"], served["usage"][0]["requests_day"]]),
        json!([1, 1])
    );
    assert!(served["usage"][0]["tokens_minute"].as_u64().unwrap() > 0, "{served}");
    assert!(served["last_used"].is_string(), "{served}");
    assert_eq!(json!([refused["error_count"], refused["in_cooldown"]]), json!([1, true]));
    assert_eq!(refused["reason"], "requests_per_day", "{refused}");
    let people = place.run(&["status"]);
    assert!(people.stderr.contains("counts are of every process that shares sqlite"), "{people:?}");
    let explained = place.run(&["explain", "--json"]).json();
    assert_eq!(json!([explained["scope"], explained["selectable"]]), json!(["sqlite", ["flash_01"]]));
    assert_eq!(explained["blocked"][0]["reason"], "requests_per_day", "{explained}");
    assert!(explained["blocked"][0]["until"].is_string(), "{explained}");
    // a later run does not try the key that rests
    place.run(&["generate", "Buy when RSI < 30"]);
    assert_eq!(key(&place.run(&["status", "--json"]).json(), "flash_02")["error_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_says_what_it_cleared_and_holds_for_later_runs() {
    let (place, _server) = called(place(), FaultKind::KeyInvalid).await;
    let rests = || key(&place.run(&["status", "--json"]).json(), "flash_02")["in_cooldown"].clone();
    assert_eq!(rests(), true);
    place.run(&["reset", "flash_2"]).fails(2, &["flash_2", "flash_01, flash_02"]);
    place.run(&["reset"]).fails(2, &["KEY_ID"]);
    assert_eq!(rests(), true);
    let run = place.run(&["reset", "flash_02"]);
    assert!(
        run.code == 0 && run.stdout.starts_with("cleared key flash_02: key_rejected until 20"),
        "{run:?}"
    );
    assert_eq!(rests(), false);
    assert_eq!(place.run(&["reset", "flash_02"]).stdout, "nothing rests: nothing was cleared\n");
    assert_eq!(place.run(&["explain", "--json"]).json()["selectable"], json!(["flash_01", "flash_02"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_a_project_clears_its_models() {
    let (place, _server) = called(place(), FaultKind::QuotaDay).await;
    place.run(&["reset", "--project", "nobody"]).fails(2, &["nobody", "flash_01, flash_02"]);
    let cleared = place.run(&["reset", "--project", "flash_02", "--json"]).json();
    assert_eq!(cleared["scope"], "sqlite");
    let [one] = &cleared["cleared"].as_array().unwrap()[..] else { panic!("{cleared}") };
    assert_eq!(json!([one["reason"], one["strikes"]]), json!(["requests_per_day", 1]));
    assert!(one["until"].is_string(), "{one}");
    assert_eq!(place.run(&["explain", "--json"]).json()["blocked"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_keys_that_share_a_file_share_nothing_else_unless_they_are_one_pool() {
    let (first, server) = called(place(), FaultKind::QuotaDay).await;
    let file = first.path("state.db").to_str().unwrap().to_owned();
    let other = place().at(&server).set("KEYROT_STATE", &file);
    let seen = |place: &Place| {
        let status = place.run(&["status", "--json"]).json();
        json!([
            status["scope"],
            status["keys"]["flash_01"]["success_count"],
            status["keys"]["flash_02"]["in_cooldown"]
        ])
    };
    assert_eq!(seen(&first), json!(["sqlite", 1, true]));
    assert_eq!(seen(&other), json!(["sqlite", 0, false]));
    let (first, other) = (first.set("KEYROT_POOL", "shop"), other.set("KEYROT_POOL", "shop"));
    assert_eq!(first.run(&["generate", "Buy when RSI < 30"]).code, 0);
    assert_eq!(seen(&other), json!(["sqlite", 1, true]));
}

#[test]
fn the_file_is_the_users_unless_a_variable_names_another_or_none() {
    let scope = |place: &Place| place.run(&["status", "--json"]).json()["scope"].clone();
    let none = Place::rotating();
    assert_eq!(scope(&none), "process", "no home");
    let home = Place::rotating();
    let folder = home.folder().to_str().unwrap().to_owned();
    let home = home.set("HOME", &folder);
    assert_eq!(scope(&home), "sqlite");
    let file = home.path(".local/state/keyrot/state.db");
    assert!(file.exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let check = home.run(&["check", "--json"]);
    assert!(check.stdout.contains(&format!("counted in {}", file.display())), "{check:?}");
    fs::remove_dir_all(home.path(".local")).unwrap();
    let in_memory = home.set("KEYROT_STATE", ":memory:");
    assert_eq!(scope(&in_memory), "process");
    assert!(!file.exists());
    let run = in_memory.run(&["reset", "flash_01"]);
    assert!(run.stderr.contains("KEYROT_STATE") && run.code == 0, "{run:?}");
    let in_folder = in_memory.set("KEYROT_STATE", &folder);
    assert_eq!(scope(&in_folder), "sqlite");
    assert!(in_folder.path("state.db").exists());
    let single = Place::new().set("GEMINI_API_KEY", "x").set("KEYROT_STATE", "single.db");
    assert_eq!(scope(&single), "process");
    assert!(!single.path("single.db").exists(), "one key needs no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_the_user_that_cannot_be_written_leaves_each_run_its_own_limits() {
    let server = serve(provider()).await;
    let place = place().at(&server).file("home", "no folder");
    let home = place.path("home").to_str().unwrap().to_owned();
    let place = place.set("KEYROT_STATE", "").set("HOME", &home);
    let run = place.run(&["generate", "Buy when RSI < 30"]);
    assert!(run.code == 0 && run.stdout.contains("class"), "{run:?}");
    let told = format!("{home}/.local/state");
    assert_eq!(run.stderr.matches(&told).count(), 1, "{run:?}");
    assert!(run.stderr.contains("KEYROT_STATE; limits are counted in this process"), "{run:?}");
    let status = place.run(&["status", "--json"]).json();
    assert_eq!(json!([status["scope"], status["degraded"]]), json!(["process", null]));
    let closed = place.set("KEYROT_REDIS_FAILURE", "closed");
    closed.run(&["generate", "Buy when RSI < 30"]).fails(3, &["home", "closed"]);
}

#[test]
fn a_damaged_file_is_moved_aside_and_told() {
    let place = place().file("state.db", &"no database ".repeat(1000));
    let run = place.run(&["status", "--json"]);
    assert_eq!(run.json()["scope"], "sqlite");
    let told = "a damaged file of limits was moved aside: counting begins anew path=state.db moved_to=state.db.damaged-";
    assert!(run.stderr.contains(told), "{run:?}");
    let again = place.run(&["status", "--json"]);
    assert!(again.json()["degraded"].is_null() && !again.stderr.contains("damaged"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_used_stops_nobody_unless_the_policy_says_so() {
    let server = serve(provider()).await;
    let place = place().at(&server).file("no-folder", "x").set("KEYROT_STATE", "no-folder/state.db");
    let run = place.run(&["generate", "Buy when RSI < 30"]);
    assert!(run.code == 0 && run.stdout.contains("class"), "{run:?}");
    assert!(run.stderr.contains("no-folder") && run.stderr.contains("=open holds"), "{run:?}");
    assert_eq!(place.run(&["status", "--json"]).json()["degraded"], "open");
    place.run(&["reset", "flash_01"]).fails(1, &["nothing was reset", "no-folder"]);
    let closed = place.set("KEYROT_REDIS_FAILURE", "closed");
    closed.run(&["generate", "Buy when RSI < 30"]).fails(3, &["no-folder", "closed"]);
}

/// A page of a SQLite database that another program has put its mark on.
fn database_of_others() -> String {
    let mut page = [0; 4096];
    for (at, bytes) in [
        (0, &b"SQLite format 3\0"[..]),
        (16, &[0x10, 0, 1, 1, 0, 64, 32, 32, 0, 0, 0, 1, 0, 0, 0, 1]),
        (44, &[0, 0, 0, 4]),
        (56, &[0, 0, 0, 1]),
        (60, &[0, 0, 0, 1]),
        (68, b"gpkg"),
        (92, &[0, 0, 0, 1]),
        (100, &[0x0d, 0, 0, 0, 0, 0x10]),
    ] {
        page[at..at + bytes.len()].copy_from_slice(bytes);
    }
    String::from_utf8(page.to_vec()).unwrap()
}

/// It is no outage that ends, so no failure policy is said to hold.
#[test]
fn a_database_of_others_is_a_wrong_name_and_left_as_it_is() {
    let theirs = database_of_others();
    let place = place().file("state.db", &theirs);
    for (policy, command) in [("", "status"), ("open", "check"), ("share", "explain"), ("closed", "status")] {
        let place = Place::rotating().file("keys.json", KEYS).file("state.db", &theirs);
        let place = place.set("KEYROT_STATE", "state.db").set("KEYROT_REDIS_FAILURE", policy);
        let run = place.run(&[command]);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(said.contains("state.db is a SQLite database of something else"), "{run:?}");
        assert!(said.contains("KEYROT_STATE") && !said.contains("holds"), "{run:?}");
    }
    place.run(&["generate", "Buy when RSI < 30"]).fails(2, &["something else", "KEYROT_STATE"]);
    assert_eq!(fs::read_to_string(place.path("state.db")).unwrap(), theirs);
}
