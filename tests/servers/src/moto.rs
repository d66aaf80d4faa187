//! moto, AWS in memory, and the real command `aws`.

use reqwest::Method;
use serde_json::Value;

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

    /// How many requests to AWS it has answered since its first start.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.process.log().matches("\"POST / HTTP").count()
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

    /// From now on nobody may do more than the policies of his user allow. Of a policy only the actions count: moto asks
    /// for each of them on the resource `*`.
    pub async fn check_permissions(&self) {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.post(format!("{}/moto-api/reset-auth", self.url));
        let request = request.header("content-type", "text/plain").body("0"); // actions that are free
        let reply = request.send().await.expect("the server answers");
        assert!(reply.status().is_success(), "{}", reply.status());
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
pub(crate) async fn answers_for_a_missing_secret(url: &str) -> bool {
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

pub(crate) async fn request(method: Method, url: &str, body: Option<&Value>) -> Value {
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
        let before = moto.requests();
        assert_eq!(moto.aws(get).await, "\"first\"");
        assert_eq!(moto.requests() - before, 1);
        moto.reset().await;
        let gone = aws(moto.url(), get).await;
        assert!(gone.code != Some(0) && gone.stderr.contains("ResourceNotFoundException"), "{gone:?}");
    }
}
