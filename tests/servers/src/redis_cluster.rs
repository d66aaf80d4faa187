//! A Redis Cluster of three masters.

use std::time::Duration;

use crate::{RedisOptions, RedisServer, free_port, wait_until};

/// How long the nodes may take to agree.
const AGREEMENT: Duration = Duration::from_secs(60);

/// Three processes that end with this value. All slots are served, a third each; there are no replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until each of them takes commands. A node that is silent for 2 s is marked as failed.
    pub async fn start(options: RedisOptions) -> Self {
        let mut nodes = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let node = options.clone().set("cluster-enabled", "yes").set("cluster-node-timeout", "2000");
            nodes.push(RedisServer::start(node.set("cluster-port", &bus)).await);
            addresses.push(format!("127.0.0.1:{}", nodes[nodes.len() - 1].port()));
        }
        let create = ["--cluster", "create", &addresses[0], &addresses[1], &addresses[2]];
        nodes[0].cli(create.into_iter().chain(["--cluster-replicas", "0", "--cluster-yes"])).await;
        let cluster = Self { nodes };
        cluster.wait_until_whole().await;
        cluster
    }

    /// The nodes, to be asked, frozen or killed.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    /// `REDIS_URL`s of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The node, by its place in [`nodes`](Self::nodes), that serves a key.
    ///
    /// # Panics
    /// If a node does not answer.
    pub async fn node_of(&self, key: &str) -> usize {
        let slot: u16 =
            self.nodes[0].cli(["cluster", "keyslot", key]).await.parse().expect("the number of a slot");
        for (place, node) in self.nodes.iter().enumerate() {
            let slots = node.cli(["cluster", "nodes"]).await;
            let own = slots.lines().find(|line| line.contains("myself")).expect("a node knows itself");
            if own.split(' ').skip(8).filter_map(range).any(|(first, last)| (first..=last).contains(&slot)) {
                return place;
            }
        }
        panic!("nobody serves slot {slot}");
    }

    /// Waits until every node sees all slots served.
    pub async fn wait_until_whole(&self) {
        for node in &self.nodes {
            wait_until("a whole cluster", AGREEMENT, async || {
                let told = node.cli_with(["cluster", "info"]).await.stdout;
                told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
            })
            .await;
        }
    }
}

/// `0-5460` or `7`
fn range(slots: &str) -> Option<(u16, u16)> {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn spreads_keys(options: RedisOptions) {
        let mut cluster = RedisCluster::start(options).await;
        let place = cluster.node_of("{pool}:a").await;
        assert_eq!(cluster.node_of("{pool}:b").await, place, "a hash tag keeps keys together");
        assert_eq!(cluster.nodes()[place].cli(["set", "{pool}:a", "x"]).await, "OK");
        let other = cluster.nodes()[(place + 1) % 3].cli_with(["get", "{pool}:a"]).await;
        assert!(other.stdout.contains("MOVED"), "{other:?}");
        assert_eq!(cluster.nodes()[(place + 1) % 3].cli(["-c", "get", "{pool}:a"]).await, "x");
    }

    #[tokio::test]
    #[ignore = "needs redis-server: cargo xtask test"]
    async fn redis_cluster_spreads_keys_over_its_nodes() {
        spreads_keys(RedisOptions::default()).await;
    }

    #[tokio::test]
    #[ignore = "needs valkey-server: cargo xtask test"]
    async fn valkey_cluster_spreads_keys_over_its_nodes() {
        spreads_keys(RedisOptions::default().valkey()).await;
    }
}
