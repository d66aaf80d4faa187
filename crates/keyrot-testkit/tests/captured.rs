//! The log of the process, as tests of leaks read it.

use keyrot_testkit::Captured;

#[test]
fn both_ways_to_log_are_heard_at_the_finest_level() {
    let captured = Captured::begin();
    tracing::trace!(key = 7, "by tracing");
    log::trace!("by log");
    let text = Captured::begin().text();
    assert!(text.contains("by tracing key=7") && text.contains("by log"), "{text}");
    assert_eq!(captured.text(), text, "one log for all");
}
