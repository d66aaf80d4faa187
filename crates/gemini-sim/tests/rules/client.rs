//! A raw HTTP client: shows exactly what came over the wire, and whether it came to its end.

use std::net::SocketAddr;

use gemini_sim::SimServer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A reply as it came; nothing at all if the connection was cut before it.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: Option<u16>,
    pub(crate) head: String,
    pub(crate) body: String,
    /// False if the connection ended before the body did.
    pub(crate) complete: bool,
}

impl Raw {
    pub(crate) fn json(&self) -> Value {
        assert!(self.complete, "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// The JSON of each event.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        self.body.split_terminator("\r\n\r\n").map(data).collect()
    }
}

pub(crate) fn prompt_body(text: &str) -> String {
    serde_json::json!({"contents": [{"role": "user", "parts": [{"text": text}]}]}).to_string()
}

/// A call with the key in the header.
pub(crate) async fn post(server: &SimServer, path: &str, secret: &str, body: &str) -> Raw {
    send(server.address(), &format!("POST {path} HTTP/1.1\r\nx-goog-api-key: {secret}\r\n"), body).await
}

pub(crate) async fn get(server: &SimServer, path: &str, secret: &str) -> Raw {
    send(server.address(), &format!("GET {path} HTTP/1.1\r\nx-goog-api-key: {secret}\r\n"), "").await
}

/// One request on a connection of its own.
pub(crate) async fn send(address: SocketAddr, head: &str, body: &str) -> Raw {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}host: sim\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await; // a cut may show as an error
    parse(&String::from_utf8(bytes).unwrap())
}

fn parse(text: &str) -> Raw {
    let Some((head, rest)) = text.split_once("\r\n\r\n") else {
        return Raw { status: None, head: text.to_owned(), body: String::new(), complete: false };
    };
    let head = head.to_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let (body, complete) = match length {
        Some(length) => (rest.to_owned(), rest.len() == length),
        None => unchunk(rest),
    };
    Raw { status, head, body, complete }
}

fn unchunk(mut rest: &str) -> (String, bool) {
    let mut body = String::new();
    while let Some((size, tail)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (body, true);
        }
        body.push_str(&tail[..size]);
        rest = &tail[size + 2..];
    }
    (body, false)
}
