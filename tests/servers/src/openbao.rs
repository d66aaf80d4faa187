//! OpenBao, the open fork of Vault: the same API, the same command under the name `bao`.

use serde_json::Value;

use crate::process::new_home;
use crate::{Certificates, Ended, Process, free_port, run_program, tool};

/// The root token in dev mode.
const DEV_TOKEN: &str = "root";

/// Makes it write each request into its log, without the body.
const LOG_REQUESTS: &str = "log_requests_level = \"info\"\n";

/// A running server with KV version 2 at `secret/`, and its root token.
#[derive(Debug)]
pub struct OpenBao {
    process: Process,
    address: String,
    ca: Option<String>,
    token: String,
    /// Opens the seal of a server that keeps its data; nothing in dev mode.
    unseal_key: Option<String>,
}

/// What a program logs in with.
#[derive(Clone, Debug)]
pub struct AppRole {
    /// `VAULT_ROLE_ID`
    pub role_id: String,
    /// `VAULT_SECRET_ID`
    pub secret_id: String,
}

impl OpenBao {
    /// Everything in memory, never sealed, without TLS.
    pub async fn dev() -> Self {
        let port = free_port();
        let arguments = [
            "server".to_owned(),
            "-dev".to_owned(),
            format!("-dev-root-token-id={DEV_TOKEN}"),
            format!("-dev-listen-address=127.0.0.1:{port}"),
            "-dev-no-store-token".to_owned(),
            "-config=requests.hcl".to_owned(),
        ];
        let home = new_home();
        std::fs::write(home.path().join("requests.hcl"), LOG_REQUESTS).expect("a file in a temporary folder");
        let process = Process::spawn_in(home, &tool("bao"), arguments, &[]);
        let mut server = Self {
            process,
            address: format!("http://127.0.0.1:{port}"),
            ca: None,
            token: DEV_TOKEN.to_owned(),
            unseal_key: None,
        };
        server.wait_until_active().await;
        server
    }

    /// With its data on disk, initialised and open; with TLS if there are certificates.
    pub async fn on_disk(certificates: Option<&Certificates>) -> Self {
        let mut server = Self::sealed(certificates).await;
        server.unseal().await;
        server.enable_kv("secret", 2).await;
        server
    }

    /// With its data on disk, initialised and sealed: every read is refused until [`unseal`](Self::unseal).
    pub async fn sealed(certificates: Option<&Certificates>) -> Self {
        let mut server = Self::uninitialised(certificates).await;
        let told =
            server.bao(["operator", "init", "-key-shares=1", "-key-threshold=1", "-format=json"]).await;
        let told: Value = serde_json::from_str(&told).expect("JSON was asked for");
        server.token = text(&told["root_token"]);
        server.unseal_key = Some(text(&told["unseal_keys_b64"][0]));
        server
    }

    /// Another server of the same cluster, without TLS: it has the same data and takes over nothing, as it is one of
    /// two.
    ///
    /// # Panics
    /// In dev mode, which has no cluster.
    pub async fn standby(&self) -> Self {
        let mut standby = Self::uninitialised(None).await;
        standby.token.clone_from(&self.token);
        standby.unseal_key.clone_from(&self.unseal_key);
        standby.bao(["operator", "raft", "join", &self.address]).await;
        let key = standby.unseal_key.clone().expect("dev mode has no cluster");
        standby.bao(["operator", "unseal", &key]).await;
        standby.wait_for("standbycode=200").await;
        standby
    }

    async fn uninitialised(certificates: Option<&Certificates>) -> Self {
        let (port, cluster) = (free_port(), free_port());
        let home = new_home();
        let scheme = if certificates.is_some() { "https" } else { "http" };
        let tls = certificates.map_or_else(
            || "  tls_disable = true\n".to_owned(),
            |files| {
                let (certificate, key) = (files.server_certificate(), files.server_key());
                format!("  tls_cert_file = {certificate:?}\n  tls_key_file = {key:?}\n")
            },
        );
        let address = format!("{scheme}://127.0.0.1:{port}");
        let data = home.path().join("data");
        std::fs::create_dir(&data).expect("a folder in a temporary folder");
        let config = format!(
            "storage \"raft\" {{\n  path = {data:?}\n  node_id = \"{port}\"\n  performance_multiplier = 1\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  \
             cluster_address = \"127.0.0.1:{cluster}\"\n{tls}}}\n\
             {LOG_REQUESTS}api_addr = \"{address}\"\ncluster_addr = \"https://127.0.0.1:{cluster}\"\n"
        );
        let file = home.path().join("bao.hcl");
        std::fs::write(&file, config).expect("a file in a temporary folder");
        let process = Process::spawn_in(home, &tool("bao"), ["server", "-config=bao.hcl"], &[]);
        let ca = certificates.map(|files| files.ca().display().to_string());
        let mut server = Self { process, address, ca, token: String::new(), unseal_key: None };
        server.wait_until_it_answers().await;
        server
    }

