//! A server that gives the same answer to every question but that of its state: what a real one says only in states
//! that a single server cannot have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keyrot_core::StoreTimeouts;
use keyrot_core::secrecy::SecretString;
use keyrot_secrets_vault::{KvVersion, VaultConfig, VaultCredential, VaultStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The token of every store here.
pub(crate) const TOKEN: &str = "x9d03be71a5c4f28d6";

/// It ends with its runtime.
pub(crate) struct Scripted {
    pub(crate) address: String,
    asked: Arc<AtomicUsize>,
}

impl Scripted {
    /// `health` answers what a store asks by itself, `answer` the rest: each is a status with its words, further
    /// headers and a body, `503 Service Unavailable\r\n\r\n{}`.
    pub(crate) async fn start(health: &'static str, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, health, answer, Arc::clone(&count)));
            }
        });
        Self { address, asked }
    }

    /// A store of KV 2 that does not ask for the mount.
    pub(crate) fn store(&self) -> VaultStore {
        let config = VaultConfig {
            address: self.address.clone(),
            credential: VaultCredential::Token(SecretString::from(TOKEN)),
            secret_path: "secret/algoagent".to_owned(),
            field: "value".to_owned(),
            namespace: None,
            ca_file: None,
            skip_verify: false,
            kv_version: Some(KvVersion::V2),
        };
        VaultStore::new(config, StoreTimeouts::default()).unwrap()
    }

    /// How many questions have come, that of the state left out.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut connection: TcpStream,
    health: &'static str,
    answer: &'static str,
    count: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if connection.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    // The store asks for these by itself; the one that is counted is what a test asks.
    let asks = |path: &str| request.windows(path.len()).any(|part| part == path.as_bytes());
    let is_health = asks("/sys/health") || asks("/lookup-self");
    if !is_health {
        count.fetch_add(1, Ordering::Relaxed);
    }
    let (head, body) = if is_health { health } else { answer }.split_once("\r\n\r\n").unwrap();
    let reply =
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    connection.write_all(reply.as_bytes()).await
}
