//! Redis and Valkey, one server by itself.

use std::path::PathBuf;

use crate::process::new_home;
use crate::redis_cli::{ClientFiles, RedisCli};
use crate::{Certificates, Ended, Process, free_port, tool};

/// The user that a server with an ACL gets beside those of the test: [`RedisServer::cli`] is this one.
const ADMIN: (&str, &str) = ("admin", "admin-of-the-test");

/// What a server is like. By default: Redis, open to everybody, nothing kept on disk.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    program: &'static str,
    lines: Vec<String>,
    password: Option<String>,
    users: Option<String>,
    tls: Option<ClientFiles>,
    unix_socket: bool,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            program: "redis-server",
            lines: Vec::new(),
            password: None,
            users: None,
            tls: None,
            unix_socket: false,
        }
    }
}

impl RedisOptions {
    /// Valkey in place of Redis. It has no TLS here.
    #[must_use]
    pub fn valkey(mut self) -> Self {
        self.program = "valkey-server";
        self
    }

    /// One password for all (`requirepass`).
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self.set("requirepass", password)
    }

    /// Users, one a line as in an ACL file: `user keyrot on >s3cret ~keyrot:* +@all -@dangerous`.
    #[must_use]
    pub fn acl(mut self, users: &str) -> Self {
        self.users = Some(users.to_owned());
        self
    }

    /// TLS and nothing else; with `asks_clients` for those only who show the client's certificate.
    #[must_use]
    pub fn tls(mut self, files: &Certificates, asks_clients: bool) -> Self {
        self.tls = Some(ClientFiles::of(files));
        self.set("tls-cert-file", &files.server_certificate().display().to_string())
            .set("tls-key-file", &files.server_key().display().to_string())
            .set("tls-ca-cert-file", &files.ca().display().to_string())
            .set("tls-auth-clients", if asks_clients { "yes" } else { "no" })
    }

    /// A Unix socket as well.
    #[must_use]
    pub fn unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }

    /// Any other line of `redis.conf`: `set("maxmemory-policy", "allkeys-lru")`, `set("enable-debug-command", "yes")`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.lines.push(format!("{name} {value}"));
        self
    }
}

/// A running server on the loopback address.
#[derive(Debug)]
pub struct RedisServer {
    process: Process,
    cli: RedisCli,
    password: Option<String>,
}

