//! The command `gemini-sim`.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::client::{prompt_body, send};

const GOOD: &str = r#"{"projects": [{"id": "p", "keys": [{"id": "k", "secret": "sentinel"}]}], "latency": {"type": "fixed", "ms": 0}}"#;

/// A configuration file in cargo's folder for test files.
fn config_file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn command(config: &PathBuf) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gemini-sim"));
    command.arg("--config").arg(config).args(["--listen", "127.0.0.1:0"]).kill_on_drop(true);
    command
}

async fn refused(name: &str, text: &str) -> String {
    let Output { status, stdout, stderr } = command(&config_file(name, text)).output().await.unwrap();
    assert_eq!(status.code(), Some(2));
    assert_eq!(stdout, b"");
    String::from_utf8(stderr).unwrap()
}

#[tokio::test]
async fn a_bad_configuration_ends_with_2_and_says_what_is_wrong() {
    let unknown = refused("unknown.json", r#"{"project": []}"#).await;
    assert!(unknown.contains("unknown.json") && unknown.contains("unknown field `project`"), "{unknown}");
    let twice =
        refused("twice.json", &GOOD.replace("\"keys\": [", r#""keys": [{"id": "k", "secret": "x"},"#)).await;
    assert!(twice.contains("key id \"k\" is used twice") && !twice.contains("sentinel"), "{twice}");
    let missing = command(&PathBuf::from("no/such/file.json")).output().await.unwrap();
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("cannot read no/such/file.json"));
}

#[cfg(unix)]
#[tokio::test]
async fn it_prints_its_address_serves_and_ends_on_ctrl_c() {
    let mut child = command(&config_file("good.json", GOOD)).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next_line().await.unwrap().unwrap();
    let address = line.strip_prefix("http://").unwrap().parse().unwrap();
    let head =
        "POST /v1beta/models/gemini-flash-latest:generateContent HTTP/1.1\r\nx-goog-api-key: sentinel\r\n";
    assert_eq!(send(address, head, &prompt_body("RSI")).await.status, Some(200));
    let process = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &process]).status().await.unwrap().success());
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}
