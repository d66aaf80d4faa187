//! The command with `SECRET_STORE_TYPE=azure`: the guide's set-up by Microsoft's own client, and the way without it.

use std::time::Duration;

use keyrot_test_servers::azure::{Answer, CLIENT_SECRET, IDENTITY_HEADER, Trouble};
use keyrot_test_servers::{Azure, run_program, tool};
use keyrot_testkit::leak::assert_absent;
use serde_json::json;

use crate::place::{EXAMPLE, Place, provider, serve};
use crate::stores;

/// The library under the command `az`, logged in.
const LOGIN: &str = r#"
import os
from azure.core.exceptions import HttpResponseError
from azure.identity import ClientSecretCredential
from azure.keyvault.secrets import SecretClient

ca, tenant, client, secret = (os.environ[name] for name in
    ("SSL_CERT_FILE", "AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"))
login = ClientSecretCredential(tenant, client, secret, authority=os.environ["AZURE_AUTHORITY_HOST"],
    disable_instance_discovery=True, connection_verify=ca)
vault = SecretClient(os.environ["AZURE_VAULT_URL"], login, verify_challenge_resource=False, connection_verify=ca)
"#;

/// The guide's `az keyvault secret set`. It calls the secrets `flash_01` and `flash_02`, which the service refuses.
const SET_UP: &str = r#"
try:
    vault.set_secret("flash_01", "secret-of-flash-01")
except HttpResponseError as error:
    print(error.status_code)
vault.set_secret("flash-01", "secret-of-flash-01")
vault.set_secret("flash-02", "secret-of-flash-02")
"#;

const GENERATE: [&str; 3] = ["generate", "Buy when RSI < 30, sell when RSI > 70", "--no-verify"];

fn rotating() -> Place {
    Place::new()
        .file("keys.json", EXAMPLE)
        .set("ENABLE_KEY_ROTATION", "true")
        .set("SECRET_STORE_TYPE", "azure")
        .set("NO_PROXY", "localhost,127.0.0.1")
}