impl RedisServer {
    /// Starts an empty one.
    pub async fn start(options: RedisOptions) -> Self {
        let (home, port) = (new_home(), free_port());
        let folder = home.path().display();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("dir {folder}"),
            "save \"\"".to_owned(),
            if options.tls.is_some() { format!("port 0\ntls-port {port}") } else { format!("port {port}") },
        ];
        if options.unix_socket {
            lines.push(format!("unixsocket {folder}/redis.sock"));
        }
        let RedisOptions { program, password, users, tls, .. } = options;
        let mut cli = RedisCli { port, user: None, password: password.clone(), tls };
        if let Some(users) = users {
            let (admin, secret) = ADMIN;
            let users = format!("{}\nuser {admin} on >{secret} ~* &* +@all\n", users.trim_end());
            std::fs::write(home.path().join("users.acl"), users).expect("a file in a temporary folder");
            lines.push(format!("aclfile {folder}/users.acl"));
            (cli.user, cli.password) = (Some(admin.to_owned()), Some(secret.to_owned()));
        }
        // What the test asks for comes last: it wins.
        lines.extend(options.lines);
        std::fs::write(home.path().join("redis.conf"), lines.join("\n") + "\n")
            .expect("a file in a temporary folder");
        let process = Process::spawn_in(home, &tool(program), ["redis.conf"], &[]);
        let mut server = Self { process, cli, password };
        server.wait_until_ready().await;
        server
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.cli.port
    }

    /// `REDIS_URL`, with the password if there is one for all.
    #[must_use]
    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        self.url_with(&password)
    }

    /// `REDIS_URL` for one of the users of the ACL.
    #[must_use]
    pub fn url_of(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"))
    }

    /// The path of the Unix socket.
    #[must_use]
    pub fn unix_socket(&self) -> PathBuf {
        self.process.home().join("redis.sock")
    }

    /// The server's process, to freeze or to kill.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again on the same port; empty, unless its options keep its data (`appendonly yes`).
    pub async fn restart(&mut self) {
        self.process.restart();
        self.wait_until_ready().await;
    }

    /// Runs `redis-cli` with all rights; returns what it printed.
    ///
    /// # Panics
    /// If the server answers with an error; the message says which.
    pub async fn cli<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        self.cli.answer(arguments).await
    }

    /// The same; it may fail. An error of the server is an answer like any other.
    pub async fn cli_with<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ended {
        self.cli.run(arguments).await
    }

    fn url_with(&self, who: &str) -> String {
        let scheme = if self.cli.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{who}127.0.0.1:{}", self.port())
    }

    async fn wait_until_ready(&mut self) {
        let cli = &self.cli;
        self.process.wait_until_ready(async || cli.is_ready().await).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[ignore = "needs redis-server: cargo xtask test"]
    async fn redis_counts_and_is_empty_after_a_crash() {
        let mut server = RedisServer::start(RedisOptions::default()).await;
        assert_eq!(server.cli(["incr", "count"]).await, "1");
        assert_eq!(server.cli(["incr", "count"]).await, "2");
        let port = server.port();
        server.process().kill();
        assert_eq!(server.cli_with(["ping"]).await.code, Some(1));
        server.restart().await;
        assert_eq!((server.cli(["incr", "count"]).await, server.port()), ("1".to_owned(), port));
        let kept = RedisOptions::default().set("appendonly", "yes").set("appendfsync", "always");
        let mut server = RedisServer::start(kept).await;
        server.cli(["incr", "count"]).await;
        server.restart().await;
        assert_eq!(server.cli(["incr", "count"]).await, "2");
    }

    #[tokio::test]
    #[ignore = "needs valkey-server: cargo xtask test"]
    async fn valkey_answers_behind_a_password_and_on_a_socket() {
        let options = RedisOptions::default().valkey().password("pw").unix_socket();
        let server = RedisServer::start(options.set("maxmemory-policy", "allkeys-lru")).await;
        assert_eq!(server.url(), format!("redis://:pw@127.0.0.1:{}", server.port()));
        assert!(server.cli(["info", "server"]).await.contains("valkey_version:9."));
        assert_eq!(server.cli(["config", "get", "maxmemory-policy"]).await, "maxmemory-policy\nallkeys-lru");
        assert!(RedisCli::to(server.port()).run(["ping"]).await.stdout.contains("NOAUTH"));
        let socket = server.unix_socket().display().to_string();
        assert_eq!(server.cli(["-s", &socket, "ping"]).await, "PONG");
    }

    #[tokio::test]
    #[ignore = "needs redis-server: cargo xtask test"]
    async fn redis_users_may_do_what_the_acl_says() {
        let users = "user default off\nuser keyrot on >s3cret ~keyrot:* +@all -@scripting\n";
        let server = RedisServer::start(RedisOptions::default().acl(users)).await;
        assert_eq!(
            server.url_of("keyrot", "s3cret"),
            format!("redis://keyrot:s3cret@127.0.0.1:{}", server.port())
        );
        let mut cli = RedisCli::to(server.port());
        (cli.user, cli.password) = (Some("keyrot".to_owned()), Some("s3cret".to_owned()));
        assert_eq!(cli.answer(["set", "keyrot:1", "x"]).await, "OK");
        assert!(cli.run(["set", "other", "x"]).await.stdout.contains("NOPERM"));
        assert!(cli.run(["eval", "return 1", "0"]).await.stdout.contains("NOPERM"));
        assert_eq!(server.cli(["eval", "return 1", "0"]).await, "1");
    }

    #[tokio::test]
    #[ignore = "needs redis-server: cargo xtask test"]
    async fn redis_with_tls_asks_for_a_certificate_if_told_to() {
        let files = Certificates::make();
        for (asks_clients, without_one) in [(false, "PONG"), (true, "")] {
            let server = RedisServer::start(RedisOptions::default().tls(&files, asks_clients)).await;
            assert_eq!(server.url(), format!("rediss://127.0.0.1:{}", server.port()));
            assert_eq!(server.cli(["ping"]).await, "PONG");
            let ca = files.ca().display().to_string();
            let bare = RedisCli::to(server.port()).run(["--tls", "--cacert", &ca, "ping"]).await;
            assert_eq!(bare.stdout.trim_end(), without_one, "{bare:?}");
            assert_ne!(RedisCli::to(server.port()).run(["ping"]).await.stdout.trim_end(), "PONG", "TLS only");
        }
    }
}
