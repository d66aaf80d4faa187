//! Who logs in, when, and what is said when that fails.

use keyrot_core::{SecretErrorKind, StoreTimeouts, Vars};
use keyrot_secrets_azure::{AzureConfig, AzureCredential, AzureStore, IdentityEndpoint};
use keyrot_test_servers::azure::{CLIENT, CLIENT_SECRET, TENANT, Trouble};
use keyrot_test_servers::free_port;

use crate::place::{Place, fetch};

fn application(client_id: &str, client_secret: &str) -> AzureCredential {
    let (tenant_id, client_id) = (TENANT.to_owned(), client_id.to_owned());
    AzureCredential::ClientSecret { tenant_id, client_id, client_secret: client_secret.into() }
}

fn machine(client_id: Option<&str>) -> AzureCredential {
    let client_id = client_id.map(str::to_owned);
    AzureCredential::ManagedIdentity { client_id, endpoint: IdentityEndpoint::Machine }
}

#[tokio::test]
async fn one_login_serves_many_reads() {
    let place = Place::new().await;
    place.azure.put("a", "sk-1").await;
    let before = place.azure.counts().await;
    let store = place.store(place.client_secret());
    assert_eq!(place.azure.counts().await, before, "a new store asks nobody");
    for _ in 0..3 {
        assert_eq!(fetch(&store, "a").await.unwrap(), "sk-1");
    }
    let after = place.azure.counts().await;
    assert_eq!((after.logins - before.logins, after.reads - before.reads), (1, 3));
}

#[tokio::test]
async fn a_token_that_the_vault_takes_no_more_is_replaced_within_the_read() {
    let place = Place::new().await;
    place.azure.put("a", "sk-1").await;
    for credential in [place.client_secret(), place.workload_identity(), place.managed_identity(None)] {
        let store = place.store(credential);
        fetch(&store, "a").await.unwrap();
        place.azure.trouble(&Trouble { tokens_forgotten: true, ..Trouble::default() }).await;
        let before = place.azure.counts().await.logins;
        assert_eq!(fetch(&store, "a").await.unwrap(), "sk-1");
        assert_eq!(place.azure.counts().await.logins, before + 1);
    }
}

#[tokio::test]
async fn a_machine_and_a_service_log_in_with_their_own_identity_or_a_named_one() {
    let place = Place::new().await;
    place.azure.put("a", "sk-1").await;
    let identities = [
        machine(None),
        machine(Some(CLIENT)),
        place.managed_identity(None),
        place.managed_identity(Some(CLIENT)),
    ];
    for credential in identities {
        assert_eq!(fetch(&place.store(credential), "a").await.unwrap(), "sk-1");
    }
    for credential in [machine(Some("nobody")), place.managed_identity(Some("nobody"))] {
        let error = fetch(&place.store(credential), "a").await.unwrap_err();
        assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
        assert!(error.to_string().contains("gives no token for nobody (HTTP 400)"), "{error}");
    }
}

#[tokio::test]
async fn without_any_variable_the_machine_is_asked_first_then_the_tools() {
    let place = Place::new().await;
    place.azure.put("a", "sk-1").await;
    let credential = AzureCredential::from_vars(&Vars::default()).unwrap();
    assert_eq!(fetch(&place.store(credential.clone()), "a").await.unwrap(), "sk-1");
    place.azure.trouble(&Trouble { login_refused: true, ..Trouble::default() }).await;
    let error = fetch(&place.store(credential), "a").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
    let text = error.to_string();
    for part in ["this machine has no managed identity, az ", ", azd ", "set AZURE_TENANT_ID"] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_refused_application_is_told_what_to_look_at() {
    let place = Place::new().await;
    let error = fetch(&place.store(application(CLIENT, "wrong-secret")), "a").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
    let text = error.to_string();
    for part in [&place.azure.named_authority(), "AADSTS7000215", "AZURE_CLIENT_SECRET is not a secret"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("wrong-secret"), "{text}");
}

#[tokio::test]
async fn a_login_that_nobody_serves_names_its_address() {
    let place = Place::new().await;
    let mut config = place.config(place.client_secret());
    let nobody = format!("https://localhost:{}", free_port());
    config.authority_host.clone_from(&nobody);
    let store = AzureStore::with_http(config, StoreTimeouts::default(), place.azure.client()).unwrap();
    let error = fetch(&store, "a").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unreachable);
    let text = format!("the login at {nobody} cannot be asked: the connection is refused");
    assert!(error.to_string().contains(&text), "{error}");
}

/// The way of the command: variables alone, a root certificate by `SSL_CERT_FILE`.
#[tokio::test]
async fn the_variables_are_enough() {
    let place = Place::new().await;
    place.azure.put("flash-01", "sk-1").await;
    let read = |without: &[&str]| {
        let variables = place.azure.variables().into_iter().filter(|(name, _)| !without.contains(name));
        let config = AzureConfig::from_vars(&variables.collect()).unwrap();
        AzureStore::new(config, StoreTimeouts::default()).unwrap()
    };
    assert_eq!(fetch(&read(&[]), "flash_01").await.unwrap(), "sk-1");

    let error = fetch(&read(&["AZURE_DISABLE_CHALLENGE_VERIFICATION"]), "flash_01").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unauthenticated);
    assert!(error.to_string().contains("set AZURE_DISABLE_CHALLENGE_VERIFICATION to true"), "{error}");

    let error = fetch(&read(&["SSL_CERT_FILE"]), "flash_01").await.unwrap_err();
    assert_eq!(error.kind(), SecretErrorKind::Unreachable);
    assert!(error.to_string().contains("not trusted; name the authority's by SSL_CERT_FILE"), "{error}");
}

#[tokio::test]
async fn nobody_gets_a_token_for_a_vault_that_asks_for_another_domain() {
    let place = Place::new().await;
    let mut config = place.config(place.client_secret());
    config.vault_url = place.azure.url();
    let store = AzureStore::with_http(config, StoreTimeouts::default(), place.azure.client()).unwrap();
    fetch(&store, "a").await.unwrap_err();
    assert_eq!(place.azure.counts().await.logins, 0);
}

#[tokio::test]
async fn files_that_cannot_be_read_are_named_when_the_store_is_made() {
    let place = Place::new().await;
    let refused =
        |config: AzureConfig| AzureStore::new(config, StoreTimeouts::default()).unwrap_err().to_string();

    let mut config = place.config(place.workload_identity());
    std::fs::remove_file(place.token_file()).unwrap();
    let error = refused(config.clone());
    assert!(error.contains("AZURE_FEDERATED_TOKEN_FILE") && error.contains("token: "), "{error}");

    config.credential = application(CLIENT, CLIENT_SECRET);
    config.root_certificates = Some("no-such-file.pem".into());
    let error = refused(config.clone());
    assert!(error.contains("SSL_CERT_FILE, no-such-file.pem: "), "{error}");

    config.root_certificates = Some(place.token_file());
    let error = refused(config);
    assert!(error.contains("holds no certificate in PEM form"), "{error}");
}
