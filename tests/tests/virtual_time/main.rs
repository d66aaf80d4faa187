//! Scenarios in virtual time: pool and simulated provider in one process, on one clock.

mod day_end;
mod four_keys;
mod siblings;
mod utilisation;
mod waiting;
