//! What a container's and an instance's own addresses answer to who asks for a credential there, by AWS's documentation:
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// It ends with its runtime.
pub(crate) struct Metadata {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::default());
        let heard = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&heard)));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self, question: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked == question)
    }
}

async fn serve(mut connection: TcpStream, heard: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if connection.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let question = request.split(" HTTP").next().unwrap_or_default().to_owned();
    heard.lock().unwrap().push(question.clone());
    let credential = r#"{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "AKIATEST", "SecretAccessKey": "x",
        "Token": "t", "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}"#;
    let (status, body) = match question.as_str() {
        "PUT /latest/api/token" => ("200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600", "a-token"),
        "GET /latest/meta-data/iam/security-credentials/" => ("200 OK", "the-role"),
        "GET /latest/meta-data/iam/security-credentials/the-role" | "GET /container" => {
            ("200 OK", credential)
        }
        _ => ("404 Not Found", ""),
    };
    let length = body.len();
    let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    connection.write_all(reply.as_bytes()).await
}
