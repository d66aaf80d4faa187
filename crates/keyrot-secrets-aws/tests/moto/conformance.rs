//! The suite of secret stores on moto: plain text with a credential in variables, and JSON with a role of a profile.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use keyrot_core::{KeyId, KeyMetadata, SecretStore, SecretWriter, StoreTimeouts, Vars};
use keyrot_secrets_aws::{AwsConfig, AwsStore};
use keyrot_test_servers::moto::CREDENTIALS;
use keyrot_test_servers::{Microburst, Moto};
use keyrot_testkit::secret_store::{SecretHarness, Trouble};
use keyrot_testkit::secret_store_tests;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::api::{apart, ask, write};

/// The names that no secret can have.
const BAD: [&str; 6] = ["a b", "a:b", "a?b", "clé", "a\nb", "arn:aws:s3:::bucket"];

struct Harness {
    moto: Mutex<Moto>,
    url: String,
    /// Faults come from a proxy, started when the first one is wanted: that takes seconds.
    proxy: Mutex<Option<Microburst>>,
    /// The store asks moto until there is a proxy.
    store: std::sync::Mutex<Arc<AwsStore>>,
    variables: Vec<(String, String)>,
    /// Puts the key into a field of JSON.
    json: bool,
    put: std::sync::Mutex<BTreeMap<String, String>>,
    _home: TempDir,
}

impl Harness {
    fn store_at(variables: &[(String, String)], url: &str) -> Arc<AwsStore> {
        let variables = variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let vars: Vars = variables.chain([("AWS_ENDPOINT_URL", url)]).collect();
        Arc::new(AwsStore::new(AwsConfig::from_vars(&vars).unwrap(), StoreTimeouts::default()).unwrap())
    }

    async fn new(variables: &[(&str, &str)], json: bool, home: TempDir) -> Self {
        let moto = Moto::start().await;
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let url = moto.url().to_owned();
        let store = std::sync::Mutex::new(Self::store_at(&variables, &url));
        let (proxy, moto) = (Mutex::default(), Mutex::new(moto));
        Self { moto, url, proxy, store, variables, json, put: std::sync::Mutex::default(), _home: home }
    }

    fn id(key: &KeyMetadata) -> String {
        key.secret.clone().unwrap_or_else(|| format!("algoagent/{}", key.key_id))
    }

    async fn write(&self, id: &str, text: &str) {
        write(&self.url, id, text).await;
        self.put.lock().unwrap().insert(id.to_owned(), text.to_owned());
    }

    async fn fail_reads_with(&self, code: &str) {
        let mut proxy = self.proxy.lock().await;
        if proxy.is_none() {
            let moto = self.moto.lock().await;
            let started = apart(|| Microburst::before(&moto));
            *self.store.lock().unwrap() = Self::store_at(&self.variables, started.url());
            *proxy = Some(started);
        }
        let error = json!({"code": code, "message": "AIzaSentinel in the words of the server"});
        let rule = json!({"service": "secretsmanager", "operation": "GetSecretValue", "error": error});
        proxy.as_ref().unwrap().add_rule(&rule).await;
    }
}

#[async_trait]
impl SecretHarness for Harness {
    fn store(&self) -> Arc<dyn SecretStore> {
        self.store.lock().unwrap().clone()
    }

    async fn put(&self, key: &KeyMetadata, secret: &str) {
        let text =
            if self.json { json!({"owner": "me", "value": secret}).to_string() } else { secret.to_owned() };
        self.write(&Self::id(key), &text).await;
    }

    fn nothing(&self) -> &'static str {
        " "
    }

    fn credentials(&self) -> Vec<String> {
        CREDENTIALS
            .iter()
            .filter(|(name, _)| name.contains("SECRET"))
            .map(|(_, value)| (*value).to_owned())
            .collect()
    }

    fn advice(&self, key: &KeyMetadata) -> String {
        if key.secret.as_deref().is_some_and(|name| BAD.contains(&name)) {
            return "`aws secretsmanager list-secrets`".to_owned();
        }
        format!(
            "`aws secretsmanager get-secret-value --secret-id {} --region us-east-1 --endpoint-url ",
            Self::id(key)
        )
    }

    fn bad_names(&self) -> Vec<String> {
        BAD.map(str::to_owned).into()
    }

    async fn one_name(&self) -> [KeyMetadata; 2] {
        let mut two = ["a", "b"].map(|id| KeyMetadata::new(KeyId::parse(id).unwrap(), "m"));
        two[1].secret = Some("algoagent/a".to_owned());
        two
    }

    async fn requests(&self) -> usize {
        self.moto.lock().await.requests()
    }

    fn writer(&self) -> Arc<dyn SecretWriter> {
        self.store.lock().unwrap().clone()
    }

    async fn cause(&self, trouble: Trouble, key: &KeyMetadata) {
        let id = Self::id(key);
        match trouble {
            Trouble::Disabled => {
                let window = json!({"SecretId": id, "RecoveryWindowInDays": 7});
                let deleted = ask(&self.url, "DeleteSecret", window).await;
                assert!(deleted.contains("DeletionDate"), "{deleted}");
            }
            Trouble::WrongShape => self.write(&id, r#"{"user": "me", "password": 7}"#).await,
            Trouble::NoPermission => self.fail_reads_with("AccessDeniedException").await,
            Trouble::WrongCredentials => self.fail_reads_with("UnrecognizedClientException").await,
            Trouble::Throttled => self.fail_reads_with("ThrottlingException").await,
            Trouble::Gone => self.moto.lock().await.process().kill(),
            Trouble::Frozen => self.moto.lock().await.process().freeze(),
        }
    }

    async fn end(&self, trouble: Trouble, _key: &KeyMetadata) {
        match trouble {
            Trouble::Throttled => self.proxy.lock().await.as_ref().unwrap().clear().await,
            Trouble::Gone => {
                let mut moto = self.moto.lock().await;
                apart(|| moto.restart()); // it forgets everything
                let put = self.put.lock().unwrap().clone();
                for (id, text) in put {
                    self.write(&id, &text).await;
                }
            }
            Trouble::Frozen => self.moto.lock().await.process().thaw(),
            other => unreachable!("the suite does not end {other:?}"),
        }
    }
}

mod plain_text {
    use super::*;

    async fn moto() -> Harness {
        Harness::new(&CREDENTIALS, false, TempDir::new().unwrap()).await
    }

    secret_store_tests!(#[ignore = "needs moto and microburst: cargo xtask test"] moto;
        named dated written disabled shaped guarded throttled served);
}

mod json_and_a_role_of_a_profile {
    use super::*;

    async fn moto() -> Harness {
        let home = TempDir::new().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let profiles = "[profile base]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret-of-the-test\n\
                        [profile llm]\nregion = us-east-1\nsource_profile = base\n\
                        role_arn = arn:aws:iam::123456789012:role/llm\n";
        std::fs::write(home.path().join(".aws/config"), profiles).unwrap();
        let path = home.path().to_str().unwrap().to_owned();
        let variables =
            [("HOME", path.as_str()), ("AWS_PROFILE", "llm"), ("AWS_EC2_METADATA_DISABLED", "true")];
        Harness::new(&variables, true, home).await
    }

    secret_store_tests!(#[ignore = "needs moto and microburst: cargo xtask test"] moto;
        named dated written disabled shaped guarded throttled served);
}
