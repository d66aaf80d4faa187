//! moto as the tests of this crate talk to it: directly, without the store and without the command `aws`.

use keyrot_core::{KeyId, KeyMetadata, StoreTimeouts, Vars};
use keyrot_secrets_aws::{AwsConfig, AwsStore};
use keyrot_test_servers::moto::CREDENTIALS;
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "AIzaSentinel-7d1f0c52e98b4a63";

/// A store that asks at `url` with the usual credential, and these variables over all of it.
pub(crate) fn store(url: &str, more: &[(&str, &str)]) -> AwsStore {
    let more: Vars = more.iter().copied().collect();
    let usual: Vars = CREDENTIALS.into_iter().chain([("AWS_ENDPOINT_URL", url)]).collect();
    store_of(&more.over(usual))
}

/// A store that knows these variables only.
pub(crate) fn store_of(vars: &Vars) -> AwsStore {
    AwsStore::new(AwsConfig::from_vars(vars).unwrap(), StoreTimeouts::default()).unwrap()
}

pub(crate) fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "gemini-2.5-flash")
}

/// Waits for a server on a thread of its own: its futures cannot move between threads, as those of a harness must.
pub(crate) fn apart<T: Send, F: Future<Output = T>>(work: impl FnOnce() -> F + Send) -> T {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime().block_on(work())).join().unwrap())
}

/// Puts a text, be the secret new or not.
pub(crate) async fn write(url: &str, id: &str, text: &str) {
    let put = ask(url, "PutSecretValue", json!({"SecretId": id, "SecretString": text})).await;
    if put.contains("ResourceNotFoundException") {
        let created = ask(url, "CreateSecret", json!({"Name": id, "SecretString": text})).await;
        assert!(created.contains("VersionId"), "{created}");
    }
}

/// Calls an action of Secrets Manager; gives the body of the answer, be it an error.
pub(crate) async fn ask(url: &str, action: &str, body: Value) -> String {
    // without the roots of the system, which take longer to load than all else
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let request = client
        .post(url)
        .header("x-amz-target", format!("secretsmanager.{action}"))
        .header("content-type", "application/x-amz-json-1.1")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/secretsmanager/aws4_request, \
             SignedHeaders=host, Signature=0",
        )
        .json(&body);
    request.send().await.unwrap().text().await.unwrap()
}
