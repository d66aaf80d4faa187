//! Every error that docs/backends.md lists is provoked, and nothing else is said; no secret is in any of it, nor in the
//! log at its finest level.

use std::fs;
use std::path::Path;
use std::time::Duration;

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{SecretError, SecretErrorKind, SecretStore, SecretWriter, StoreTimeouts, Vars};
use keyrot_secrets_aws::{AwsConfig, AwsStore};
use keyrot_test_servers::{Certificates, Microburst, Moto, Process, free_port, tool};
use keyrot_testkit::Captured;
use keyrot_testkit::leak::assert_absent;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::api::{SECRET, ask, key, write};

/// What is put by the store, what signs, and what goes with it.
const WRITTEN: &str = "AQ.Written-41c8e0d7b6a92f35";
const SIGNS: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYzz";
const SESSION: &str = "IQoJb3JpZ2luX2VjEJ7-90210";

/// The rows of the table: what is said, and the kind.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../../../docs/backends.md");
    let section = page.split("### Troubleshooting AWS").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (said, rest) = row.split_once("` | ").unwrap();
        (said.to_owned(), rest.split(" | ").next().unwrap().to_owned())
    })
    .collect()
}

fn word(kind: SecretErrorKind) -> String {
    // WrongShape: wrong shape
    let word = format!("{kind:?}");
    let spaced = word.chars().flat_map(|c| if c.is_ascii_uppercase() { vec![' ', c] } else { vec![c] });
    spaced.collect::<String>().trim().to_ascii_lowercase()
}

