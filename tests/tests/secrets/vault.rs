//! Vault: OpenBao under load.

use keyrot_test_servers::{OpenBao, Process};

use crate::load::{self, Loss, StoreServer};

impl StoreServer for OpenBao {
    async fn start() -> Self {
        Self::dev().await
    }

    fn vars(&self) -> Vec<(&'static str, String)> {
        let vars =
            [("SECRET_STORE_TYPE", "vault"), ("VAULT_ADDR", self.address()), ("VAULT_TOKEN", self.token())];
        vars.map(|(name, value)| (name, value.to_owned())).into()
    }

    fn names(&self) -> [String; 2] {
        ["vault:secret/algoagent/flash_01".to_owned(), self.address().to_owned()]
    }

    async fn put(&self, id: &str, secret: &str) {
        self.bao(["kv", "put", &format!("secret/algoagent/{id}"), &format!("value={secret}")]).await;
    }

    async fn reads(&self) -> usize {
        self.requests("GET", "secret/data/")
    }

    fn process(&mut self) -> &mut Process {
        self.process()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_replaced_secret_is_taken_over_with_one_read() {
    load::a_replaced_secret_is_taken_over::<OpenBao>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_killed_server_is_not_noticed_until_a_cold_start() {
    load::a_lost_store_is_not_noticed_until_a_cold_start::<OpenBao>(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs OpenBao: cargo xtask test"]
async fn a_frozen_server_is_not_noticed_until_a_cold_start() {
    load::a_lost_store_is_not_noticed_until_a_cold_start::<OpenBao>(Loss::Frozen).await;
}
