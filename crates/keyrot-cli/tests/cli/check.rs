//! `keyrot check`.

use gemini_sim::{Fault, FaultKind};
use serde_json::json;

use crate::place::{Place, provider, serve};

#[test]
fn the_guides_keys_are_fine() {
    let run = Place::rotating().run(&["check"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("all is well") && !run.stdout.contains("warning"), "{run:?}");
    let json = Place::rotating().run(&["check", "--json"]).json();
    assert_eq!(json!([json["ok"], json["warnings"].as_array().unwrap().len()]), json!([true, 0]));
    assert_eq!(json["keys"][0]["secret"], "env:GEMINI_KEY_flash_01");
    assert_eq!(
        json["keys"][2]["secret_found"],
        serde_json::Value::Null,
        "an inactive key's secret is not read"
    );
}

#[test]
fn a_single_key_is_fine_too() {
    let json = Place::new().set("GEMINI_API_KEY", "x").run(&["check", "--json"]).json();
    assert_eq!(json!([json["rotation"], json["keys"][0]["secret"]]), json!([false, "env:GEMINI_API_KEY"]));
}

#[test]
fn problems_of_the_configuration_are_2_and_part_of_the_result() {
    let place = Place::rotating().file("keys.json", "{ broken").set("SECRET_STORE_TYPE", "valut");
    let run = place.run(&["check", "--json"]);
    assert_eq!(run.code, 2, "{run:?}");
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json!([json["ok"], json["problems"].as_array().unwrap().len()]), json!([false, 2]), "{json}");
    assert!(run.stderr.is_empty(), "{run:?}");
}

#[test]
fn a_missing_secret_is_found() {
    let run = Place::rotating().set("GEMINI_KEY_flash_02", "").run(&["check"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stdout.contains("problem: key flash_02 has no secret: env:GEMINI_KEY_flash_02"), "{run:?}");
}

#[test]
fn one_secret_under_two_ids_is_found_and_not_shown() {
    let place = Place::rotating()
        .set("GEMINI_KEY_flash_01", "sentinel-4f7a9c")
        .set("GEMINI_KEY_flash_02", "sentinel-4f7a9c");
    let run = place.run(&["check"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stdout.contains("flash_01 and flash_02 have the same secret"), "{run:?}");
    assert!(!run.stdout.contains("sentinel") && !run.stderr.contains("sentinel"), "{run:?}");
}

#[test]
fn siblings_are_warned_of_their_common_quota() {
    let place = Place::rotating();
    for id in ["flash_01", "flash_02"] {
        assert_eq!(place.run(&["keys", "set", id, "--project", "mine"]).code, 0);
    }
    assert_eq!(place.run(&["keys", "set", "flash_02", "--rpm", "10"]).code, 0);
    let run = place.run(&["check"]);
    assert_eq!(run.code, 0, "a warning is no problem: {run:?}");
    assert!(
        run.stdout.contains("share one quota for gemini-2.5-flash: rpm 10, tpm 1000000, rpd 500 in all"),
        "{run:?}"
    );
    assert!(run.stdout.contains("of which the lowest apply"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_the_provider_with_each_active_key() {
    let server = serve(provider()).await;
    let run = Place::rotating().at(&server).run(&["check", "--probe", "--json"]);
    let json = run.json();
    for key in [0, 1] {
        assert_eq!(json["keys"][key]["probe"]["ok"], true, "{json}");
        assert!(json["keys"][key]["probe"]["models"].as_u64().unwrap() > 0, "{json}");
    }
    assert_eq!(json["keys"][2]["probe"], serde_json::Value::Null);
    let asked: Vec<String> =
        server.attempts().iter().map(|call| call.key_id.as_deref().unwrap().to_owned()).collect();
    assert_eq!(asked.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_1_and_no_working_key_3() {
    let server = serve(provider().fault(Fault::new(FaultKind::KeyLeaked).key("flash_01"))).await;
    let run = Place::rotating().at(&server).run(&["check", "--probe"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.stdout.contains("refused: key flash_01") && run.stdout.contains("leaked"), "{run:?}");
    server.add_fault(Fault::new(FaultKind::KeyInvalid).key("flash_02")).unwrap();
    assert_eq!(Place::rotating().at(&server).run(&["check", "--probe"]).code, 3);
}