/// A store with this credential, unless `more` says otherwise, in a home of its own.
fn store(url: &str, home: &Path, more: &[(&str, &str)], total: Duration) -> AwsStore {
    let more: Vars = more.iter().copied().collect();
    let usual = Vars::from_iter([
        ("AWS_ENDPOINT_URL", url),
        ("HOME", home.to_str().unwrap()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ACCESS_KEY_ID", "AKIATEST"),
        ("AWS_SECRET_ACCESS_KEY", SIGNS),
        ("AWS_SESSION_TOKEN", SESSION),
    ]);
    let timeouts = StoreTimeouts { total, ..StoreTimeouts::default() };
    AwsStore::new(AwsConfig::from_vars(&more.over(usual)).unwrap(), timeouts).unwrap()
}

async fn error(store: &AwsStore) -> SecretError {
    store.fetch(&key("flash_01")).await.unwrap_err()
}

/// What the state of the secret gives.
async fn of_the_secret(moto: &Moto, store: &AwsStore) -> Vec<SecretError> {
    let mut errors = vec![error(store).await];
    for text in [
        " ",
        r#"{"value": ""}"#,
        r#"{"password": "AIzaSentinel-7d1f0c52e98b4a63", "user": "me"}"#,
        r#"{"value": {"AIzaSentinel-7d1f0c52e98b4a63": 1}}"#,
        r#"{"value": "AIzaSentinel-7d1f0c52e98b4a63""#,
        r#"["AIzaSentinel-7d1f0c52e98b4a63"]"#,
    ] {
        write(moto.url(), "algoagent/flash_01", text).await;
        errors.push(error(store).await);
    }
    let bytes = json!({"SecretId": "algoagent/flash_01", "SecretBinary": "//79"});
    ask(moto.url(), "PutSecretValue", bytes).await;
    errors.push(error(store).await);
    let window = json!({"SecretId": "algoagent/flash_01", "RecoveryWindowInDays": 7});
    ask(moto.url(), "DeleteSecret", window).await;
    errors.push(error(store).await);
    ask(moto.url(), "RestoreSecret", json!({"SecretId": "algoagent/flash_01"})).await;
    store.put(&key("flash_01"), &SecretString::from(WRITTEN)).await.unwrap();
    assert_eq!(store.fetch(&key("flash_01")).await.unwrap().expose_secret(), WRITTEN);
    write(moto.url(), "algoagent/flash_01", SECRET).await;
    errors
}

/// What AWS answers when it does not want to; its own words hold what they must not show.
async fn of_aws(moto: &Moto, home: &Path) -> Vec<SecretError> {
    let proxy = Microburst::before(moto).await;
    let store = store(proxy.url(), home, &[], Duration::from_secs(5));
    let mut errors = Vec::new();
    for code in [
        "InvalidParameterException",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "ThrottlingException",
        "InternalServiceError",
        "DecryptionFailure",
    ] {
        proxy.clear().await;
        let message = format!("said by the server: {SESSION} {SECRET}");
        let rule = json!({"service": "secretsmanager", "error": {"code": code, "message": message}});
        proxy.add_rule(&rule).await;
        errors.push(error(&store).await);
        let put = store.put(&key("flash_01"), &SecretString::from(WRITTEN)).await.unwrap_err();
        assert_eq!(put.kind(), errors.last().unwrap().kind());
        assert_absent(&format!("{put} {put:?}"), &[SECRET, SESSION, WRITTEN, SIGNS]);
    }
    errors
}

/// What the search for a credential gives.
async fn of_the_credential(moto: &Moto, home: &Path) -> Vec<SecretError> {
    let total = Duration::from_secs(5);
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_SESSION_TOKEN", "")];
    let without = |more: &[(&'static str, &str)], total| {
        let all: Vec<_> = nobody.iter().chain(more).copied().collect();
        store(moto.url(), home, &all, total)
    };
    let mut errors = vec![error(&without(&[], total)).await];
    let files = home.join("profiles");
    let file = ("AWS_SHARED_CREDENTIALS_FILE", files.to_str().unwrap());
    fs::write(
        &files,
        format!(
            "[work]\naws_access_key_id = A\naws_secret_access_key = {SIGNS}\n[home]\nregion = eu-west-1\n\
             [circle]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = circle2\n\
             [circle2]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = circle\n\
             [sso]\nsso_session = corp\n[process]\ncredential_process = echo {SIGNS} >&2; exit 1\n"
        ),
    )
    .unwrap();
    for profile in ["circle", "sso", "process"] {
        errors.push(error(&without(&[file, ("AWS_PROFILE", profile)], total)).await);
    }
    let two = home.join("two");
    fs::write(&two, "[work]\n[home]\n").unwrap();
    let file = ("AWS_SHARED_CREDENTIALS_FILE", two.to_str().unwrap());
    errors.push(error(&without(&[file, ("AWS_PROFILE", "wrok")], total)).await);
    let broken = home.join("broken");
    fs::write(&broken, format!("[default\naws_secret_access_key = {SIGNS}\n")).unwrap();
    errors.push(error(&without(&[("AWS_CONFIG_FILE", broken.to_str().unwrap())], total)).await);

    // The instance's address takes connections, and nobody answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let instance =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str())];
    errors.push(error(&without(&instance, Duration::from_millis(800))).await);
    errors
}

/// What the way to the server gives.
async fn of_the_way(moto: &mut Moto, home: &Path) -> Vec<SecretError> {
    let total = Duration::from_secs(5);
    let mut errors = vec![error(&store(&format!("{}/moto-api", moto.url()), home, &[], total)).await];
    errors.push(error(&store(&moto.url().replace("http:", "https:"), home, &[], total)).await);
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    errors.push(error(&store(&nowhere, home, &[], total)).await);

    let (certificates, port) = (Certificates::make(), free_port().to_string());
    let (certificate, private) = (certificates.server_certificate(), certificates.server_key());
    let files = ["-c", certificate.to_str().unwrap(), "-k", private.to_str().unwrap()];
    let arguments = ["-H", "127.0.0.1", "-p", &port].into_iter().chain(files);
    let mut with_tls = Process::spawn(&tool("moto_server"), arguments, &[]);
    let address = format!("127.0.0.1:{port}");
    with_tls.wait_until_ready(async || std::net::TcpStream::connect(&address).is_ok()).await;
    errors.push(error(&store(&format!("https://{address}"), home, &[], total)).await);

    moto.process().freeze();
    errors.push(error(&store(moto.url(), home, &[], total)).await);
    moto.process().thaw();
    errors
}

#[tokio::test]
#[ignore = "needs moto and microburst: cargo xtask test"]
async fn every_documented_error_is_provoked_and_no_other_and_none_shows_a_secret() {
    let captured = Captured::begin();
    let home = TempDir::new().unwrap();
    let mut moto = Moto::start().await;
    let mut errors = of_the_secret(&moto, &store(moto.url(), home.path(), &[], Duration::from_secs(5))).await;
    errors.extend(of_aws(&moto, home.path()).await);
    errors.extend(of_the_credential(&moto, home.path()).await);
    errors.extend(of_the_way(&mut moto, home.path()).await);
    let secrets = [SECRET, WRITTEN, SIGNS, SESSION];
    let mut documented = documented();
    for error in errors {
        let text = error.to_string();
        let row = documented.iter().position(|(said, _)| text.contains(said));
        let (said, kind) =
            documented.remove(row.unwrap_or_else(|| panic!("no row has this, or it came twice: {text}")));
        assert_eq!(kind, word(error.kind()), "{said}");
        assert!(text.starts_with("aws:algoagent/flash_01: "), "{text}");
        let look = "look with `aws secretsmanager get-secret-value --secret-id algoagent/flash_01 --region ";
        assert!(text.contains(look), "{text}");
        assert!(text.contains("asked http") || kind == "unauthenticated", "{text}");
        assert_absent(&format!("{text} {error:?} {error:#?}"), &secrets);
    }
    assert!(documented.is_empty(), "nobody says {documented:?}");
    let log = captured.text();
    assert!(log.contains("TRACE"), "the log is not heard");
    assert_absent(&log, &secrets);
}
