//! A server with one mount, one policy and one way to log in, and the store that uses them.

use std::sync::{Arc, Mutex};
use std::thread;

use async_trait::async_trait;
use keyrot_core::secrecy::SecretString;
use keyrot_core::{Clock, KeyId, KeyMetadata, SecretStore, SecretWriter, StoreTimeouts, SystemClock};
use keyrot_secrets_vault::{KvVersion, VaultConfig, VaultCredential, VaultStore};
use keyrot_test_servers::{Certificates, OpenBao};
use keyrot_testkit::secret_store::{SecretHarness, Trouble};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Builder;

/// Root may choose the id of a token, so the one of a server that has lost everything is the same.
pub(crate) const TOKEN: &str = "t7f1c2b9e7d3a48c60";

/// How the store logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    Token,
    AppRole,
}

/// A server and a store that reads below `{mount}/algoagent`.
pub(crate) struct Vault {
    pub(crate) server: Mutex<OpenBao>,
    pub(crate) config: VaultConfig,
    pub(crate) store: Arc<VaultStore>,
    /// What logs in; nobody may see it.
    credentials: Vec<String>,
    version: KvVersion,
    /// The fields that were put last: a server in memory loses them.
    written: Mutex<Value>,
    http: reqwest::Client,
    address: String,
    root: String,
    // Outlives the server.
    _certificates: Option<Certificates>,
}

impl Vault {
    /// KV 2 and a token.
    pub(crate) async fn new() -> Self {
        Self::with(KvVersion::V2, Login::Token, false).await
    }

    pub(crate) async fn with(version: KvVersion, login: Login, tls: bool) -> Self {
        let certificates = tls.then(Certificates::make);
        let server = match &certificates {
            Some(certificates) => OpenBao::on_disk(Some(certificates)).await,
            None => OpenBao::dev().await,
        };
        let mut client = reqwest::Client::builder().no_proxy();
        if let Some(certificates) = &certificates {
            let pem = certificates.pem(&certificates.ca());
            client = client.tls_certs_only([reqwest::Certificate::from_pem(pem.as_bytes()).unwrap()]);
        }
        let config = VaultConfig {
            address: server.address().to_owned(),
            credential: VaultCredential::Token(SecretString::from(TOKEN)),
            secret_path: format!("{}/algoagent", mount(version)),
            field: "value".to_owned(),
            namespace: None,
            ca_file: certificates.as_ref().map(Certificates::ca),
            skip_verify: false,
            kv_version: None,
        };
        let mut vault = Self {
            address: server.address().to_owned(),
            root: server.token().to_owned(),
            server: Mutex::new(server),
            store: Arc::new(VaultStore::new(config.clone(), StoreTimeouts::default()).unwrap()),
            config,
            credentials: Vec::new(),
            version,
            written: Mutex::default(),
            http: client.build().unwrap(),
            _certificates: certificates,
        };
        vault.set_up().await;
        if login == Login::AppRole {
            vault.log_in_by_role(json!({"token_ttl": "10m"})).await;
        } else {
            vault.credentials.push(TOKEN.to_owned());
        }
        vault
    }

    /// What a server in memory has to be told again after each start.
    async fn set_up(&self) {
        if self.version == KvVersion::V1 {
            self.root(Method::POST, "sys/mounts/old", json!({"type": "kv", "options": {"version": "1"}}))
                .await;
        }
        self.allow("[\"create\", \"read\", \"update\"]").await;
        let token = json!({"id": TOKEN, "policies": ["keyrot"], "no_default_policy": true, "ttl": "10m"});
        self.root(Method::POST, "auth/token/create", token).await;
    }

    /// From now on the store logs in by AppRole, with a role of these settings.
    pub(crate) async fn log_in_by_role(&mut self, mut role: Value) {
        self.root(Method::POST, "sys/auth/approle", json!({"type": "approle"})).await;
        role["token_policies"] = json!(["keyrot"]);
        self.root(Method::POST, "auth/approle/role/keyrot", role).await;
        let text = |told: &Value, field: &str| told["data"][field].as_str().unwrap().to_owned();
        let role_id =
            text(&self.root(Method::GET, "auth/approle/role/keyrot/role-id", json!({})).await, "role_id");
        let secret_id = self.root(Method::POST, "auth/approle/role/keyrot/secret-id", json!({})).await;
        let secret_id = text(&secret_id, "secret_id");
        self.credentials = vec![role_id.clone(), secret_id.clone()];
        self.config.credential = VaultCredential::AppRole {
            mount: "approle".to_owned(),
            role_id: SecretString::from(role_id),
            secret_id: SecretString::from(secret_id),
        };
        self.use_clock(Arc::new(SystemClock));
    }

    /// A store of the same configuration that has not asked anybody yet.
    pub(crate) fn use_clock(&mut self, clock: Arc<dyn Clock>) {
        let store = VaultStore::with_clock(self.config.clone(), StoreTimeouts::default(), clock);
        self.store = Arc::new(store.unwrap());
    }

    /// A store with another configuration.
    pub(crate) fn store_with(&self, change: impl FnOnce(&mut VaultConfig)) -> VaultStore {
        let mut config = self.config.clone();
        change(&mut config);
        VaultStore::new(config, StoreTimeouts::default()).unwrap()
    }

