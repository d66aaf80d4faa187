//! A call with plain `reqwest`: the lease gives the key and the model, `classify` says what the reply means, and the
//! lease is told.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::time::Duration;

use keyrot::gemini::{DEFAULT_BASE_URL, classify};
use keyrot::secrecy::ExposeSecret;
use keyrot::{ActiveLease, Blame, Effect, KeyRequest, Outcome};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = keyrot::from_env().await?;
    let base = opened.settings.base_url().unwrap_or(DEFAULT_BASE_URL).trim_end_matches('/').to_owned();
    let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;

    // Waits up to ten seconds if every key rests.
    let lease = opened.pool.acquire_within(&KeyRequest::any().tokens(20), Duration::from_secs(10)).await?;
    let call = lease.begin()?; // the moment of sending
    println!("{} calls {}", call.key_id(), call.model());
    let (outcome, answer) = send(&http, &base, &call).await;
    println!("{}: {}", outcome.effect.name(), answer.as_deref().unwrap_or(&outcome.detail));
    call.report(outcome).await; // to the key that sent it, whatever happened

    opened.close().await;
    Ok(())
}

/// Sends a prompt with the lease's key, in a header and never in the URL.
async fn send(http: &reqwest::Client, base: &str, call: &ActiveLease) -> (Outcome, Option<String>) {
    let url = format!("{base}/v1beta/models/{}:generateContent", call.model());
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "Say hello in one word."}]}]});
    let sent =
        http.post(url).header("x-goog-api-key", call.secret().expose_secret()).json(&body).send().await;
    let reply = match sent {
        Ok(reply) => reply,
        Err(error) => {
            let detail = format!("no reply: {}", error.without_url());
            return (Outcome::new(Blame::Service, Effect::Transient, detail), None);
        }
    };
    let status = reply.status().as_u16();
    let retry_after =
        reply.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = reply.text().await.unwrap_or_default();
    let outcome = classify(status, retry_after.as_deref(), &text);
    let answer = serde_json::from_str::<Value>(&text).ok().and_then(|json| {
        let part = json.pointer("/candidates/0/content/parts/0/text")?;
        Some(part.as_str()?.to_owned())
    });
    (outcome, answer)
}
