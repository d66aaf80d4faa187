//! Servers that nobody of this project wrote, each a process of its own on a free loopback port: OpenBao for Vault, moto
//! for AWS, Redis and Valkey. And a double of Azure Key Vault, for which there is none.
//!
//! For tests only: what does not work ends in a panic that shows the server's log. `cargo xtask test` brings the programs.
#![expect(clippy::expect_used, clippy::panic, reason = "a test's server fails by panicking")]

pub mod azure;
mod microburst;
pub mod moto;
pub mod openbao;
mod port;
mod process;
mod program;
mod redis;
mod redis_cli;
mod redis_cluster;
mod redis_sentinel;
pub mod tls;
mod tool;
mod wait;

pub use crate::azure::Azure;
pub use crate::microburst::Microburst;
pub use crate::moto::Moto;
pub use crate::openbao::OpenBao;
pub use crate::port::free_port;
pub use crate::process::{Process, new_home};
pub use crate::program::{Ended, run_program};
pub use crate::redis::{RedisOptions, RedisServer};
pub use crate::redis_cluster::RedisCluster;
pub use crate::redis_sentinel::RedisSentinels;
pub use crate::tls::Certificates;
pub use crate::tool::tool;
pub use crate::wait::wait_until;
