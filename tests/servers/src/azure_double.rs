//! A double of Azure Key Vault, of the token endpoint of Microsoft Entra and of both kinds of managed identity.
//!
//! Recorded from the real service, and held to the recording byte for byte by a test: the challenge, a secret, a missing
//! and a disabled one. Everything else has the documented shape, and Microsoft's own Python client reads it: marked so.
//!
//! `azure-double TLS-PORT PLAIN-PORT CERTIFICATE KEY`. Secrets are kept in `state.json` of the working folder, so that
//! they outlive the process; tokens are not.
#![expect(clippy::expect_used, reason = "a test's server fails by panicking")]

use std::collections::{BTreeMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::serve::Listener;
use keyrot_test_servers::azure::{
    CLIENT, CLIENT_SECRET, Counts, FEDERATED_TOKEN, IDENTITY_HEADER, TENANT, Trouble,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

#[derive(Clone, Deserialize, Serialize)]
struct Version {
    version: String,
    value: String,
    created: u64,
    enabled: bool,
    content_type: Option<String>,
}

#[derive(Default)]
struct Inside {
    /// By small letters: Key Vault does not tell `A` from `a`.
    secrets: BTreeMap<String, Vec<Version>>,
    tokens: HashSet<String>,
    trouble: Trouble,
    counts: Counts,
}

type Fields = BTreeMap<String, String>;

#[derive(Clone, Default)]
struct Double(Arc<Mutex<Inside>>);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, tls, plain, certificate, key] = arguments.as_slice() else { unreachable!("four arguments") };
    let stored = std::fs::read("state.json").unwrap_or_else(|_| b"{}".to_vec());
    let secrets = serde_json::from_slice(&stored).expect("state.json is ours");
    let double = Double(Arc::new(Mutex::new(Inside { secrets, ..Inside::default() })));
    let vault = Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(authority))
        .route("/secrets/{name}", any(secret))
        .route("/secrets/{name}/{*version}", any(secret))
        .route("/secrets/{name}/", any(secret))
        .with_state(double.clone());
    let beside = Router::new()
        .route("/msi/token", get(identity))
        .route("/metadata/identity/oauth2/token", get(identity))
        .route("/double/trouble", axum::routing::put(trouble))
        .route("/double/counts", get(counts))
        .with_state(double);
    let chain =
        CertificateDer::pem_file_iter(certificate).expect("a file").map(|one| one.expect("a certificate"));
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain.collect(), key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a good pair")));
    let tls = Tls { tcp: bind(tls).await, acceptor, greeting: JoinSet::new() };
    let vault = axum::serve(tls, vault).into_future();
    let beside = axum::serve(bind(plain).await, beside).into_future();
    let (vault, beside) = tokio::join!(vault, beside);
    vault.and(beside).expect("it serves until it is killed");
}

async fn bind(port: &str) -> TcpListener {
    let port = port.parse().expect("a port");
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("the port is free")
}