fn with(place: Place, variables: &[(&'static str, String)]) -> Place {
    variables.iter().fold(place, |place, (name, value)| place.set(name, value))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Microsoft's Python client: cargo xtask test"]
async fn what_the_guide_sets_up_is_enough_from_the_process_or_from_the_env_file() {
    let (azure, server) = (Azure::start().await, serve(provider()).await);
    let variables = azure.variables();
    let set: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let set_up = run_program(&tool("python"), ["-c", &format!("{LOGIN}{SET_UP}")], &set, "").await;
    assert_eq!(set_up.success(), "400", "flash_01 is no name for Key Vault");

    let by_process = with(rotating(), &variables).at(&server);
    let lines: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    let by_file = rotating().file(".env", &lines).at(&server);
    for place in [by_process, by_file] {
        let check = place.run(&["check"]);
        assert_eq!(check.code, 0, "{check:?}");
        assert!(check.stdout.contains("/secrets/flash-01"), "{check:?}");
        let run = place.run(&GENERATE);
        assert_eq!(run.code, 0, "{run:?}");
        assert!(run.stdout.contains("class RsiStrategy(Strategy):"), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_of_a_service_needs_no_secret() {
    let (azure, server) = (Azure::start().await, serve(provider()).await);
    azure.put("flash-01", "secret-of-flash-01").await;
    azure.put("flash-02", "secret-of-flash-02").await;
    let mut variables = azure.variables();
    variables.retain(|(name, _)| !name.starts_with("AZURE_CLIENT") && *name != "AZURE_TENANT_ID");
    variables.push(("IDENTITY_ENDPOINT", azure.identity_endpoint()));
    variables.push(("IDENTITY_HEADER", IDENTITY_HEADER.to_owned()));
    let run = with(rotating(), &variables).at(&server).run(&GENERATE);
    assert_eq!(run.code, 0, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_put_without_any_tool_of_microsofts() {
    let azure = Azure::start().await;
    let place = with(rotating(), &azure.variables());
    for (id, name) in [("flash_01", "flash-01"), ("flash_02", "flash-02")] {
        let put = place.run_with(&["secrets", "put", id], &format!("secret-of-{name}\n"));
        assert_eq!(put.code, 0, "{put:?}");
        assert!(put.stdout.contains(&format!("/secrets/{name}")), "{put:?}");
    }
    let check = place.run(&["check"]);
    assert_eq!(check.code, 0, "{check:?}");
}

#[test]
fn a_vault_that_is_not_configured_is_told_with_its_variables() {
    let place = rotating().set("AZURE_CLIENT_SECRET", CLIENT_SECRET);
    let run = place.run(&["check"]);
    assert_eq!(run.code, 2, "{run:?}");
    for name in ["AZURE_VAULT_URL is not set", "AZURE_TENANT_ID is not set", "AZURE_CLIENT_ID is not set"] {
        assert!(run.stdout.contains(name), "{run:?}");
    }
    assert_absent(&format!("{run:?}"), &[CLIENT_SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_start_without_the_vault_ends_in_time_and_names_it() {
    let azure = Azure::start().await;
    let variables = azure.variables();
    let place =
        std::sync::Arc::new(with(rotating(), &variables).set("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9"));
    let generate = || {
        let place = place.clone();
        let run = tokio::task::spawn_blocking(move || place.run(&GENERATE));
        tokio::time::timeout(Duration::from_secs(6), run)
    };
    let named = format!("azure:{}/secrets/flash-01", azure.url().trim_start_matches("https://"));
    azure.freeze().await;
    let frozen = generate().await.expect("within 6 s").unwrap();
    frozen.fails(2, &[&named, "no answer in time"]);
    azure.kill().await;
    let killed = generate().await.expect("within 6 s").unwrap();
    killed.fails(2, &[&named, "the connection is refused"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_a_secret_or_what_it_logs_in_with() {
    const SECRETS: [&str; 2] = ["AIzaSentinel-5c1f7d20", "AIzaSentinel-e04b97-new"];
    let (azure, server) = (Azure::start().await, serve(provider()).await);
    for name in ["flash-01", "flash-02"] {
        azure.put(name, SECRETS[0]).await;
    }
    let place = with(rotating(), &azure.variables()).at(&server);
    let place = place.set("RUST_LOG", "trace").set("RUST_BACKTRACE", "full");
    let unseen = [SECRETS[0], SECRETS[1], CLIENT_SECRET, "eyJ0b2tlbi-kbYdN7vQ"];
    let troubles = [
        Trouble::default(),
        Trouble { login_refused: true, ..Trouble::default() },
        Trouble { answer: Some(Answer::forbidden("ForbiddenByRbac")), ..Trouble::default() },
    ];
    for trouble in troubles {
        azure.trouble(&trouble).await;
        stores::says_none_of(&place, SECRETS[1], &unseen);
    }
    azure.kill().await;
    stores::says_none_of(&place, SECRETS[1], &unseen);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Microsoft's Python client: cargo xtask test"]
async fn a_key_in_azure_is_rotated_and_put_back_if_it_is_refused_then() {
    let (azure, server) = (Azure::start().await, stores::with_a_new_key().await);
    let variables = azure.variables();
    let set: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run_program(&tool("python"), ["-c", &format!("{LOGIN}{SET_UP}")], &set, "").await.success();
    let show = format!("{LOGIN}print(vault.get_secret(\"flash-01\").value)");
    let stored = async || run_program(&tool("python"), ["-c", &show], &set, "").await.success();
    stores::rotates(&with(rotating(), &variables).at(&server), &server, stored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_azure_has_held_for_years_is_old() {
    let version = json!({"version": "41cce6796d81438f9dad0d96bf85d50d", "value": "secret-of-flash-01",
        "created": 1_668_124_872, "enabled": true, "content_type": null});
    let azure = Azure::start_with(&json!({"flash-01": [version]})).await;
    azure.put("flash-02", "secret-of-flash-02").await;
    let check = with(rotating(), &azure.variables()).run(&["check"]);
    assert_eq!(check.code, 0, "a warning is no error: {check:?}");
    assert_eq!(check.stdout.matches("days old; it should be replaced every 90").count(), 1, "{check:?}");
    assert!(check.stdout.contains("keyrot secrets rotate flash_01"), "{check:?}");
}
