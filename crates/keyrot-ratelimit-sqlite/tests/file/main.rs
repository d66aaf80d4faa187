//! What happens to the file: who may read it, what it survives, what it is not.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

mod caller;
mod damage;
mod full_disk;
mod keeping;
