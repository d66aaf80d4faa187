//! The limiter beside raw `PING` on the same machine in the same run; how often it asks, and what it keeps.
//! `cargo xtask bench redis` prints the table that docs/performance.md shows.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a report for people; it fails aloud"
)]

mod asked;
mod kept;
mod rates;

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    if !"redis".contains(&filter) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        println!("| figure | asked | measured |\n|---|---|---|");
        rates::print().await;
        asked::print().await;
        kept::print().await;
    });
}
