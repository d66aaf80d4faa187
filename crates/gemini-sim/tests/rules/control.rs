//! The control address, over HTTP.

use gemini_sim::{Latency, Limits, SimServer, Window};

use crate::client::{get, post, prompt_body};
use crate::{MODEL, PROMPT, config};

async fn serve() -> SimServer {
    let config = config(Limits::default().rpm(3)).window(Window::Sliding).latency(Latency::ZERO);
    SimServer::start(config).await.unwrap()
}

async fn generate(server: &SimServer, secret: &str) -> Option<u16> {
    post(server, "/v1beta/models/gemini-3.8-flash:generateContent", secret, &prompt_body(PROMPT)).await.status
}

#[tokio::test]
async fn the_record_names_keys_and_never_secrets() {
    let server = serve().await;
    for secret in ["secret-a1", "secret-a2", "not-a-key"] {
        generate(&server, secret).await;
    }
    let raw = get(&server, "/sim/attempts", "").await;
    for secret in ["secret-a1", "secret-a2", "not-a-key"] {
        assert!(!raw.body.contains(secret), "{}", raw.body);
    }
    let json = raw.json();
    let attempts = json["attempts"].as_array().unwrap();
    assert_eq!(
        (attempts[0]["key_id"].as_str(), attempts[0]["project"].as_str()),
        (Some("a1"), Some("alpha"))
    );
    assert_eq!(
        (attempts[1]["verdict"].as_str(), attempts[1]["status"].as_u64()),
        (Some("accepted"), Some(200))
    );
    assert_eq!(
        (attempts[1]["model"].as_str(), attempts[1]["operation"].as_str()),
        (Some(MODEL), Some("generate"))
    );
    assert_eq!(
        (attempts[2]["verdict"].as_str(), attempts[2]["key_id"].is_null()),
        (Some("key_unknown"), true)
    );
    let later = get(&server, "/sim/attempts?since=2", "").await.json();
    assert_eq!(later["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn faults_are_added_removed_and_refused_with_a_reason() {
    let server = serve().await;
    let fault = r#"{"kind": {"quota": {"retry_after_s": 30}}, "key": "a1"}"#;
    assert_eq!(post(&server, "/sim/faults", "", fault).await.status, Some(200));
    assert_eq!(
        (generate(&server, "secret-a1").await, generate(&server, "secret-a2").await),
        (Some(429), Some(200))
    );
    let state = get(&server, "/sim/state", "").await.json();
    assert_eq!(state["faults"][0]["struck"], 1);
    assert_eq!(state["quotas"][0]["requests_per_minute"]["used"], 1, "the scripted 429 took nothing");
    for (wrong, reason) in
        [(r#"{"kind": "cut", "key": "z"}"#, "\\\"z\\\""), (r#"{"kind": "fire"}"#, "fire"), ("{", "EOF")]
    {
        let raw = post(&server, "/sim/faults", "", wrong).await;
        assert!(raw.status == Some(400) && raw.body.contains(reason), "{raw:?}");
    }
    let address = server.address();
    crate::client::send(address, "DELETE /sim/faults HTTP/1.1\r\n", "").await;
    assert_eq!(generate(&server, "secret-a1").await, Some(200));
}

#[tokio::test]
async fn a_reset_empties_record_and_books() {
    let server = serve().await;
    for expected in [200, 200, 200, 429] {
        assert_eq!(generate(&server, "secret-a1").await, Some(expected));
    }
    assert_eq!(post(&server, "/sim/reset", "", "").await.status, Some(200));
    assert_eq!(server.attempts(), []);
    assert_eq!(generate(&server, "secret-a1").await, Some(200));
    assert_eq!(server.attempts()[0].number, 0);
}
