//! The double of Key Vault is what it says: like recordings of the real one, and good enough for Microsoft's own client.

use std::time::Duration;

use keyrot_test_servers::azure::{CLIENT, CLIENT_SECRET, FEDERATED_TOKEN, IDENTITY_HEADER, TENANT};
use keyrot_test_servers::{Azure, new_home, run_program, tool};
use serde_json::json;

#[tokio::test]
#[ignore = "needs Microsoft's Python clients: cargo xtask test"]
async fn azure_is_what_was_recorded_and_what_the_vendors_client_reads() {
    let version = |value, enabled| {
        let name = "41cce6796d81438f9dad0d96bf85d50d";
        json!([{"version": name, "value": value, "created": 1_668_124_872, "enabled": enabled, "content_type": null}])
    };
    let secrets = json!({"recorded": version("SECRET_VALUE", true), "switched-off": version("x", false)});
    let azure = Azure::start_with(&secrets).await;
    let home = new_home();
    let token_file = home.path().join("token");
    std::fs::write(&token_file, FEDERATED_TOKEN).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/");
    let arguments = [
        format!("{folder}azure_clients.py"),
        format!("{folder}azure-keyvault-exchanges.json"),
        azure.url().trim_start_matches("https://").to_owned(),
        azure.beside(),
        azure.root_certificate().display().to_string(),
        token_file.display().to_string(),
    ];
    let endpoint = azure.identity_endpoint();
    let variables = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
        ("IDENTITY_ENDPOINT", &endpoint),
        ("IDENTITY_HEADER", IDENTITY_HEADER),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    let ended = run_program(&tool("python"), arguments, &variables, "").await;
    assert_eq!(ended.success(), "recorded\napplication\nidentities");
}

/// What is ours is small enough to be read against the documentation.
#[test]
fn azure_has_a_double_of_at_most_300_lines() {
    assert!(include_str!("../src/azure_double.rs").lines().count() <= 300);
}

/// Whoever does not trust the certificate goes away in the middle of a handshake, and holds up nobody.
#[tokio::test]
async fn azure_serves_on_after_clients_that_do_not_trust_it() {
    let azure = Azure::start().await;
    let stranger = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let ask = |client: &reqwest::Client, url: String| client.get(format!("{url}/secrets/flash-01/")).send();
    for _ in 0..8 {
        let strangers: Vec<_> = (0..8).map(|_| tokio::spawn(ask(&stranger, azure.url()))).collect();
        for request in strangers {
            assert!(request.await.unwrap().is_err());
        }
        let friend = ask(&azure.client(), azure.named_url());
        let answered = tokio::time::timeout(Duration::from_secs(10), friend).await;
        assert_eq!(answered.expect("an answer in time").unwrap().status(), 401);
    }
}

#[tokio::test]
async fn azure_keeps_its_secrets_and_forgets_its_tokens_when_it_is_started_again() {
    let azure = Azure::start().await;
    azure.put("flash-01", "sk-1").await;
    let before = azure.counts().await;
    assert_eq!((before.vault, before.reads, before.logins), (1, 0, 1));
    azure.restart().await;
    assert_eq!(azure.counts().await.logins, 0);
    azure.enable("FLASH-01", false).await;
}
