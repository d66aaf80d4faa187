//! The store on moto, AWS in memory, and on microburst, a proxy before it that answers with AWS's errors.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod api;
mod batch;
mod conformance;
mod credentials;
mod documented;
mod faults;
mod metadata;
mod shapes;
mod tls;
