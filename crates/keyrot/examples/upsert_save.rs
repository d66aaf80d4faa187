//! The guide's third example: add a key in the program and save it. Its secret goes to the secret store, not here.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use keyrot::{KeyId, KeyMetadata, Limits};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = keyrot::from_env().await?;

    let new_key = KeyMetadata::new(KeyId::parse("flash_03")?, "gemini-2.5-flash")
        .with_limits(Limits::new(Some(60), Some(1_000_000), None))
        .with_tag("region", "eu-west");
    opened.pool.upsert(new_key)?; // selectable from now on
    opened.pool.save(opened.settings.keys_path())?;

    println!("{} keys in {}", opened.pool.keys().len(), opened.settings.keys_path().display());
    opened.close().await;
    Ok(())
}
