//! `keyrot secrets put`: where the value comes from, where it goes, and what is refused before it is asked for.

use serde_json::json;

use crate::place::{EXAMPLE, Place, Run};

const NEW: &str = "AIzaSentinel-new-5d1f";

fn place() -> Place {
    Place::new().file("keys.json", EXAMPLE)
}

/// Nobody is told the value.
fn silent(run: Run) -> Run {
    assert!(!format!("{run:?}").contains("Sentinel"), "{run:?}");
    run
}

fn put(place: &Place, id: &str, value: &str) -> Run {
    silent(place.run_with(&["secrets", "put", id], value))
}

#[test]
fn a_piped_key_goes_into_the_env_file_trimmed() {
    let place = place().file(".env", "# ours\nGEMINI_KEY_flash_01=old # of May\nA=1\n");
    let done = put(&place, "flash_01", &format!(" {NEW}\r\n"));
    assert_eq!((done.code, &*done.stderr), (0, ""), "{done:?}");
    assert_eq!(done.stdout, "the secret of flash_01 was written: env:GEMINI_KEY_flash_01\n");
    assert_eq!(place.read(".env"), format!("# ours\nGEMINI_KEY_flash_01={NEW} # of May\nA=1\n"));
    let done = place.run_with(&["secrets", "put", "flash_02", "--json"], NEW);
    assert_eq!(
        done.json(),
        json!({"key_id": "flash_02", "locator": "env:GEMINI_KEY_flash_02", "verified": true})
    );
    assert!(place.read(".env").ends_with(&format!("A=1\nGEMINI_KEY_flash_02={NEW}\n")));
    assert_eq!(place.run(&["explain", "--rotation", "on"]).code, 0, "what was written is used");
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_and_another_one_is_followed() {
    use std::os::unix::fs::PermissionsExt;
    let place = place().set("KEYROT_ENV_FILE", "my.env").file("my.env", "");
    assert_eq!(put(&place, "flash_01", NEW).code, 0);
    assert_eq!(place.read("my.env"), format!("GEMINI_KEY_flash_01={NEW}\n"));
    let place = self::place();
    assert_eq!(put(&place, "flash_01", NEW).code, 0);
    assert_eq!(std::fs::metadata(place.path(".env")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_empty_or_broken_key_is_refused() {
    let place = place();
    for (value, said) in [
        ("", "the API key is empty; type it when you are asked, or write it to standard input"),
        (" \r\n", "is empty"),
        ("Sentinel one\n", "holds white space"),
        ("Sentinel\nSentinel\n", "holds white space"),
    ] {
        let run = put(&place, "flash_01", value);
        run.fails(2, &[said]);
        assert!(run.stdout.is_empty());
    }
    assert!(!place.path(".env").exists());
}

#[test]
fn an_unknown_id_is_refused_with_the_nearest_first() {
    let run = put(&place(), "flsh_02", NEW);
    run.fails(2, &["keys.json has no key \"flsh_02\"; it has flash_02, flash_01"]);
    put(&Place::new(), "flash_01", NEW).fails(2, &["keys.json does not exist"]);
}

#[test]
fn a_value_is_never_an_argument() {
    let run = place().run_with(&["secrets", "put", "flash_01", "value"], "");
    run.fails(2, &["unexpected argument"]);
}

#[test]
fn a_variable_of_the_process_is_told_before_the_key_is_asked_for() {
    let place = place().file(".env", "A=1\n").set("GEMINI_KEY_flash_01", "AIzaSentinel-process");
    for command in ["put", "rotate"] {
        let run = silent(place.run(&["secrets", command, "flash_01"]));
        run.fails(2, &["GEMINI_KEY_flash_01 is a variable of the process, which wins over .env"]);
    }
    assert_eq!(place.read(".env"), "A=1\n");
}

#[test]
fn names_that_lead_to_one_variable_are_refused() {
    let keys = r#"{"keys": [{"key_id": "a.1", "model_name": "m"}, {"key_id": "a_1", "model_name": "m"}]}"#;
    let place = Place::new().file("keys.json", keys);
    put(&place, "a_1", NEW).fails(2, &["both take their secret from GEMINI_KEY_a_1"]);
}

#[test]
fn a_store_that_this_build_leaves_out_is_told() {
    let place = place().set("SECRET_STORE_TYPE", "nowhere");
    put(&place, "flash_01", NEW).fails(2, &["SECRET_STORE_TYPE is \"nowhere\"; allowed: env, vault"]);
}

#[test]
fn a_failed_write_is_told() {
    let place = place().file(".env", "GEMINI_KEY_flash_01=old\n");
    std::fs::create_dir(place.path(".env.lock")).unwrap();
    put(&place, "flash_01", NEW).fails(1, &["the secret was not written", "cannot lock .env.lock"]);
    assert_eq!(place.read(".env"), "GEMINI_KEY_flash_01=old\n");
}
