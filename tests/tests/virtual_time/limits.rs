//! The short version of `cargo xtask simulate-limits`: small limits, one seed.

use keyrot_e2e::limit_run::{Limit, Load};
use keyrot_e2e::limit_table::{Row, TOKENS, simulate};

/// Of the three that the whole one takes the one without an outlier, for there is no median here.
const SEED: u64 = 3;

#[test]
fn every_kind_of_window_is_used_to_the_full_and_learned() {
    let requests = |limit, load| Row { limit: Limit::Requests(limit), load };
    let rows = [
        requests(10, Load::Saturating),
        requests(60, Load::Saturating),
        requests(10, Load::Bursts),
        requests(60, Load::Bursts),
        Row { limit: Limit::Tokens(TOKENS), load: Load::Saturating },
    ];
    let table = simulate(&rows, 6 * 60, &[SEED]);
    println!("{table}");
    assert!(table.misses().is_empty(), "{:#?}", table.misses());
}