    /// What the store's policy allows below its path.
    pub(crate) async fn allow(&self, capabilities: &str) {
        let path = match self.version {
            KvVersion::V1 => "old/algoagent/*",
            KvVersion::V2 => "secret/data/algoagent/*",
        };
        let policy = format!("path \"{path}\" {{ capabilities = {capabilities} }}");
        self.root(Method::PUT, "sys/policies/acl/keyrot", json!({"policy": policy})).await;
    }

    /// The path of the API at which the secret of a key is.
    pub(crate) fn wire(&self, key: &KeyMetadata) -> String {
        let name = key.secret.clone().unwrap_or_else(|| key.key_id.to_string());
        match self.version {
            KvVersion::V1 => format!("old/algoagent/{name}"),
            KvVersion::V2 => format!("secret/data/algoagent/{name}"),
        }
    }

    /// Writes fields as others would.
    pub(crate) async fn put_fields(&self, key: &KeyMetadata, fields: Value) {
        *self.written.lock().unwrap() = fields.clone();
        let body = match self.version {
            KvVersion::V1 => fields,
            KvVersion::V2 => json!({"data": fields}),
        };
        self.root(Method::POST, &self.wire(key), body).await;
    }

    /// Does something with the server itself, in a thread of its own: what waits for the server cannot be sent
    /// between threads.
    pub(crate) fn server<T: Send>(&self, act: impl AsyncFnOnce(&mut OpenBao) -> T + Send) -> T {
        let act = || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(act(&mut self.server.lock().unwrap()))
        };
        thread::scope(|scope| scope.spawn(act).join().unwrap())
    }

    /// Asks the server as root.
    pub(crate) async fn root(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, told) = self.try_root(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {told}");
        told
    }

    pub(crate) async fn try_root(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = self
            .http
            .request(method, format!("{}/v1/{path}", self.address))
            .header("x-vault-token", &self.root);
        if body != json!({}) {
            request = request.json(&body);
        }
        let reply = request.send().await.unwrap();
        let (status, text) = (reply.status().as_u16(), reply.text().await.unwrap());
        (status, serde_json::from_str(&text).unwrap_or_default())
    }
}

fn mount(version: KvVersion) -> &'static str {
    match version {
        KvVersion::V1 => "old",
        KvVersion::V2 => "secret",
    }
}

pub(crate) fn key(id: &str) -> KeyMetadata {
    KeyMetadata::new(KeyId::parse(id).unwrap(), "gemini-2.5-flash")
}

#[async_trait]
impl SecretHarness for Vault {
    fn store(&self) -> Arc<dyn SecretStore> {
        self.store.clone()
    }

    async fn put(&self, key: &KeyMetadata, secret: &str) {
        self.put_fields(key, json!({"value": secret, "note": "kept"})).await;
    }

    fn credentials(&self) -> Vec<String> {
        self.credentials.clone()
    }

    fn advice(&self, key: &KeyMetadata) -> String {
        match &key.secret {
            Some(bad) if self.bad_names().contains(bad) => "\"secret\" is ".to_owned(),
            _ => format!("vault kv get {}/algoagent/{}", mount(self.version), key.key_id),
        }
    }

    fn bad_names(&self) -> Vec<String> {
        ["..", "../x", "a/../b", "./a", "a//b", "/a", "a/", "a?version=1", "a#f", "a%2Fb", "a b", "clé"]
            .map(str::to_owned)
            .into()
    }

    async fn one_name(&self) -> [KeyMetadata; 2] {
        let mut second = key("second");
        second.secret = Some("first".to_owned());
        [key("first"), second]
    }

    async fn requests(&self) -> usize {
        self.server.lock().unwrap().requests("", "")
    }

    fn writer(&self) -> Arc<dyn SecretWriter> {
        self.store.clone()
    }

    async fn cause(&self, trouble: Trouble, key: &KeyMetadata) {
        match trouble {
            Trouble::Disabled => drop(self.root(Method::DELETE, &self.wire(key), json!({})).await),
            Trouble::WrongShape => self.put_fields(key, json!({"value": 4711})).await,
            Trouble::NoPermission => self.allow("[\"deny\"]").await,
            Trouble::WrongCredentials if self.credentials == [TOKEN] => {
                self.root(Method::POST, "auth/token/revoke", json!({"token": TOKEN})).await;
            }
            Trouble::WrongCredentials => {
                self.root(Method::DELETE, "auth/approle/role/keyrot", json!({})).await;
                self.root(Method::PUT, "sys/leases/revoke-prefix/auth/approle/login", json!({"sync": true}))
                    .await;
            }
            Trouble::Throttled => {
                let mount = mount(self.version);
                self.server(async |server| server.throttle(mount, "10m").await);
                while self.try_root(Method::GET, &self.wire(key), json!({})).await.0 != 429 {}
            }
            Trouble::Gone => self.server(async |server| server.process().kill()),
            Trouble::Frozen => self.server(async |server| server.process().freeze()),
        }
    }

    async fn end(&self, trouble: Trouble, key: &KeyMetadata) {
        match trouble {
            Trouble::Throttled => self.server(async |server| server.stop_throttling().await),
            Trouble::Frozen => self.server(async |server| server.process().thaw()),
            Trouble::Gone if self.config.ca_file.is_some() => self.server(async |server| {
                server.restart().await;
                server.unseal().await;
            }),
            Trouble::Gone => {
                self.server(async |server| server.restart().await);
                self.set_up().await;
                let fields = self.written.lock().unwrap().clone();
                self.put_fields(key, fields).await;
            }
            other => panic!("{other:?} has no end in the suite"),
        }
    }
}
