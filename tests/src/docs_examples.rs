//! The Rust blocks of the documentation, compiled and run by `cargo test --doc` (a block that needs keys of the
//! provider says `no_run`). docs/strategy-gen.md belongs to the doc tests of its own crate.

#[doc = include_str!("../../README.md")]
mod readme {}

#[doc = include_str!("../../docs/ARCHITECTURE.md")]
mod architecture {}

#[doc = include_str!("../../docs/backends.md")]
mod backends {}

#[doc = include_str!("../../docs/failover.md")]
mod failover {}

#[doc = include_str!("../../docs/migration.md")]
mod migration {}

#[doc = include_str!("../../docs/observability.md")]
mod observability {}

#[doc = include_str!("../../docs/performance.md")]
mod performance {}

#[doc = include_str!("../../docs/security.md")]
mod security {}

#[doc = include_str!("../../docs/troubleshooting.md")]
mod troubleshooting {}