    /// `VAULT_ADDR`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The root token: it may do everything.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// How many requests of this method (`GET`; empty: any) it has answered since its first start whose path begins
    /// so: `secret/data/algoagent/`.
    #[must_use]
    pub fn requests(&self, method: &str, path: &str) -> usize {
        let parts =
            ["completed_request", &format!("request_path=/v1/{path}"), &format!("request_method={method}")];
        let log = self.process.log();
        log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// The server's process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again on the same address. In dev mode everything that was stored is gone; else it is sealed.
    pub async fn restart(&mut self) {
        self.process.restart();
        match self.unseal_key {
            Some(_) => self.wait_until_it_answers().await,
            None => self.wait_until_active().await,
        }
    }

    /// Closes the seal.
    pub async fn seal(&self) {
        self.bao(["operator", "seal"]).await;
    }

    /// Opens the seal and waits until the server is active.
    ///
    /// # Panics
    /// In dev mode, which has no seal.
    pub async fn unseal(&mut self) {
        let key = self.unseal_key.clone().expect("dev mode has no seal");
        self.bao(["operator", "unseal", &key]).await;
        self.wait_until_active().await;
    }

    /// Runs `bao` as the guide does, with the root token; returns what it printed.
    ///
    /// # Panics
    /// If it fails; the message says what it printed.
    pub async fn bao<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        self.bao_with(arguments, &[], "").await.success()
    }