struct Tls {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    greeting: JoinSet<std::io::Result<TlsStream<TcpStream>>>,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            tokio::select! {
                (stream, _) = Listener::accept(&mut self.tcp) => { self.greeting.spawn(self.acceptor.accept(stream)); }
                // A client that does not trust the certificate goes away.
                Some(greeted) = self.greeting.join_next() => {
                    if let Ok(Ok(stream)) = greeted { return (stream, ([0; 4], 0).into()); }
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl Double {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("nobody panics while holding it")
    }

    fn new_token(&self) -> String {
        let mut inside = self.inside();
        inside.counts.logins += 1;
        let token = format!("eyJ0b2tlbi-kbYdN7vQ-{}", inside.counts.logins);
        inside.tokens.insert(format!("Bearer {token}"));
        token
    }
}

fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a server has the time of its machine")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// With the headers of the recording.
fn reply(status: u16, body: impl ToString) -> Response {
    let headers = [
        ("cache-control", "no-cache"),
        ("content-type", "application/json; charset=utf-8"),
        ("x-ms-keyvault-region", "australiacentral"),
        ("x-ms-keyvault-service-version", "1.9.576.1"),
    ];
    (StatusCode::from_u16(status).expect("a status"), headers, body.to_string()).into_response()
}

/// Text as JSON.
fn quoted(text: &str) -> Value {
    Value::from(text)
}

/// By hand: the recording has its fields in this order.
fn failure(status: u16, code: &str, message: &str, inner: Option<&str>) -> Response {
    let inner = inner.map(|code| format!(r#","innererror":{{"code":{}}}"#, quoted(code))).unwrap_or_default();
    let (code, message) = (quoted(code), quoted(message));
    reply(status, format!(r#"{{"error":{{"code":{code},"message":{message}{inner}}}}}"#))
}

/// All of a version but its value.
fn properties(headers: &HeaderMap, name: &str, version: &Version) -> String {
    let Version { version, enabled, created, .. } = version;
    let id = format!("https://{}/secrets/{name}/{version}", host(headers));
    let days = r#""recoveryLevel":"CustomizedRecoverable+Purgeable","recoverableDays":7"#;
    let attributes = format!(r#"{{"enabled":{enabled},"created":{created},"updated":{created},{days}}}"#);
    format!(r#""id":"{id}","attributes":{attributes}"#)
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

async fn secret(State(double): State<Double>, Path(path): Path<Vec<String>>, request: Request) -> Response {
    let (Parts { method, headers, .. }, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (name, version) = (path[0].as_str(), path.get(1).map_or("", String::as_str));
    let mut inside = double.inside();
    inside.counts.vault += 1;
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !token.is_some_and(|token| inside.tokens.contains(token)) {
        // Recorded without a token; the same to a token that is over [documented].
        let mut challenge =
            failure(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", None);
        let authority = format!("authorization=\"https://login.windows.net/{TENANT}\"");
        let value = format!("Bearer {authority}, resource=\"https://vault.azure.net\"");
        challenge.headers_mut().insert(header::WWW_AUTHENTICATE, value.parse().expect("a header"));
        return challenge;
    }
    inside.counts.reads += usize::from(method == Method::GET);
    if let Some(answer) = &inside.trouble.answer {
        let inner = answer.inner.as_deref();
        let mut refusal = failure(answer.status, &answer.code, "What the test wants.", inner); // [documented]
        if let Some(seconds) = answer.retry_after {
            refusal.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        return refusal;
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let message = format!("The request URI contains an invalid name: {name}");
        return failure(400, "BadParameter", &message, None); // [documented]
    }
    let versions = inside.secrets.entry(name.to_ascii_lowercase()).or_default();
    let enabled = body["attributes"]["enabled"].as_bool();
    if method == Method::PUT {
        versions.push(Version {
            version: format!("{:032x}", versions.len() + 1),
            value: body["value"].as_str().unwrap_or_default().to_owned(),
            created: now(),
            enabled: enabled.unwrap_or(true),
            content_type: body["contentType"].as_str().map(str::to_owned),
        }); // [documented]
    }
    if version == "versions" {
        let list = versions.iter().map(|one| format!("{{{}}}", properties(&headers, name, one)));
        let list = list.collect::<Vec<_>>().join(",");
        return reply(200, format!(r#"{{"value":[{list}],"nextLink":null}}"#)); // [documented]
    }
    let Some(asked) = versions.iter_mut().rfind(|one| version.is_empty() || one.version == version) else {
        let message = format!(
            "A secret with (name/id) {name} was not found in this key vault. If you recently deleted this secret you may \
             be able to recover it using the correct recovery command. For help resolving this issue, please see \
             https://go.microsoft.com/fwlink/?linkid=2125182"
        );
        return failure(404, "SecretNotFound", &message, None);
    };
    asked.enabled = enabled.unwrap_or(asked.enabled); // [documented] PATCH
    let asked = asked.clone();
    if method == Method::GET && !asked.enabled {
        let message = "Operation get is not allowed on a disabled secret.";
        return failure(403, "Forbidden", message, Some("SecretDisabled"));
    }
    if method != Method::GET {
        std::fs::write("state.json", json!(inside.secrets).to_string()).expect("the folder is ours");
    }
    let kind = asked.content_type.as_deref().map(|kind| format!(r#""contentType":{},"#, quoted(kind)));
    let (value, kind) = (quoted(&asked.value), kind.unwrap_or_default());
    reply(200, format!(r#"{{"value":{value},{kind}{}}}"#, properties(&headers, name, &asked)))
}

/// [documented]
async fn token(State(double): State<Double>, Path(tenant): Path<String>, form: String) -> Response {
    let uri = Uri::try_from(format!("/?{form}")).unwrap_or_default();
    let form: Fields = Query::try_from_uri(&uri).map(|Query(form)| form).unwrap_or_default();
    let field = |name: &str| form.get(name).map(String::as_str);
    let proven =
        field("client_secret") == Some(CLIENT_SECRET) || field("client_assertion") == Some(FEDERATED_TOKEN);
    let known = tenant == TENANT && field("client_id") == Some(CLIENT);
    if double.inside().trouble.login_refused || !known || !proven {
        let code = if field("client_assertion").is_some() { 700_213 } else { 7_000_215 };
        let description = format!("AADSTS{code}: Invalid client secret, or no matching federated identity.");
        return reply(
            401,
            json!({"error": "invalid_client", "error_description": description, "error_codes": [code]}),
        );
    }
    let token = double.new_token();
    reply(200, json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}))
}

/// [documented] What Python's client wants to know first.
async fn authority(Path(tenant): Path<String>, headers: HeaderMap) -> Response {
    let base = format!("https://{}/{tenant}", host(&headers));
    let (login, token) = (format!("{base}/oauth2/v2.0/authorize"), format!("{base}/oauth2/v2.0/token"));
    reply(200, json!({"issuer": base, "authorization_endpoint": login, "token_endpoint": token}))
}

/// [documented] App Service, which wants its header, and a virtual machine.
async fn identity(State(double): State<Double>, headers: HeaderMap, query: Query<Fields>) -> Response {
    let (inside, version) = match headers.get("x-identity-header") {
        Some(header) => (header == IDENTITY_HEADER, "2019-08-01"),
        None => (headers.get("metadata").is_some_and(|header| header == "true"), "2018-02-01"),
    };
    let field = |name: &str| query.get(name).map(String::as_str);
    let known = inside && field("client_id").is_none_or(|id| id == CLIENT);
    if double.inside().trouble.login_refused || !known || field("api-version") != Some(version) {
        return reply(400, r#"{"error":"invalid_request","error_description":"Identity not found"}"#);
    }
    let (token, expires, resource) = (double.new_token(), (now() + 86_400).to_string(), field("resource"));
    let token =
        json!({"access_token": token, "expires_on": expires, "resource": resource, "token_type": "Bearer"});
    reply(200, token)
}

async fn trouble(State(double): State<Double>, axum::Json(trouble): axum::Json<Trouble>) {
    let mut inside = double.inside();
    if trouble.login_refused || trouble.tokens_forgotten {
        inside.tokens.clear();
    }
    inside.trouble = trouble;
}

async fn counts(State(double): State<Double>) -> axum::Json<Counts> {
    axum::Json(double.inside().counts)
}
