//! A saturated pool uses its quota to the full and is never refused.

use keyrot_e2e::utilisation::{Case, run, windows};

fn uses_at_least_97_percent(limit: u32) {
    let mut failed = false;
    println!("| window                     |   L | used    | 429 |");
    for window in windows() {
        let figures = run(Case { window, limit, seed: 7 });
        println!("{figures}");
        failed |= figures.refused > 0 || figures.utilisation() < 97.0;
    }
    assert!(!failed, "a refusal, or less than 97 % used: see the table");
}

#[test]
fn ten_a_minute() {
    uses_at_least_97_percent(10);
}

#[test]
fn sixty_a_minute() {
    uses_at_least_97_percent(60);
}
