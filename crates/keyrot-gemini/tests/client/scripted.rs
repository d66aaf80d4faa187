//! A server that answers byte for byte what a test wants, and tells what it was asked.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What happens on a connection after the request was read. At the end of the list it is closed.
#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// Says nothing more and keeps the connection open.
    Hang,
}

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line =
            |line: &'_ str| line.split_once(": ").is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head
            .lines()
            .find(|found| line(found))
            .and_then(|found| found.split_once(": "))
            .map(|(_, value)| value)
    }
}

pub(crate) struct Scripted {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    silent: mpsc::UnboundedReceiver<()>,
}

impl Scripted {
    /// Answers the first request with the first script, and so on; then the port is closed.
    pub(crate) async fn start(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        let scripts: Vec<Vec<Step>> = scripts.into_iter().collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = mpsc::unbounded_channel();
        let (hangs, silent) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for script in scripts {
                let (connection, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(connection, script, told.clone(), hangs.clone()));
            }
        });
        Self { address, asked, silent }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn asked(&mut self) -> Asked {
        self.asked.recv().await.expect("a request")
    }

    /// Waits until all was sent and nothing more will come.
    pub(crate) async fn silent(&mut self) {
        self.silent.recv().await.expect("a script that hangs");
    }
}

pub(crate) async fn serve<C: AsyncRead + AsyncWrite + Unpin>(
    mut connection: C,
    script: Vec<Step>,
    told: mpsc::UnboundedSender<Asked>,
    hangs: mpsc::UnboundedSender<()>,
) {
    let Some(asked) = read_request(&mut connection).await else { return };
    let _ = told.send(asked);
    for step in script {
        match step {
            Step::Send(bytes) => {
                if connection.write_all(&bytes).await.is_err() || connection.flush().await.is_err() {
                    return; // the client has gone: some tests want that
                }
            }
            Step::Hang => {
                let _ = hangs.send(());
                return std::future::pending().await;
            }
        }
    }
    let _ = connection.shutdown().await;
}

async fn read_request<C: AsyncRead + Unpin>(connection: &mut C) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let asked = Asked {
                head: String::from_utf8(bytes[..end].to_vec()).unwrap(),
                body: String::from_utf8(bytes[end + 4..].to_vec()).unwrap(),
            };
            let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
            if asked.body.len() >= length {
                return Some(asked);
            }
        }
        if connection.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole reply.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Send(
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
            .into(),
    )]
}

/// A streamed reply of these pieces, with its proper end.
pub(crate) fn streamed<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vec<Step> {
    let mut steps = begun(pieces);
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    steps
}

/// A streamed reply of these pieces that does not end.
pub(crate) fn begun<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Vec<Step> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut steps = vec![Step::Send(head.into())];
    for piece in pieces {
        let mut chunk = format!("{:x}\r\n", piece.as_ref().len()).into_bytes();
        chunk.extend_from_slice(piece.as_ref());
        chunk.extend_from_slice(b"\r\n");
        steps.push(Step::Send(chunk));
    }
    steps
}

/// An event with a piece of text, and perhaps the end.
pub(crate) fn event(text: &str, finish: Option<&str>) -> String {
    let mut candidate = serde_json::json!({"content": {"parts": [{"text": text}], "role": "model"}});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    let usage = serde_json::json!({"promptTokenCount": 7, "totalTokenCount": 7 + text.len()});
    format!("data: {}\r\n\r\n", serde_json::json!({"candidates": [candidate], "usageMetadata": usage}))
}
