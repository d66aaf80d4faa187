//! The double of Azure Key Vault as a process: there is no server of others to be had.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{Certificates, Process, free_port, new_home};

/// The tenant of the application.
pub const TENANT: &str = "7b795fb9-09d3-42f4-a494-38864f99ba3c";
/// The application, and the user-assigned identity.
pub const CLIENT: &str = "f0e1d2c3-b4a5-4687-9788-a9bacbdcedfe";
/// The application's secret.
pub const CLIENT_SECRET: &str = "Vx8Q~c8d1e7f4.9b2aZk3";
/// What Kubernetes would put into the file of a service account.
pub const FEDERATED_TOKEN: &str = "eyJhbGciOi.eyJpc3MiOj.Rk9VUg5c2d";
/// What App Service would set as `IDENTITY_HEADER`.
pub const IDENTITY_HEADER: &str = "4F1D-9C3B7A0E62D85519";

/// What the double does instead of its duty.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Trouble {
    /// The answer to every request for a secret with a good token.
    pub answer: Option<Answer>,
    /// Nobody is logged in, and everybody is logged out.
    pub login_refused: bool,
    /// Everybody is logged out.
    pub tokens_forgotten: bool,
}

/// A refusal.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answer {
    /// Of HTTP.
    pub status: u16,
    /// In the body.
    pub code: String,
    /// The more exact one.
    pub inner: Option<String>,
    /// Seconds, as a header.
    pub retry_after: Option<u32>,
}

impl Answer {
    /// The vault's "slow down", for `retry_after` seconds.
    #[must_use]
    pub fn throttled(retry_after: u32) -> Self {
        Self { status: 429, code: "Throttled".to_owned(), inner: None, retry_after: Some(retry_after) }
    }

    /// 403 with an inner code such as `ForbiddenByRbac`.
    #[must_use]
    pub fn forbidden(inner: &str) -> Self {
        Self { status: 403, code: "Forbidden".to_owned(), inner: Some(inner.to_owned()), retry_after: None }
    }
}

/// How often the double was asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests to the vault, those without a good token included.
    pub vault: usize,
    /// Reads with a good token.
    pub reads: usize,
    /// Tokens handed out.
    pub logins: usize,
}

/// A running double. It keeps its secrets when it is started again, and forgets its tokens.
#[derive(Debug)]
pub struct Azure {
    process: Mutex<Process>,
    certificates: Certificates,
    tls_port: u16,
    plain_port: u16,
}

impl Azure {
    /// Starts one with an empty vault.
    pub async fn start() -> Self {
        Self::start_with(&json!({})).await
    }

    /// Starts one with these secrets: what its `state.json` holds.
    pub async fn start_with(secrets: &Value) -> Self {
        let (tls_port, plain_port, certificates) = (free_port(), free_port(), Certificates::make());
        let home = new_home();
        std::fs::write(home.path().join("state.json"), secrets.to_string()).expect("a temporary file");
        let arguments = [
            tls_port.to_string().into(),
            plain_port.to_string().into(),
            certificates.server_certificate().into_os_string(),
            certificates.server_key().into_os_string(),
        ];
        let process = Process::spawn_in(home, &program(), arguments, &[]);
        let server = Self { process: Mutex::new(process), certificates, tls_port, plain_port };
        server.wait_until_ready().await;
        server
    }

