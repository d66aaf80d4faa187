//! Limits that the processes of a machine share and that survive them: keyrot's records in a SQLite
//! file, with the same rules and the same bytes as everywhere else.
//!
//! One thread of a process does its writing. It takes whatever has arrived and books it in one
//! transaction, so the cost of a commit is shared by everybody who waits for it. Whoever asks while nobody else
//! does is answered where he asks, if nothing has to be waited for. A second thread folds SQLite's log
//! into the file, which has to wait for the disk.

mod books;
mod checkpoints;
mod error;
mod file;
mod kept;
mod limiter;
mod line;
mod options;
mod patience;
mod question;
mod schema;
mod session;
mod turns;
mod writer;

pub use crate::limiter::SqliteLimiter;
pub use crate::options::SqliteOptions;
