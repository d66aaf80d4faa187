//! Cases of the limiter suite: what many processes have in common, counters and memories.

use std::sync::Arc;

use keyrot_core::{
    Candidate, CounterRecord, Disposition, Group, KeyId, Limits, PastCalls, Reason, Scope, Span, Tally,
    Verdict,
};

use crate::rate_limiter::{Caller, DAY_END, LimiterHarness, SENT, candidate, rpd, rpm, secs, used};

/// What one process counts of a key, others read, and what they add.
pub async fn counters_add_up_over_processes(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let mut other = caller.another().await;
    let id = |name: &str| KeyId::parse(name).expect("a key id of the suite");
    let tally = |key: KeyId| Tally { key, used_at: 0, successes: 0, errors: 0, abandoned: 0 };
    let mut batch = caller.batch(Vec::new(), Vec::new());
    batch.tallies = vec![
        Tally { successes: 1, used_at: 2_000, ..tally(id("a")) },
        Tally { errors: 2, used_at: 1_000, ..tally(id("a")) },
        Tally { abandoned: 1, used_at: 9_000, ..tally(id("a.b")) },
    ];
    caller.send(batch.clone()).await;
    caller.send(batch).await;
    let mut batch = other.batch(Vec::new(), Vec::new());
    batch.tallies = vec![Tally { successes: 5, used_at: 5_000, ..tally(id("a")) }];
    other.send(batch).await;
    let keys = [id("unused"), id("a"), id("a.b")];
    let counters = caller.limiter.snapshot(&[], &[], &keys).await.expect("an answer").counters;
    let counted = |counters: &CounterRecord| {
        (counters.last_used, counters.successes, counters.errors, counters.abandoned)
    };
    let counted: Vec<_> = counters.iter().map(counted).collect();
    assert_eq!(counted, [(0, 0, 0, 0), (5_000, 6, 2, 0), (9_000, 0, 0, 1)]);
}

/// Projects and models are named by people.
pub async fn odd_names_are_kept_apart(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let limits = rpm(1);
    let named = |project: &str, model: &str| {
        let group = Arc::new(Group { project: project.into(), model: model.into() });
        Candidate { group, ..candidate("any", limits) }
    };
    let groups = [
        named("a", "b"),
        named("a/b", ""),
        named("", "a/b"),
        named("a%2Fb", ""),
        named("{a}", "b"),
        named("a:b", "\n"),
        named("ä b", "*"),
    ];
    for group in &groups {
        caller.take(group, 1).await;
        caller.refused(group, 1).await;
        let (scope, since) = (group.group.scope(), caller.now - 1);
        let span = Span::Named(secs(30));
        let settled =
            caller.tell(Verdict::Block { scope: scope.clone(), reason: Reason::NoQuota, span, since }).await;
        assert_eq!(settled.changed.len(), 1);
        assert_eq!(settled.changed[0].scope, scope);
    }
    for group in &groups {
        assert_eq!(caller.record(&group.group.scope()).await.strikes, 1);
        assert_eq!(caller.record(&Scope::Project(group.group.project.clone())).await.strikes, 0);
    }
    let told = caller.another().await.limiter.reserve(&[], &[], 0).await.expect("an answer");
    assert_eq!(told.changed.len(), groups.len());
}

/// Settlements come first, then verdicts as they stand; one batch may hit one record many times.
pub async fn a_batch_is_applied_in_order(harness: impl LimiterHarness) {
    let limits = Limits::new(Some(9), Some(1000), Some(50));
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", limits));
    caller.prove(&group).await;
    let calls =
        [caller.take(&group, 100).await, caller.take(&group, 200).await, caller.take(&group, 300).await];
    let settle = |call: usize, disposition: Disposition| keyrot_core::Settlement {
        reservation: calls[call].clone(),
        disposition,
    };
    let settlements = vec![settle(0, used(40)), settle(1, Disposition::Release), settle(2, SENT)];
    let (scope, since) = (group.group.scope(), caller.now);
    caller.advance(secs(1)).await;
    let block = |reason: Reason, seconds: u64, since: u64| {
        let span = Span::Named(secs(seconds));
        Verdict::Block { scope: scope.clone(), reason, span, since }
    };
    let verdicts = vec![
        block(Reason::Cooldown, 30, since),
        Verdict::Clear { scope: scope.clone(), since: since + 2_000 },
        block(Reason::ModelOverloaded, 10, since + 2_000),
        block(Reason::NoQuota, 20, since),
    ];
    let batch = caller.batch(settlements, verdicts);
    let settled = caller.send(batch).await;
    assert_eq!(settled.changed.len(), 1, "a scope that changed three times is told once");
    let record = caller.record(&scope).await;
    assert_eq!(record.blocked_until, caller.now + 20_000);
    assert_eq!((record.strikes, record.reason), (1, Some(Reason::NoQuota)));
    let usage = caller.usage(&group).await;
    assert_eq!((usage.minute_requests, usage.minute_tokens, usage.day_requests), (2, 340, 3));
}

/// Calls that were sent while the limiter was away count from when they were sent, for the minute and
/// for their own day.
pub async fn recalled_calls_count_from_when_they_were_sent(harness: impl LimiterHarness) {
    let limits = Limits::new(Some(9), Some(1000), Some(50));
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", limits));
    caller.prove(&group).await;
    caller.take(&group, 100).await;
    let now = caller.now;
    let past = |ago: u64, requests: u16, tokens: u32| PastCalls { at: now - ago, requests, tokens };
    let recall = |day_end: u64, day_requests: u32| Verdict::Recall {
        group: Arc::clone(&group.group),
        calls: vec![past(61_000, 9, 999), past(60_000, 3, 300), past(20_000, 2, 500)],
        day_end,
        day_requests,
    };
    let verdicts = vec![recall(DAY_END, 17)];
    let batch = caller.batch(Vec::new(), verdicts);
    caller.limiter.recall(batch.clone()).await.expect("an answer");
    caller.limiter.recall(batch).await.expect("an answer");
    let usage = caller.usage(&group).await;
    assert_eq!((usage.minute_requests, usage.minute_tokens, usage.day_requests), (6, 900, 19));
    caller.advance(secs(1)).await;
    let after = caller.usage(&group).await;
    assert!(after.minute_requests >= 3 && after.minute_tokens >= 600, "{after:?}");
    caller.advance(secs(60)).await;
    assert_eq!(caller.usage(&group).await.minute_requests, 0);

    let other = candidate("b", rpd(3));
    let yesterday = Verdict::Recall {
        group: Arc::clone(&other.group),
        calls: Vec::new(),
        day_end: DAY_END - 24 * 3_600_000,
        day_requests: 3,
    };
    let batch = caller.batch(Vec::new(), vec![yesterday]);
    caller.limiter.recall(batch).await.expect("an answer");
    assert_eq!(caller.usage(&other).await.day_requests, 0, "that day is over");
}
