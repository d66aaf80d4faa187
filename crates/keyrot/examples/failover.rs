//! `KeyPool::run`: a call of your own that moves to the next key when one fails. The error type says what a failure
//! means; here it is the Gemini client's.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::time::Duration;

use keyrot::KeyRequest;
use keyrot::gemini::{GeminiError, GenerateRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = keyrot::from_env().await?;
    let gemini = opened.settings.gemini()?;
    let body = GenerateRequest::user("Why do markets crash? One sentence.");
    let request = KeyRequest::any().tokens(body.estimated_input_tokens()).within(Duration::from_secs(60));

    let done = opened
        .pool
        .run(&request, async |lease| {
            let reply = gemini.generate(lease.secret(), lease.model(), &body).await?;
            let usage = reply.usage.settled();
            Ok::<_, GeminiError>((reply.text, usage))
        })
        .await?;

    for attempt in &done.attempts {
        println!("{}: {} in {:?}", attempt.key_id, attempt.outcome.effect.name(), attempt.latency);
    }
    println!("{}", done.value);
    opened.close().await;
    Ok(())
}
