//! A saturated pool uses its quota to the full and is never refused.

use keyrot_e2e::utilisation::{Case, Start, TABLE_HEAD, run, windows};

fn uses_at_least_97_percent(limit: u32) {
    let mut all_kept = true;
    println!("{TABLE_HEAD}");
    for window in windows() {
        for start in [Start::AtOnce, Start::Spread] {
            let figures = run(Case { window, limit, start, seed: 7 });
            println!("{figures}");
            all_kept &= figures.refused == 0 && figures.utilisation() >= 97.0;
        }
    }
    assert!(all_kept, "a refusal, or less than 97 % used: see the table");
}

#[test]
fn ten_a_minute() {
    uses_at_least_97_percent(10);
}

#[test]
fn sixty_a_minute() {
    uses_at_least_97_percent(60);
}