    /// The same with more variables (`VAULT_NAMESPACE`, another `VAULT_TOKEN`) and an input; it may fail.
    pub async fn bao_with<'a>(
        &self,
        arguments: impl IntoIterator<Item = &'a str>,
        variables: &[(&str, &str)],
        input: &str,
    ) -> Ended {
        let mut all = vec![("VAULT_ADDR", self.address.as_str()), ("VAULT_TOKEN", &self.token)];
        all.extend(self.ca.as_deref().map(|ca| ("VAULT_CACERT", ca)));
        all.extend(variables);
        run_program(&tool("bao"), arguments, &all, input).await
    }

    /// A new KV mount of version 1 or 2.
    pub async fn enable_kv(&self, mount: &str, version: u8) {
        self.bao(["secrets", "enable", &format!("-path={mount}"), &format!("-version={version}"), "kv"])
            .await;
    }

    /// Writes a policy, in the language of policies.
    pub async fn policy(&self, name: &str, rules: &str) {
        self.bao_with(["policy", "write", name, "-"], &[], rules).await.success();
    }

    /// A token with one policy that ends after `ttl` (`30s`, `10m`) unless it is renewed.
    pub async fn token_with(&self, policy: &str, ttl: &str) -> String {
        let arguments = ["token", "create", "-field=token", "-no-default-policy"];
        let (policy, ttl) = (format!("-policy={policy}"), format!("-ttl={ttl}"));
        self.bao(arguments.into_iter().chain([policy.as_str(), ttl.as_str()])).await
    }

    /// Takes a token's rights.
    pub async fn revoke(&self, token: &str) {
        self.bao(["token", "revoke", token]).await;
    }

    /// A role with one policy at `auth/approle`, which is enabled if it is not yet. Its tokens end after `ttl`, and
    /// cannot be renewed for longer than `max_ttl`.
    pub async fn app_role(&self, policy: &str, ttl: &str, max_ttl: &str) -> AppRole {
        if !self.bao(["auth", "list"]).await.contains("approle/") {
            self.bao(["auth", "enable", "approle"]).await;
        }
        let role = format!("auth/approle/role/{policy}");
        let settings = [
            format!("token_policies={policy}"),
            format!("token_ttl={ttl}"),
            format!("token_max_ttl={max_ttl}"),
        ];
        self.bao(["write", &role].into_iter().chain(settings.iter().map(String::as_str))).await;
        AppRole {
            role_id: self.bao(["read", "-field=role_id", &format!("{role}/role-id")]).await,
            secret_id: self.bao(["write", "-force", "-field=secret_id", &format!("{role}/secret-id")]).await,
        }
    }

    /// Lets one request in `interval` (`5s`) through to a mount; the others get 429.
    pub async fn throttle(&self, mount: &str, interval: &str) {
        let (path, interval) = (format!("path={mount}"), format!("interval={interval}"));
        self.bao(["write", "sys/quotas/rate-limit/keyrot", &path, "rate=1", &interval]).await;
    }

    /// Lifts it again.
    pub async fn stop_throttling(&self) {
        self.bao(["delete", "sys/quotas/rate-limit/keyrot"]).await;
    }

    /// A new namespace with KV version 2 at `secret/`; its name is what `VAULT_NAMESPACE` takes.
    pub async fn namespace(&self, name: &str) {
        self.bao(["namespace", "create", name]).await;
        let enable = ["secrets", "enable", "-path=secret", "-version=2", "kv"];
        self.bao_with(enable, &[("VAULT_NAMESPACE", name)], "").await.success();
    }

    async fn wait_until_it_answers(&mut self) {
        self.wait_for("sealedcode=200&uninitcode=200").await;
    }

    async fn wait_until_active(&mut self) {
        self.wait_for("").await;
    }

    async fn wait_for(&mut self, query: &str) {
        let url = format!("{}/v1/sys/health?{query}", self.address);
        let client = self.client();
        self.process
            .wait_until_ready(async || client.get(&url).send().await.is_ok_and(|reply| reply.status() == 200))
            .await;
    }

    /// A client that trusts the server's certificate and nothing else.
    fn client(&self) -> reqwest::Client {
        let mut builder = reqwest::Client::builder().no_proxy();
        if let Some(ca) = &self.ca {
            let pem = std::fs::read(ca).expect("the certificates outlive the server");
            builder = builder.tls_certs_only([reqwest::Certificate::from_pem(&pem).expect("a certificate")]);
        }
        builder.build().expect("a client")
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("the documented answer of `operator init`").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[ignore = "needs OpenBao: cargo xtask test"]
    async fn openbao_keeps_secrets_behind_policies() {
        let server = OpenBao::dev().await;
        server.bao(["kv", "put", "secret/algoagent/flash_01", "value=first"]).await;
        server.enable_kv("old", 1).await;
        server.bao(["kv", "put", "old/algoagent/flash_01", "value=second"]).await;
        assert_eq!(server.requests("PUT", "secret/data/algoagent/"), 1, "it was written");
        server.policy("reader", "path \"secret/data/algoagent/*\" { capabilities = [\"read\"] }").await;
        let token = server.token_with("reader", "10m").await;
        let variables = [("VAULT_TOKEN", token.as_str())];
        let read = |path| ["kv", "get", "-field=value", path];
        let allowed = server.bao_with(read("secret/algoagent/flash_01"), &variables, "").await;
        assert_eq!(allowed.success(), "first");
        assert_eq!(server.bao(read("old/algoagent/flash_01")).await, "second");
        let denied = server.bao_with(read("old/algoagent/flash_01"), &variables, "").await;
        assert!(denied.stderr.contains("Code: 403"), "{denied:?}");
        server.revoke(&token).await;
        let revoked = server.bao_with(read("secret/algoagent/flash_01"), &variables, "").await;
        assert!(revoked.stderr.contains("Code: 403"), "{revoked:?}");
    }

    #[tokio::test]
    #[ignore = "needs OpenBao: cargo xtask test"]
    async fn openbao_logs_a_role_in_throttles_and_has_namespaces() {
        let server = OpenBao::dev().await;
        let rules = "path \"secret/data/*\" { capabilities = [\"read\"] }";
        server.policy("reader", rules).await;
        let role = server.app_role("reader", "60s", "10m").await;
        let (id, secret) = (format!("role_id={}", role.role_id), format!("secret_id={}", role.secret_id));
        let token = server.bao(["write", "-field=token", "auth/approle/login", &id, &secret]).await;
        let told = server.bao(["token", "lookup", "-format=json", &token]).await;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["data"]["creation_ttl"], 60, "{told}");

        server.namespace("team1").await;
        let put = ["kv", "put", "secret/algoagent/flash_01", "value=theirs"];
        server.bao_with(put, &[("VAULT_NAMESPACE", "team1")], "").await.success();
        let missing = server.bao_with(["kv", "get", "secret/algoagent/flash_01"], &[], "").await;
        assert_eq!(missing.code, Some(2), "{missing:?}");

        server.throttle("secret", "60s").await;
        let url = format!("{}/v1/secret/data/algoagent/flash_01", server.address());
        let client = server.client();
        let status =
            async || client.get(&url).header("x-vault-token", DEV_TOKEN).send().await.unwrap().status();
        assert_eq!([status().await, status().await].map(|status| status.as_u16()), [404, 429]);
        server.stop_throttling().await;
        assert_eq!(status().await, 404);
    }

    #[tokio::test]
    #[ignore = "needs OpenBao: cargo xtask test"]
    async fn openbao_with_tls_keeps_its_data_over_a_crash() {
        let certificates = Certificates::make();
        let mut server = OpenBao::on_disk(Some(&certificates)).await;
        assert!(server.address().starts_with("https://"));
        server.bao(["kv", "put", "secret/algoagent/flash_01", "value=kept"]).await;
        server.process().kill();
        server.restart().await;
        let health = format!("{}/v1/sys/health", server.address());
        assert_eq!(server.client().get(&health).send().await.unwrap().status(), 503, "it is sealed");
        server.unseal().await;
        let read = ["kv", "get", "-field=value", "secret/algoagent/flash_01"];
        assert_eq!(server.bao(read).await, "kept");
        let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(stranger.get(&health).send().await.is_err(), "nobody else trusts the certificate");
        server.seal().await;
        assert_eq!(server.client().get(&health).send().await.unwrap().status(), 503);
    }
}
