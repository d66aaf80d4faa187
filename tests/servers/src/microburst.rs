//! microburst, a proxy that answers with AWS's or Redis' own errors when told to.

use reqwest::Method;
use serde_json::{Value, json};

use crate::moto::{CREDENTIALS, answers_for_a_missing_secret, request};
use crate::redis_cli::RedisCli;
use crate::{Moto, Process, RedisServer, free_port, tool};

/// A proxy that fails requests on purpose and keeps a record of it.
#[derive(Debug)]
pub struct Microburst {
    process: Process,
    url: String,
    /// Where it takes orders; for HTTP that is the port of the proxy itself.
    control: String,
}

impl Microburst {
    /// Before a moto; its [`url`](Self::url) takes the other's place.
    pub async fn before(moto: &Moto) -> Self {
        let port = free_port().to_string();
        let url = format!("http://127.0.0.1:{port}");
        let arguments = ["--upstream", moto.url(), "--host", "127.0.0.1", "--port", &port];
        let mut process = Process::spawn(&tool("microburst"), arguments, &CREDENTIALS);
        // Its first request loads the models of all services, which takes seconds: let it be this one.
        process.wait_until_ready(async || answers_for_a_missing_secret(&url).await).await;
        Self { process, control: url.clone(), url }
    }

    /// Before a Redis that is open to everybody; its [`url`](Self::url) takes the other's place.
    pub async fn before_redis(server: &RedisServer) -> Self {
        let (port, control) = (free_port(), free_port());
        let upstream = format!("127.0.0.1:{}", server.port());
        let (listen, orders) = (port.to_string(), control.to_string());
        let arguments =
            ["--protocol", "redis", "--upstream", &upstream, "--host", "127.0.0.1", "--port", &listen];
        let arguments = arguments.into_iter().chain(["--control-port", &orders]);
        let mut process = Process::spawn(&tool("microburst"), arguments, &[]);
        let (cli, control) = (RedisCli::to(port), format!("http://127.0.0.1:{control}"));
        let health = format!("{control}/_microburst/health");
        process.wait_until_ready(async || cli.is_ready().await && answers(&health).await).await;
        Self { process, url: format!("redis://127.0.0.1:{port}"), control }
    }

    /// `AWS_ENDPOINT_URL` or `REDIS_URL`
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
    /// With Redis the service is `redis` and the operation a command in small letters: `evalsha`.
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

async fn answers(url: &str) -> bool {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.get(url).send().await.is_ok_and(|reply| reply.status().is_success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RedisOptions;
    use crate::moto::aws;

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

    #[tokio::test]
    #[ignore = "needs microburst and redis-server: cargo xtask test"]
    async fn redis_behind_microburst_fails_as_told_and_not_longer() {
        let server = RedisServer::start(RedisOptions::default()).await;
        let proxy = Microburst::before_redis(&server).await;
        let cli = RedisCli::to(proxy.url().rsplit(':').next().unwrap().parse().unwrap());
        let error = json!({"code": "LOADING", "message": "Redis is loading the dataset in memory"});
        proxy.add_rule(&json!({"service": "redis", "operation": "incr", "error": error, "times": 1})).await;
        let refused = cli.run(["incr", "count"]).await;
        assert!(refused.stdout.starts_with("LOADING"), "{refused:?}");
        assert_eq!(cli.answer(["incr", "count"]).await, "1", "the first one was not counted");
        assert_eq!(proxy.fired().await.len(), 1);
    }
}