    /// `AZURE_VAULT_URL` without a domain of Microsoft's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.tls_port)
    }

    /// `AZURE_VAULT_URL` with one; only [`client`](Self::client) finds it.
    #[must_use]
    pub fn named_url(&self) -> String {
        format!("https://myvault.vault.azure.net:{}", self.tls_port)
    }

    /// `AZURE_AUTHORITY_HOST` that only [`client`](Self::client) finds.
    #[must_use]
    pub fn named_authority(&self) -> String {
        format!("https://login.microsoftonline.com:{}", self.tls_port)
    }

    /// `IDENTITY_ENDPOINT`
    #[must_use]
    pub fn identity_endpoint(&self) -> String {
        format!("{}/msi/token", self.beside())
    }

    /// Where tests speak to the double itself.
    #[must_use]
    pub fn beside(&self) -> String {
        format!("http://127.0.0.1:{}", self.plain_port)
    }

    /// `SSL_CERT_FILE`
    #[must_use]
    pub fn root_certificate(&self) -> PathBuf {
        self.certificates.ca()
    }

    /// The variables of a program that logs in with the application's secret.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_VAULT_URL", self.url()),
            ("AZURE_AUTHORITY_HOST", self.url()),
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_CLIENT_ID", CLIENT.to_owned()),
            ("AZURE_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("AZURE_DISABLE_CHALLENGE_VERIFICATION", "true".to_owned()),
            ("SSL_CERT_FILE", self.root_certificate().display().to_string()),
        ]
    }

    /// A client for which the hosts of Microsoft's are the double; also the address of a virtual machine's identity,
    /// which is asked by plain HTTP.
    #[must_use]
    pub fn client(&self) -> reqwest::Client {
        let certificate = std::fs::read(self.certificates.ca()).expect("it was written");
        let certificate = reqwest::Certificate::from_pem(&certificate).expect("it is one");
        let here = ([127, 0, 0, 1], self.tls_port).into();
        let builder = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]);
        let builder = builder.proxy(reqwest::Proxy::http(self.beside()).expect("an address"));
        let builder =
            builder.resolve("myvault.vault.azure.net", here).resolve("login.microsoftonline.com", here);
        builder.connect_timeout(Duration::from_secs(2)).build().expect("a client")
    }

    /// Puts a secret as any program would: logs in, and sends it.
    pub async fn put(&self, name: &str, value: &str) {
        self.send(reqwest::Method::PUT, name, &json!({"value": value})).await;
    }

    /// Puts a secret of another kind than text.
    pub async fn put_as(&self, name: &str, value: &str, content_type: &str) {
        self.send(reqwest::Method::PUT, name, &json!({"value": value, "contentType": content_type})).await;
    }

    /// Switches a secret off or on.
    pub async fn enable(&self, name: &str, enabled: bool) {
        self.send(reqwest::Method::PATCH, name, &json!({"attributes": {"enabled": enabled}})).await;
    }

    async fn send(&self, method: reqwest::Method, name: &str, body: &Value) {
        let client = self.client();
        let form = format!("client_id={CLIENT}&client_secret={CLIENT_SECRET}&grant_type=client_credentials");
        let login = client.post(format!("{}/{TENANT}/oauth2/v2.0/token", self.named_authority())).body(form);
        let login: Value = login.send().await.expect("it answers").json().await.expect("JSON");
        let token = login["access_token"].as_str().expect("a token");
        let url = format!("{}/secrets/{name}?api-version=2025-07-01", self.named_url());
        let reply =
            client.request(method, url).bearer_auth(token).json(body).send().await.expect("it answers");
        assert!(reply.status().is_success(), "{name}: {}", reply.status());
    }

    /// From now on it has this trouble; the default is none.
    pub async fn trouble(&self, trouble: &Trouble) {
        let request = self.plain_client().put(format!("{}/double/trouble", self.beside())).json(trouble);
        let reply = request.send().await.expect("it answers");
        assert!(reply.status().is_success(), "{}", reply.status());
    }

    /// How often it was asked since it was started.
    pub async fn counts(&self) -> Counts {
        let request = self.plain_client().get(format!("{}/double/counts", self.beside()));
        request.send().await.expect("it answers").json().await.expect("counts")
    }

    /// The server's process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        self.process.get_mut()
    }

    /// Stops it in its tracks.
    pub async fn freeze(&self) {
        self.process.lock().await.freeze();
    }

    /// Lets it go on.
    pub async fn thaw(&self) {
        self.process.lock().await.thaw();
    }

    /// Kills it.
    pub async fn kill(&self) {
        self.process.lock().await.kill();
    }

    /// Starts it again: with its secrets, without its tokens.
    pub async fn restart(&self) {
        self.process.lock().await.restart();
        self.wait_until_ready().await;
    }

    fn plain_client(&self) -> reqwest::Client {
        reqwest::Client::builder().no_proxy().build().expect("a client")
    }

    /// Not by [`Process::wait_until_ready`]: the suite of secret stores wants futures that can be sent.
    async fn wait_until_ready(&self) {
        let (client, url) = (self.plain_client(), format!("{}/double/counts", self.beside()));
        let asking = async {
            let mut interval = tokio::time::interval(Duration::from_millis(10));
            while !client.get(&url).send().await.is_ok_and(|reply| reply.status().is_success()) {
                interval.tick().await;
            }
        };
        let ready = tokio::time::timeout(Duration::from_secs(60), asking).await;
        assert!(ready.is_ok(), "the double does not answer:\n{}", self.process.lock().await.log());
    }
}

/// It lies beside the folder of the tests' own executables.
fn program() -> PathBuf {
    let tests = std::env::current_exe().expect("a test has a file");
    let folder = tests.parent().and_then(std::path::Path::parent).expect("it is in target");
    let program = folder.join(format!("azure-double{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "{} is missing: cargo build -p keyrot-test-servers", program.display());
    program
}
