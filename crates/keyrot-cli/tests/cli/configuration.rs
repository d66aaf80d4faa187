//! Variables, files and flags that are wrong, and which of them win.

use crate::place::{EXAMPLE, Place, provider, serve};

#[test]
fn no_key_at_all_is_2_and_names_both_variables() {
    Place::new().run(&["generate", "x"]).fails(
        2,
        &["No API keys available for selection", "GEMINI_API_KEY", "GOOGLE_API_KEY", "ENABLE_KEY_ROTATION"],
    );
}

#[test]
fn rotation_without_a_file_says_how_to_make_one() {
    let place = Place::new().set("ENABLE_KEY_ROTATION", "true").set("GEMINI_API_KEY", "x");
    place.run(&["generate", "x"]).fails(2, &["keys.json", "cp keys_example.json keys.json"]);
    let off = Place::new().set("GEMINI_API_KEY", "x");
    off.run(&["generate", "x", "--rotation", "on"]).fails(2, &["cp keys_example.json keys.json"]);
}

#[test]
fn rotation_without_any_secret_names_each_variable_that_was_looked_for() {
    let place = Place::new().file("keys.json", EXAMPLE).set("ENABLE_KEY_ROTATION", "true");
    place
        .run(&["generate", "x"])
        .fails(2, &["No API keys available for selection", "GEMINI_KEY_flash_01", "GEMINI_KEY_flash_02"]);
}

#[test]
fn a_broken_file_names_every_problem() {
    let broken = r#"{"keys": [{"key_id": "a b", "model_name": "m"}, {"key_id": "c", "rpm": "many"}]}"#;
    let place = Place::rotating().file("keys.json", broken);
    for command in [&["generate", "x"][..], &["status"], &["explain"], &["keys", "list"]] {
        place.run(command).fails(2, &["keys.json", "key_id", "model_name", "rpm"]);
    }
}

#[test]
fn slips_in_variables_are_named_with_what_was_meant() {
    let place = Place::new().set("GEMINI_API_KEY", "x").set("KEYROT_MODLE", "y").set("RUST_LOG", "==");
    place.run(&["status"]).fails(2, &["RUST_LOG"]);
    place.set("RUST_LOG", "warn").run(&["status"]).fails(2, &["KEYROT_MODLE", "did you mean KEYROT_MODEL?"]);
    let flag = Place::new().set("ENABLE_KEY_ROTATION", "ture");
    flag.run(&["status"]).fails(2, &["ENABLE_KEY_ROTATION", "ture", "true or false"]);
}

#[test]
fn an_unknown_store_and_one_that_is_not_configured_are_told_apart() {
    Place::rotating()
        .set("SECRET_STORE_TYPE", "valut")
        .run(&["status"])
        .fails(2, &["valut", "env, vault, aws or azure"]);
    Place::rotating()
        .set("SECRET_STORE_TYPE", "vault")
        .run(&["status"])
        .fails(2, &["VAULT_ADDR", "VAULT_TOKEN"]);
}

#[test]
fn a_bad_line_of_the_env_file_is_named_by_number_and_not_shown() {
    let place = Place::new().file(".env", "GEMINI_API_KEY=x\nsentinel-9f3b\n");
    let run = place.run(&["status"]);
    run.fails(2, &[".env: line 2"]);
    assert!(!run.stderr.contains("sentinel"), "{run:?}");
}

#[test]
fn env_files_are_named_by_flag_before_variable_before_default() {
    let place = Place::new()
        .file(".env", "KEYROT_MODEL=from-default\nGEMINI_API_KEY=x\n")
        .file("variable.env", "KEYROT_MODEL=from-variable\nGEMINI_API_KEY=x\n")
        .file("flag.env", "KEYROT_MODEL=from-flag\nGEMINI_API_KEY=x\n");
    let model = |place: &Place, arguments: &[&str]| {
        place.run(arguments).json()["keys"]["default"]["model"].as_str().unwrap().to_owned()
    };
    assert_eq!(model(&place, &["status", "--json"]), "from-default");
    let place = place.set("KEYROT_ENV_FILE", "variable.env");
    assert_eq!(model(&place, &["status", "--json"]), "from-variable");
    assert_eq!(model(&place, &["status", "--json", "--env-file", "flag.env"]), "from-flag");
    let place = place.set("KEYROT_MODEL", "from-process");
    assert_eq!(model(&place, &["--env-file", "flag.env", "status", "--json"]), "from-process");
    place.run(&["status", "--env-file", "none.env"]).fails(2, &["none.env"]);
}

#[test]
fn the_keys_file_is_named_by_flag_before_variable() {
    let file = |id: &str| format!(r#"{{"keys": [{{"key_id": "{id}", "model_name": "m"}}]}}"#);
    let place = Place::new()
        .file("variable.json", &file("variable"))
        .file("flag.json", &file("flag"))
        .set("KEYROT_KEYS_FILE", "variable.json");
    let listed =
        |arguments: &[&str]| place.run(arguments).json()["keys"][0]["key_id"].as_str().unwrap().to_owned();
    assert_eq!(listed(&["keys", "list", "--json"]), "variable");
    assert_eq!(listed(&["keys", "list", "--json", "--keys-file", "flag.json"]), "flag");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_flag_wins_over_the_variable_in_both_directions() {
    let server = serve(provider()).await;
    let place = Place::rotating().set("GEMINI_API_KEY", "secret-of-single").at(&server);
    let key = |arguments: &[&str]| place.run(arguments).json()["key_id"].as_str().unwrap().to_owned();
    assert_eq!(key(&["generate", "x", "--json", "--rotation", "off"]), "default");
    let place = place.set("ENABLE_KEY_ROTATION", "false");
    let key = |arguments: &[&str]| place.run(arguments).json()["key_id"].as_str().unwrap().to_owned();
    assert_eq!(key(&["generate", "x", "--json"]), "default");
    assert!(key(&["generate", "x", "--json", "--rotation", "on"]).starts_with("flash_0"));
}

#[test]
fn google_api_key_is_second_with_one_warning_if_it_differs() {
    let place = Place::new().set("GEMINI_API_KEY", "a").set("GOOGLE_API_KEY", "b");
    let run = place.run(&["status"]);
    assert_eq!((run.code, run.stderr.matches("warning").count()), (0, 1), "{run:?}");
    assert!(Place::new().set("GOOGLE_API_KEY", "b").run(&["status"]).stderr.matches("warning").count() == 0);
}

#[test]
fn colour_is_for_terminals_only() {
    let run = Place::rotating().run(&["status"]);
    assert!(!run.stdout.contains('\u{1b}') && !run.stderr.contains('\u{1b}'), "{run:?}");
}
