//! The guide's first example: a strategy from a sentence. One key or many is a matter of the environment:
//! `GEMINI_API_KEY=... cargo run -p keyrot --features strategy-gen --example quickstart`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use keyrot::strategy_gen::GenerateOptions;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = keyrot::from_env().await?;
    let generator = opened.generator()?;

    let description = "RSI-based strategy: Buy when RSI < 30, sell when RSI > 70";
    let strategy = generator.generate(description, &GenerateOptions::default()).await?;
    println!("# {} by {} with key {}", strategy.class_name, strategy.model, strategy.key_id);
    println!("{}", strategy.code);

    opened.close().await;
    Ok(())
}
