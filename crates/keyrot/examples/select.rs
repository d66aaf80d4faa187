//! The guide's second example: look at the health of all keys, then select one by hand and call with it. Where the guide
//! prints the beginning of the secret, nothing is printed: a part of a secret is a secret.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use keyrot::gemini::GenerateRequest;
use keyrot::{Classify, KeyRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = keyrot::from_env().await?;
    let gemini = opened.settings.gemini()?;

    let health = opened.pool.health();
    let usable = health.iter().filter(|(_, status)| status.active && !status.in_cooldown);
    println!("Healthy keys: {:?}", usable.map(|(key_id, _)| key_id).collect::<Vec<_>>());

    let lease = opened.pool.acquire(&KeyRequest::model("gemini-2.5-flash").tokens(1000)).await?;
    println!("Selected key: {}", lease.key_id());

    let call = lease.begin()?; // from here on its request counts; a lease that is dropped before costs nothing
    let body = GenerateRequest::user("What is an RSI? One sentence.");
    match gemini.generate(call.secret(), call.model(), &body).await {
        Ok(reply) => {
            call.succeeded(reply.usage.settled()).await;
            println!("{}", reply.text);
        }
        Err(error) => {
            call.report(error.outcome()).await;
            println!("{error}");
        }
    }
    opened.close().await;
    Ok(())
}
