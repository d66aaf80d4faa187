//! Sentinel secrets are driven through whatever can go wrong with a call, and searched for in everything that is
//! returned, shown, logged or panicked with.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod failures;
mod panics;

/// Both shapes of Google's keys. No 8 characters of them occur by chance.
const SENTINELS: [&str; 2] =
    ["AIzaSyZq4XvT9wKj2LmP7rBn5HsD8cGf3YtQe1Uo", "AQ.Ab8RN6JzXkVw4TqYpLm9HsGd2FbCn7Ue5RiOa3"];
