//! Limits that a fleet shares: keyrot's records in Redis or Valkey, with the same rules and the same
//! bytes as everywhere else, applied by scripts in the server. docs/redis-protocol.md describes them.

mod address;
mod callers;
mod error;
mod group_commit;
mod limiter;
mod link;
mod midnights;
mod names;
mod options;
mod reply;
mod reserve_call;
mod script;
mod server;
mod settle_call;
mod wire;

pub use crate::address::RedisAddress;
pub use crate::limiter::RedisLimiter;
pub use crate::options::RedisOptions;
