//! The guide's error handling: a generation that fails says why, and the health of all keys says more.
//! `Settings::rotation` is the guide's `use_key_rotation=True`.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use keyrot::strategy_gen::GenerateOptions;
use keyrot::{Environment, Settings};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::from_environment(Environment::read(None)?)?;
    let opened = settings.rotation(Some(true)).open().await?;
    let generator = opened.generator()?;

    match generator.generate("Buy on Mondays, sell on Fridays", &GenerateOptions::default()).await {
        Ok(strategy) => println!("{}", strategy.code),
        Err(error) => {
            println!("Generation failed: {error}");
            println!("Key Status:");
            for (key_id, status) in opened.pool.health() {
                println!("{key_id}: {}", status.last_error.as_deref().unwrap_or("no error"));
            }
        }
    }
    opened.close().await;
    Ok(())
}
