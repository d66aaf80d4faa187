//! A Redis master with a replica, and three sentinels that watch them.

use std::time::Duration;

use crate::process::new_home;
use crate::redis_cli::RedisCli;
use crate::{Process, RedisOptions, RedisServer, free_port, tool, wait_until};

/// Under this name the sentinels know the master.
const NAME: &str = "keyrot";
const PASSWORD: &str = "data-of-the-test";
const SENTINEL_PASSWORD: &str = "sentinel-of-the-test";

/// How long the sentinels may take to find each other, or to agree on a new master.
const AGREEMENT: Duration = Duration::from_secs(60);

/// Five processes that end with this value. Master and sentinels each have a password.
#[derive(Debug)]
pub struct RedisSentinels {
    sentinels: Vec<(Process, RedisCli)>,
    servers: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts all of them and waits until a failover could succeed. A master that is silent for 2 s is replaced.
    pub async fn start() -> Self {
        let common = RedisOptions::default().password(PASSWORD).set("masterauth", PASSWORD);
        let master = RedisServer::start(common.clone()).await;
        let port = master.port();
        let replica = RedisServer::start(common.set("replicaof", &format!("127.0.0.1 {port}"))).await;
        let mut started = Self { sentinels: Vec::new(), servers: vec![master, replica] };
        let replica = &started.servers[1];
        wait_until("the replica to follow its master", AGREEMENT, async || {
            replica.cli(["info", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        for _ in 0..3 {
            started.sentinels.push(sentinel(port).await);
        }
        for (_, cli) in &started.sentinels {
            wait_until("the sentinels to know each other and the replica", AGREEMENT, async || {
                let told = cli.answer(["sentinel", "master", NAME]).await;
                field(&told, "num-other-sentinels") == Some("2") && field(&told, "num-slaves") == Some("1")
            })
            .await;
        }
        started
    }

    /// Under this name the sentinels know the master.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The password of master and replica.
    #[must_use]
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// The password of the sentinels.
    #[must_use]
    pub fn sentinel_password(&self) -> &'static str {
        SENTINEL_PASSWORD
    }

    /// The ports of the sentinels on 127.0.0.1.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(|(_, cli)| cli.port).collect()
    }

    /// The present master as the first sentinel sees it.
    ///
    /// # Panics
    /// If it names none of the two servers.
    pub async fn master(&mut self) -> &mut RedisServer {
        let port = self.master_port().await;
        self.servers.iter_mut().find(|server| server.port() == port).expect("one of the two is the master")
    }

    /// A sentinel's process, by the order of [`ports`](Self::ports).
    pub fn sentinel(&mut self, number: usize) -> &mut Process {
        &mut self.sentinels[number].0
    }

    /// Waits until all sentinels have agreed on another master than the one at `old`, and it takes writes.
    pub async fn wait_for_another_master(&mut self, old: u16) {
        for (_, cli) in &self.sentinels {
            wait_until("another master", AGREEMENT, async || {
                master_of(cli).await.is_some_and(|port| port != old)
            })
            .await;
        }
        let master = &*self.master().await;
        wait_until("the new master to take writes", AGREEMENT, async || {
            master.cli_with(["set", "sentinel-test", "1"]).await.stdout.trim_end() == "OK"
        })
        .await;
    }

    async fn master_port(&self) -> u16 {
        master_of(&self.sentinels[0].1).await.expect("the sentinel knows the address of the master")
    }
}

/// Where the sentinel sees the master. While it is asked it may change its mind.
async fn master_of(sentinel: &RedisCli) -> Option<u16> {
    sentinel.answer(["sentinel", "get-master-addr-by-name", NAME]).await.lines().nth(1)?.parse().ok()
}

async fn sentinel(master: u16) -> (Process, RedisCli) {
    let (home, port) = (new_home(), free_port());
    let config = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass {SENTINEL_PASSWORD}\n\
         sentinel sentinel-pass {SENTINEL_PASSWORD}\nsentinel monitor {NAME} 127.0.0.1 {master} 2\n\
         sentinel auth-pass {NAME} {PASSWORD}\nsentinel down-after-milliseconds {NAME} 2000\n\
         sentinel failover-timeout {NAME} 6000\n",
        home.path().display()
    );
    // A sentinel writes into this file what it learns.
    std::fs::write(home.path().join("sentinel.conf"), config).expect("a file in a temporary folder");
    let mut process = Process::spawn_in(home, &tool("redis-server"), ["sentinel.conf", "--sentinel"], &[]);
    let mut cli = RedisCli::to(port);
    cli.password = Some(SENTINEL_PASSWORD.to_owned());
    process.wait_until_ready(async || cli.is_ready().await).await;
    (process, cli)
}

/// The line after the one that is `name`.
fn field<'a>(told: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = told.lines();
    lines.find(|line| *line == name)?;
    lines.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[ignore = "needs redis-server: cargo xtask test"]
    async fn sentinels_replace_a_master_that_crashed() {
        let mut sentinels = RedisSentinels::start().await;
        let master = sentinels.master().await;
        let old = master.port();
        master.cli(["set", "kept", "yes"]).await;
        assert_eq!(master.cli(["wait", "1", "60000"]).await, "1");
        master.process().kill();
        sentinels.wait_for_another_master(old).await;
        let master = sentinels.master().await;
        assert_ne!(master.port(), old);
        assert_eq!(master.cli(["get", "kept"]).await, "yes");
    }
}
