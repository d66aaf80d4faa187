//! moto, AWS in memory, and microburst, a proxy before it that answers with AWS's errors when told to.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Ended, Process, free_port, run_program, tool};

/// What every client of it signs with, and what keeps it from looking for anything else.
pub const CREDENTIALS: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "AKIATEST"),
    ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// AWS Secrets Manager (and most of the rest) in memory.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    url: String,
}

impl Moto {
    /// Starts an empty one.
    pub async fn start() -> Self {
        let port = free_port().to_string();
        let process = Process::spawn(&tool("moto_server"), ["-H", "127.0.0.1", "-p", &port], &CREDENTIALS);
        let mut server = Self { process, url: format!("http://127.0.0.1:{port}") };
        server.wait_until_ready().await;
        server
    }

    /// `AWS_ENDPOINT_URL`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again, empty, at the same address.
    pub async fn restart(&mut self) {
        self.process.restart();
        self.wait_until_ready().await;
    }

    /// Forgets everything.
    pub async fn reset(&self) {
        request(Method::POST, &format!("{}/moto-api/reset", self.url), None).await;
    }

    /// Runs the real command `aws` against it; returns what it printed.
    ///
    /// # Panics
    /// If it fails; the message says what it printed.
    pub async fn aws<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        aws(&self.url, arguments).await.success()
    }

    async fn wait_until_ready(&mut self) {
        let url = self.url.clone();
        self.process.wait_until_ready(async || answers_for_a_missing_secret(&url).await).await;
    }
}

/// A proxy that fails requests on purpose and keeps a record of it.
#[derive(Debug)]
pub struct Microburst {
    process: Process,
    url: String,
    control: String,
}

impl Microburst {
    /// Before a moto; its [`url`](Self::url) takes the other's place.
    pub async fn before(moto: &Moto) -> Self {
        let port = free_port().to_string();
        let url = format!("http://127.0.0.1:{port}");
        let arguments = ["--upstream", moto.url(), "--host", "127.0.0.1", "--port", &port];
        let process = Process::spawn(&tool("microburst"), arguments, &CREDENTIALS);
        let mut proxy = Self { process, control: url.clone(), url };
        // Its first request loads the models of all services, which takes seconds: let it be this one.
        let url = proxy.url.clone();
        proxy.process.wait_until_ready(async || answers_for_a_missing_secret(&url).await).await;
        proxy
    }

    /// `AWS_ENDPOINT_URL`
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The proxy's process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Adds a rule, as microburst documents them:
    /// `{"service": "secretsmanager", "operation": "GetSecretValue", "error": {"code": "ThrottlingException", "message":
    /// "Rate exceeded"}, "times": 2}`; or `latency`, `timeout_ms` (milliseconds) or `"reset": true` in place of `error`.
    pub async fn add_rule(&self, rule: &Value) {
        self.control(Method::PATCH, "rules", Some(&json!([rule]))).await;
    }

    /// Takes all rules away.
    pub async fn clear(&self) {
        self.control(Method::POST, "rules", Some(&json!([]))).await;
    }

    /// The faults that were injected, oldest first.
    pub async fn fired(&self) -> Vec<Value> {
        let mut told = self.control(Method::GET, "fired?limit=100000", None).await;
        told.as_array_mut().map(std::mem::take).expect("a list of faults")
    }

    async fn control(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        request(method, &format!("{}/_microburst/{path}", self.control), body).await
    }
}

/// Runs the real command `aws` against the server at `endpoint`; it may fail.
pub async fn aws<'a>(endpoint: &str, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
    let mut variables = CREDENTIALS.to_vec();
    variables.extend([
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_PAGER", ""),
    ]);
    run_program(&tool("aws"), arguments, &variables, "").await
}

/// True once the whole way to the secrets is open: the server says that a secret does not exist.
async fn answers_for_a_missing_secret(url: &str) -> bool {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client
        .post(url)
        .header("x-amz-target", "secretsmanager.GetSecretValue")
        .header("content-type", "application/x-amz-json-1.1")
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/secretsmanager/aws4_request, \
             SignedHeaders=host, Signature=0",
        )
        .body(r#"{"SecretId": "is-anybody-there"}"#);
    let Ok(reply) = request.send().await else { return false };
    reply.text().await.is_ok_and(|text| text.contains("ResourceNotFoundException"))
}

async fn request(method: Method, url: &str, body: Option<&Value>) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut request = client.request(method, url);
    if let Some(body) = body {
        request = request.json(body);
    }
    let reply = request.send().await.expect("the server answers");
    let (status, text) = (reply.status(), reply.text().await.expect("a text"));
    assert!(status.is_success(), "{url}: {status} {text}");
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[ignore = "needs moto and aws: cargo xtask test"]
    async fn moto_keeps_what_the_real_command_writes() {
        let moto = Moto::start().await;
        let create =
            ["secretsmanager", "create-secret", "--name", "algoagent/flash_01", "--secret-string", "first"];
        moto.aws(create).await;
        let get = [
            "secretsmanager",
            "get-secret-value",
            "--secret-id",
            "algoagent/flash_01",
            "--query",
            "SecretString",
        ];
        assert_eq!(moto.aws(get).await, "\"first\"");
        moto.reset().await;
        let gone = aws(moto.url(), get).await;
        assert!(gone.code != Some(0) && gone.stderr.contains("ResourceNotFoundException"), "{gone:?}");
    }

    #[tokio::test]
    #[ignore = "needs moto, microburst and aws: cargo xtask test"]
    async fn moto_behind_microburst_fails_as_told_and_not_longer() {
        let moto = Moto::start().await;
        let create =
            ["secretsmanager", "create-secret", "--name", "algoagent/flash_01", "--secret-string", "first"];
        moto.aws(create).await;
        let proxy = Microburst::before(&moto).await;
        let error = json!({"code": "AccessDeniedException", "message": "not you"});
        proxy
            .add_rule(&json!({"service": "secretsmanager", "operation": "GetSecretValue", "error": error, "times": 1}))
            .await;
        let get = ["secretsmanager", "get-secret-value", "--secret-id", "algoagent/flash_01"];
        let denied = aws(proxy.url(), get).await;
        assert!(denied.stderr.contains("AccessDeniedException"), "{denied:?}");
        assert!(aws(proxy.url(), get).await.success().contains("first"));
        let fired = proxy.fired().await;
        assert!(fired.len() == 1 && fired[0].to_string().contains("AccessDeniedException"), "{fired:?}");
        proxy.add_rule(&json!({"service": "secretsmanager", "error": error})).await;
        proxy.clear().await;
        assert!(aws(proxy.url(), get).await.success().contains("first"));
    }
}
