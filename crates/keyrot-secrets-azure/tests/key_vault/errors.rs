//! Every error that docs/backends.md lists is provoked, and nothing that is said or logged shows a secret.

use std::collections::BTreeSet;
use std::time::Duration;

use keyrot_core::{SecretError, SecretErrorKind, SecretStore, SecretWriter, StoreTimeouts, Vars};
use keyrot_secrets_azure::{AzureConfig, AzureCredential, AzureStore};
use keyrot_test_servers::azure::{Answer, CLIENT_SECRET, FEDERATED_TOKEN, IDENTITY_HEADER, Trouble};
use keyrot_test_servers::free_port;

use crate::place::{Place, fetch, key};

/// In a vault, in the body of each write, and in what comes back.
pub(crate) const SENTINEL: &str = "AIzaSentinel-9f2c7b51e04d8a36";

/// What stores log in with, and what they get for it.
pub(crate) const CREDENTIALS: [&str; 5] =
    [CLIENT_SECRET, FEDERATED_TOKEN, IDENTITY_HEADER, "wrong~secret~0a1b2c3d", "eyJ0b2tlbi-kbYdN7vQ"];

/// The rows of the table: what is said, and the kind.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../../docs/backends.md");
    let section = page.split("### Troubleshooting Azure").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (said, rest) = row.split_once("` | ").unwrap();
        (said.to_owned(), rest.split(" | ").next().unwrap().to_owned())
    })
    .collect()
}

fn word(kind: SecretErrorKind) -> String {
    let camel = format!("{kind:?}");
    let split =
        camel.chars().map(|c| if c.is_uppercase() { format!(" {}", c.to_lowercase()) } else { c.into() });
    split.collect::<String>().trim().to_owned()
}

async fn error(store: &AzureStore) -> SecretError {
    fetch(store, "flash_01").await.unwrap_err()
}

/// What the secret and the vault give.
async fn of_the_vault(place: &Place) -> Vec<SecretError> {
    let (azure, store) = (&place.azure, &place.store(place.client_secret()));
    let mut errors = vec![error(store).await];
    azure.put("flash-01", " ").await;
    errors.push(error(store).await);
    azure.put_as("flash-01", SENTINEL, "application/x-pkcs12").await;
    errors.push(error(store).await);
    azure.put("flash-01", SENTINEL).await;
    fetch(store, "flash_01").await.unwrap();
    azure.enable("flash-01", false).await;
    errors.push(error(store).await);
    azure.enable("flash-01", true).await;
    let answer = |status, code: &str| {
        let code = code.to_owned();
        Answer { status, code, inner: None, retry_after: Some(60) }
    };
    let answers = [
        Answer::forbidden("ForbiddenByRbac"),
        Answer::forbidden("ForbiddenByFirewall"),
        answer(401, "Unauthorized"),
        answer(404, ""),
        answer(429, "Throttled"),
        answer(503, "InternalServerError"),
    ];
    for answer in answers {
        azure.trouble(&Trouble { answer: Some(answer), ..Trouble::default() }).await;
        errors.push(error(store).await);
        errors.push(store.put(&key("flash_01"), &SENTINEL.into()).await.unwrap_err());
        errors.push(store.written_at(&key("flash_01")).await.unwrap_err());
    }
    azure.trouble(&Trouble::default()).await;
    errors
}

/// What logging in gives.
async fn of_the_login(place: &Place) -> Vec<SecretError> {
    let refused = Trouble { login_refused: true, ..Trouble::default() };
    place.azure.trouble(&refused).await;
    let nothing_set = AzureCredential::from_vars(&Vars::default()).unwrap();
    let mut errors = Vec::new();
    let credentials =
        [place.client_secret(), place.workload_identity(), place.managed_identity(None), nothing_set];
    for credential in credentials {
        errors.push(error(&place.store(credential)).await);
    }
    place.azure.trouble(&Trouble::default()).await;
    let mut wrong = place.client_secret();
    if let AzureCredential::ClientSecret { client_secret, .. } = &mut wrong {
        *client_secret = CREDENTIALS[3].into();
    }
    errors.push(error(&place.store(wrong)).await);
    errors
}

/// What the way there gives.
async fn of_the_way(place: &Place) -> Vec<SecretError> {
    let config = |vault_url: &str| {
        let vault_url = vault_url.to_owned();
        AzureConfig { vault_url, ..place.config(place.client_secret()) }
    };
    let with =
        |config: AzureConfig, http| AzureStore::with_http(config, StoreTimeouts::default(), http).unwrap();
    let trusted = || place.azure.client();
    let mut errors = Vec::new();
    let nobody = format!("https://localhost:{}", free_port());
    for url in [place.azure.url(), nobody, "https://no-such-host.invalid".to_owned()] {
        errors.push(error(&with(config(&url), trusted())).await);
    }
    errors.push(error(&AzureStore::new(config(&place.azure.url()), StoreTimeouts::default()).unwrap()).await);
    let url = place.azure.named_url().replace("myvault", "other");
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    let certificate = std::fs::read(place.azure.root_certificate()).unwrap();
    let misled = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&certificate).unwrap()])
        .resolve("other.vault.azure.net", ([127, 0, 0, 1], port).into());
    errors.push(error(&with(config(&url), misled.build().unwrap())).await);

    place.azure.freeze().await;
    let timeouts = |connect, total| StoreTimeouts {
        connect: Duration::from_millis(connect),
        total: Duration::from_millis(total),
    };
    for timeouts in [timeouts(200, 5000), timeouts(5000, 300)] {
        errors.push(error(&AzureStore::new(config(&place.azure.url()), timeouts).unwrap()).await);
    }
    errors
}

pub(crate) async fn provoked() -> Vec<SecretError> {
    let place = Place::new().await;
    let mut errors = of_the_vault(&place).await;
    errors.extend(of_the_login(&place).await);
    errors.extend(of_the_way(&place).await);
    errors
}

#[tokio::test]
async fn the_table_of_the_documentation_is_what_is_said() {
    let errors = provoked().await;
    let documented = documented();
    for (said, kind) in &documented {
        let found: BTreeSet<String> = errors
            .iter()
            .filter(|error| error.to_string().contains(said))
            .map(|error| word(error.kind()))
            .collect();
        assert_eq!(found, BTreeSet::from([kind.clone()]), "{said}\n{errors:#?}");
    }
    for error in &errors {
        let text = error.to_string();
        assert!(documented.iter().any(|(said, _)| text.contains(said)), "not in the table: {text}");
        assert!(text.contains("; to look at it: az keyvault secret show --"), "{text}");
    }
}
