//! Google's own Python client against the simulator.

use gemini_sim::{Limits, Project, SimServer, Window};
use keyrot_test_servers::tool;
use tokio::process::Command;

use crate::config;

#[tokio::test]
#[ignore = "needs Python with google-genai 3.4.0: cargo xtask test"]
async fn googles_client_is_served() {
    let free = Project::new("gamma").key("c1", "secret-c1");
    let config = config(Limits::default().rpm(2)).window(Window::Sliding).project(free);
    let server = SimServer::start(config).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/google_genai.py");
    let output = Command::new(tool("python"))
        .args(["-B", script, &server.base_url(), "secret-a1", "secret-b1", "secret-c1"])
        .env_remove("GOOGLE_API_KEY")
        .env_remove("GEMINI_API_KEY")
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (stdout, attempts) = (String::from_utf8(output.stdout).unwrap(), server.attempts());
    assert_eq!(stdout.trim(), "ok");
    assert!(attempts.len() >= 8 && attempts.iter().all(|attempt| !attempt.key_in_url), "{attempts:?}");
}
