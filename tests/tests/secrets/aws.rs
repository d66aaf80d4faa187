//! AWS Secrets Manager: moto under load.

use std::collections::BTreeSet;
use std::sync::Mutex;

use keyrot_test_servers::moto::CREDENTIALS;
use keyrot_test_servers::{Moto, Process};

use crate::load::{self, Loss, StoreServer};

/// moto, and what was written to it: its log tells requests, not reads.
struct Aws {
    moto: Moto,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    names: BTreeSet<String>,
    requests: usize,
}

impl StoreServer for Aws {
    async fn start() -> Self {
        Self { moto: Moto::start().await, written: Mutex::default() }
    }

    fn vars(&self) -> Vec<(&'static str, String)> {
        let chosen = [("SECRET_STORE_TYPE", "aws"), ("AWS_ENDPOINT_URL", self.moto.url())];
        CREDENTIALS.into_iter().chain(chosen).map(|(name, value)| (name, value.to_owned())).collect()
    }

    fn names(&self) -> [String; 2] {
        ["aws:algoagent/flash_01".to_owned(), self.moto.url().to_owned()]
    }

    async fn put(&self, id: &str, secret: &str) {
        let name = format!("algoagent/{id}");
        let is_new = self.written.lock().unwrap().names.insert(name.clone());
        let [command, option] =
            if is_new { ["create-secret", "--name"] } else { ["put-secret-value", "--secret-id"] };
        self.moto.aws(["secretsmanager", command, option, &name, "--secret-string", secret]).await;
        self.written.lock().unwrap().requests += 1;
    }

    async fn reads(&self) -> usize {
        self.moto.requests() - self.written.lock().unwrap().requests
    }

    fn process(&mut self) -> &mut Process {
        self.moto.process()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn a_replaced_secret_is_taken_over_with_one_read() {
    load::a_replaced_secret_is_taken_over::<Aws>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn a_killed_server_is_not_noticed_until_a_cold_start() {
    load::a_lost_store_is_not_noticed_until_a_cold_start::<Aws>(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs moto and aws: cargo xtask test"]
async fn a_frozen_server_is_not_noticed_until_a_cold_start() {
    load::a_lost_store_is_not_noticed_until_a_cold_start::<Aws>(Loss::Frozen).await;
}
