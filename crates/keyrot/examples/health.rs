//! The guide's health check: `get_key_manager().get_health_status()`.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::time::SystemTime;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let opened = keyrot::from_env().await?;
    for (key_id, status) in opened.pool.health() {
        println!("{key_id}:");
        println!("  Model: {}", status.model);
        println!("  Active: {}", status.active);
        println!("  Last Used: {}", status.last_used.map_or("never".to_owned(), seconds));
        println!("  Success Count: {}", status.success_count);
        println!("  Error Count: {}", status.error_count);
        println!("  In Cooldown: {}", status.in_cooldown);
    }
    opened.close().await;
    Ok(())
}

fn seconds(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{} s after 1970", since.as_secs())
}
