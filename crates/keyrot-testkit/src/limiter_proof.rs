//! Cases of the limiter suite: groups that must prove themselves, and paces learned from refusals.

use std::sync::Arc;
use std::time::Duration;

use keyrot_core::{Ask, Candidate, Disposition, Limits, Reason, Span, Verdict};

use crate::rate_limiter::{Caller, LimiterHarness, SENT, START, WINDOW, candidate, ms, rpm, secs, used};

/// A new group gets two calls; whatever becomes of one makes room for the next.
pub async fn an_unproven_group_has_two_calls_in_flight(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    for (project, report) in [("a", SENT), ("b", Disposition::Release)] {
        let group = candidate(project, Limits::default());
        let first = caller.take(&group, 10).await;
        caller.advance(ms(200)).await;
        let second = caller.another().await.take(&group, 10).await;
        assert!(first.probe && second.probe);
        let refusal = caller.refused(&group, 10).await;
        assert_eq!((refusal.reason, refusal.not_before), (Reason::Probing, Some(first.taken_at + 1_000)));
        let settled = caller.settle(&first, report).await;
        assert_eq!(settled.freed, [Arc::clone(&group.group)]);
        caller.take(&group, 10).await;
        caller.refused(&group, 10).await;
        let settled = caller.settle(&second, used(10)).await;
        assert_eq!(settled.freed, [Arc::clone(&group.group)]);
        let free = caller.take(&group, 10).await;
        assert!(!free.probe);
        caller.take(&group, 10).await;
    }
}

/// Refusals are fast: who is in flight for a second was not refused.
pub async fn a_call_of_a_second_proves_its_group(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpm(20)));
    caller.take(&group, 10).await;
    caller.advance(ms(300)).await;
    caller.take(&group, 10).await;
    assert_eq!(caller.granted_exactly_when_told(&group, 10).await, START + 1_000);
    assert_eq!(caller.take_all(&group, 10).await, 17);
}

/// Nobody reports a call whose deadline has passed. It proves nothing.
pub async fn a_deadline_frees_a_probe_slot(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", Limits::default()));
    let ask = [Ask { tokens: 10, probe_ttl: ms(700) }; 2];
    assert_eq!(caller.reserve(std::slice::from_ref(&group), &ask).await.grants.len(), 2);
    assert_eq!(caller.granted_exactly_when_told(&group, 10).await, START + 700);
    caller.advance(ms(600)).await; // more than a second after the first two
    caller.take(&group, 10).await;
    assert_eq!(caller.refused(&group, 10).await.reason, Reason::Probing);
}

/// After a block without a named end; what was under way before proves nothing.
pub async fn a_doubted_group_proves_itself_again(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", Limits::default()));
    caller.prove(&group).await;
    let old = caller.take(&group, 10).await;
    let block = |span: Span, since: u64| Verdict::Block {
        scope: group.group.scope(),
        reason: Reason::ModelOverloaded,
        span,
        since,
    };
    caller.advance(ms(500)).await;
    caller.tell(block(Span::Named(secs(5)), old.taken_at)).await;
    caller.advance(secs(5)).await;
    assert!(!caller.take(&group, 10).await.probe, "a named end ends fully open");

    caller.tell(block(Span::Backoff, caller.now - 1)).await;
    caller.advance(secs(30)).await;
    caller.settle(&old, used(10)).await;
    let probe = caller.take(&group, 10).await;
    assert!(probe.probe);
    caller.take(&group, 10).await;
    assert_eq!(caller.refused(&group, 10).await.reason, Reason::Probing);

    // refused, while the other one hangs: that it hangs is no proof
    caller.advance(ms(100)).await;
    caller.settle(&probe, SENT).await;
    caller.tell(block(Span::Backoff, probe.taken_at)).await;
    caller.advance(secs(59)).await;
    let next = caller.take(&group, 10).await;
    assert!(next.probe);
    assert_eq!(caller.refused(&group, 10).await.reason, Reason::Probing);
    caller.settle(&next, used(10)).await;
    assert!(!caller.take(&group, 10).await.probe);
}

fn tighten(group: &Candidate, since: u64) -> Verdict {
    Verdict::Tighten { group: Arc::clone(&group.group), limits: group.limits, since }
}

/// The burst halves, then the rate falls to one less than the limit in 61 s; that comes back after two
/// hours, each other step after half an hour. The refusals of one burst are one step.
pub async fn unexpected_refusals_pace_and_the_pace_comes_back(harness: impl LimiterHarness) {
    const STEP: Duration = Duration::from_secs(1800);
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpm(10)));
    caller.prove(&group).await;
    assert_eq!(caller.usage(&group).await.pace, None);
    for (burst, interval) in [(5, 6_000_000), (2, 6_000_000), (1, 6_000_000), (1, 6_777_777)] {
        let since = caller.now;
        caller.advance(ms(300)).await;
        for _ in 0..10 {
            caller.tell(tighten(&group, since)).await;
        }
        assert_eq!(caller.usage(&group).await.pace, Some(Duration::from_micros(interval)));
        let refusal = caller.refused(&group, 1).await;
        let next = (caller.now * 1000 + interval).div_ceil(1000);
        assert_eq!((refusal.reason, refusal.not_before), (Reason::Pace, Some(next)));
        caller.granted_exactly_when_told(&group, 1).await;
        caller.advance(WINDOW).await;
        assert_eq!(caller.take_all(&group, 1).await, burst);
        caller.granted_exactly_when_told(&group, 1).await;
        caller.advance(WINDOW).await;
    }
    let last_step = caller.now - (caller.now - START) % 1000; // within the minutes above
    let (slow, even) = (Some(Duration::from_micros(6_777_777)), Some(Duration::from_secs(6)));
    for (half_hours, pace) in (1..).zip([slow, slow, slow, even, even, even, None]) {
        caller.set_wall(last_step).await;
        caller.advance(STEP * half_hours).await;
        assert_eq!(caller.usage(&group).await.pace, pace, "after {half_hours} half hours");
    }
    assert_eq!(caller.take_all(&group, 1).await, 10);
}

/// A refusal that our own books explain says nothing new.
pub async fn an_expected_refusal_tightens_nothing(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let (wide, narrow) = (candidate("a", rpm(10)), candidate("a", rpm(5)));
    caller.prove(&wide).await;
    assert_eq!(caller.take_all(&wide, 1).await, 10);
    caller.tell(tighten(&narrow, caller.now)).await; // the limit was lowered meanwhile
    assert_eq!(caller.usage(&wide).await.pace, None);
    caller.tell(tighten(&wide, caller.now)).await; // exactly full: the provider should have taken it
    assert!(caller.usage(&wide).await.pace.is_some());

    let tokens = candidate("b", Limits::new(Some(10), Some(100), None));
    caller.prove(&tokens).await;
    let call = caller.take(&tokens, 100).await;
    caller.settle(&call, used(120)).await;
    caller.tell(tighten(&tokens, call.taken_at)).await;
    assert_eq!(caller.usage(&tokens).await.pace, None);
}
