//! Azure Key Vault: its double under load.

use keyrot_test_servers::{Azure, Process};

use crate::load::{self, Loss, StoreServer};

impl StoreServer for Azure {
    async fn start() -> Self {
        Self::start().await
    }

    fn vars(&self) -> Vec<(&'static str, String)> {
        let mut vars = self.variables();
        vars.push(("SECRET_STORE_TYPE", "azure".to_owned()));
        vars
    }

    fn names(&self) -> [String; 2] {
        let host = self.url().trim_start_matches("https://").to_owned();
        [format!("azure:{host}/secrets/flash-01"), self.url()]
    }

    async fn put(&self, id: &str, secret: &str) {
        self.put(&id.replace('_', "-"), secret).await;
    }

    async fn reads(&self) -> usize {
        self.counts().await.reads
    }

    fn process(&mut self) -> &mut Process {
        self.process()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_secret_is_taken_over_with_one_read() {
    load::a_replaced_secret_is_taken_over::<Azure>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_is_not_noticed_until_a_cold_start() {
    load::a_lost_store_is_not_noticed_until_a_cold_start::<Azure>(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_not_noticed_until_a_cold_start() {
    load::a_lost_store_is_not_noticed_until_a_cold_start::<Azure>(Loss::Frozen).await;
}
