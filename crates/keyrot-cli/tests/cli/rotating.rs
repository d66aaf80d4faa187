//! `keyrot secrets rotate`: the provider is asked first, and in the end it is said which key is in force.

use std::process::{Child, Command};
use std::time::Duration;

use gemini_sim::{Config, Fault, FaultKind, Project, SimServer};
use serde_json::{Value, json};

use crate::place::{EXAMPLE, Place, Run, serve};

const OLD: &str = "sentinel-old-1c9e77";
const NEW: &str = "sentinel-new-84b0d2";
const THEIRS: &str = "sentinel-theirs-3fa6";
const ENV: &str = "# ours\nGEMINI_KEY_flash_01=sentinel-old-1c9e77\nGEMINI_KEY_flash_02=x\n";

/// A provider that knows the old key and the new one.
fn provider() -> Config {
    let project = Project::new("one").key("flash_01", OLD).key("new", NEW);
    Config::default().latency(gemini_sim::Latency::ZERO).project(project)
}

fn place(server: &SimServer) -> Place {
    Place::new().file("keys.json", EXAMPLE).file(".env", ENV).at(server)
}

/// The value of no key may be said, whoever's it is.
fn silent(run: Run) -> Run {
    assert!(!format!("{run:?}").contains("sentinel"), "{run:?}");
    run
}

fn rotate(place: &Place, options: &[&str]) -> Run {
    silent(place.run_with(&[&["secrets", "rotate", "flash_01"], options].concat(), NEW))
}

fn ended(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap()
}

fn rotated() -> String {
    ENV.replace(OLD, NEW)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_key_is_asked_about_written_and_confirmed() {
    let server = serve(provider()).await;
    let place = place(&server);
    let done = rotate(&place, &[]);
    assert_eq!(
        (done.code, &*done.stdout, &*done.stderr),
        (
            0,
            "the new key of flash_01 is in force: env:GEMINI_KEY_flash_01\n\
             the provider accepts it; delete the old one there now\n",
            ""
        )
    );
    assert_eq!(place.read(".env"), rotated());
    assert_eq!(server.attempts().len(), 2, "once before and once after it was written");
    let keys: Vec<_> = server.attempts().into_iter().map(|attempt| attempt.key_id).collect();
    assert!(keys.iter().all(|key| key.as_deref() == Some("new")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_key_that_is_refused_at_first_is_waited_for() {
    let server = serve(provider().fault(Fault::new(FaultKind::KeyInvalid).key("new").times(2))).await;
    let place = place(&server);
    let done = rotate(&place, &["--json"]);
    assert_eq!(
        done.json(),
        json!({"key_id": "flash_01", "locator": "env:GEMINI_KEY_flash_01", "rotated": true, "in_force": "new",
            "probes": 4, "error": null})
    );
    assert_eq!(done.stderr.matches("refuses the new key so far").count(), 1, "{done:?}");
    assert_eq!(place.read(".env"), rotated());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_for_ever_is_not_written() {
    let server = serve(provider().fault(Fault::new(FaultKind::KeyInvalid).key("new"))).await;
    let place = place(&server);
    let run = rotate(&place, &["--patience", "100ms"]);
    // twice, or once if the machine was slow
    let asked = match server.attempts().len() {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    run.fails(
        1,
        &[
            "the provider does not accept the new key, nothing was written: 400 INVALID_ARGUMENT: API key not valid",
            &format!("(asked {asked} within 1 s)"),
            "\nthe old key of flash_01 is in force: env:GEMINI_KEY_flash_01",
        ],
    );
    assert_eq!(place.read(".env"), ENV);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_leaves_the_old_key() {
    let server = serve(provider()).await;
    let place = place(&server);
    std::fs::create_dir(place.path(".env.lock")).unwrap();
    let run = rotate(&place, &["--json"]);
    run.fails(
        1,
        &["the new key could not be written", "cannot lock .env.lock", "the old key of flash_01 is in force"],
    );
    let told = ended(&run);
    assert_eq!((&told["rotated"], &told["in_force"]), (&json!(false), &json!("old")));
    assert_eq!(place.read(".env"), ENV);
}

/// A rotation whose provider refuses the new key until `end_refusal`.
async fn waiting(server: &SimServer, place: &Place) -> Child {
    let child = place.start(&["secrets", "rotate", "flash_01", "--json"], NEW);
    let asked = async {
        while server.attempts().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("the provider is asked");
    child
}

fn refusing() -> Config {
    provider().fault(Fault::new(FaultKind::KeyInvalid).key("new"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_else_has_written_meanwhile_is_left_alone() {
    let server = serve(refusing()).await;
    let place = place(&server);
    let child = waiting(&server, &place).await;
    place.write(".env", &ENV.replace(OLD, THEIRS));
    server.clear_faults();
    let run = silent(child.wait_with_output().unwrap().into());
    run.fails(1, &["somebody else has changed the secret while the provider was asked; nothing was written"]);
    assert_eq!(ended(&run)["in_force"], "other");
    assert_eq!(place.read(".env"), ENV.replace(OLD, THEIRS));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_while_the_provider_is_asked_leaves_the_old_key_and_says_so() {
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let server = serve(refusing()).await;
        let place = place(&server);
        let child = waiting(&server, &place).await;
        assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
        let run = silent(child.wait_with_output().unwrap().into());
        run.fails(code, &["stopped: the old key of flash_01 is in force"]);
        assert_eq!((&ended(&run)["in_force"], &ended(&run)["error"]), (&json!("old"), &json!("stopped")));
        assert_eq!(place.read(".env"), ENV);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_key_of_an_entry_is_rotated_in_too() {
    let server = serve(provider()).await;
    let place = place(&server).file(".env", "A=1\n");
    assert_eq!(rotate(&place, &["--json"]).json()["in_force"], "new");
    assert_eq!(place.read(".env"), format!("A=1\nGEMINI_KEY_flash_01={NEW}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_is_there_already_is_no_new_one() {
    let server = serve(provider()).await;
    let place = place(&server).file(".env", &rotated());
    rotate(&place, &[])
        .fails(1, &["this is the key that the store holds already; make a new one at the provider"]);
    assert!(server.attempts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_quota_is_a_good_key() {
    let server = serve(
        provider().fault(Fault::new(FaultKind::QuotaBare).operation(gemini_sim::Operation::ListModels)),
    )
    .await;
    let place = place(&server);
    assert_eq!(rotate(&place, &["--json"]).json()["in_force"], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_another_provider_is_refused() {
    let server = serve(provider()).await;
    let keys = EXAMPLE.replace("\"provider\": \"gemini\"", "\"provider\": \"claude\"");
    let place = place(&server).file("keys.json", &keys);
    rotate(&place, &[]).fails(2, &["the provider of flash_01 is \"claude\"", "keyrot secrets put"]);
}
