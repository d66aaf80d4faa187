//! The double of Key Vault is what it says: like recordings of the real one, and good enough for Microsoft's own client.

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
