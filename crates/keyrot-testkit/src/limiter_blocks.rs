//! Cases of the limiter suite: blocks, strikes, and how other processes learn of them.

use std::time::Duration;

use keyrot_core::{Ask, KeyId, Limits, Millis, Reason, Scope, Span, Verdict};

use crate::rate_limiter::{Caller, DAY_END, LimiterHarness, candidate, rpd, rpm, secs, used};

fn key() -> Scope {
    Scope::Key(KeyId::parse("flash_01").expect("a key id of the suite"))
}

fn block(scope: &Scope, span: Span, since: Millis) -> Verdict {
    Verdict::Block { scope: scope.clone(), reason: Reason::Cooldown, span, since }
}

fn named(seconds: u64) -> Span {
    Span::Named(Duration::from_secs(seconds))
}

/// The later end counts, whichever came first, and its reason.
pub async fn deadlines_merge_by_max(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    for (scope, first, second) in [
        (Scope::Project("a".into()), 300, 5),
        (Scope::Project("b".into()), 5, 300),
        (candidate("a", rpm(1)).group.scope(), 300, 5),
    ] {
        caller.tell(block(&scope, named(first), caller.now - 100)).await;
        caller.tell(block(&scope, named(second), caller.now - 50)).await;
        let record = caller.record(&scope).await;
        assert_eq!((record.blocked_until, record.strikes), (caller.now + 300_000, 1), "{scope}");
        assert_eq!(record.blocked(caller.now + 299_999), Some(caller.now + 300_000));
        assert_eq!(record.blocked(caller.now + 300_000), None);
    }
    let scope = Scope::Project("a".into());
    caller.tell(block(&scope, Span::DayEnd, caller.now)).await;
    caller.tell(block(&scope, named(60), caller.now)).await;
    assert_eq!(caller.record(&scope).await.blocked_until, DAY_END);
}

/// 30 s, 60 s, 120 s for one incident after the other; the calls that were under way when a block
/// began belong to it, however many they are.
pub async fn an_old_failure_does_not_escalate(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    for (strikes, rest) in [(1, 30), (2, 60), (3, 120)] {
        let leased = caller.now;
        caller.advance(secs(1)).await;
        for _ in 0..50 {
            caller.tell(block(&key(), Span::Backoff, leased)).await;
        }
        let record = caller.record(&key()).await;
        assert_eq!((record.strikes, record.blocked_until), (strikes, caller.now + rest * 1000));
        assert!(record.must_probe);
        caller.advance(secs(rest)).await;
        caller.tell(block(&key(), Span::Backoff, leased)).await;
        assert_eq!(caller.record(&key()).await, record);
    }
}

/// A success forgives what came before it.
pub async fn a_success_lifts_a_block_only_if_it_is_newer(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let leased = caller.now;
    caller.advance(secs(1)).await;
    caller.tell(block(&key(), Span::Backoff, leased)).await;
    let before = caller.record(&key()).await;
    let settled = caller.tell(Verdict::Clear { scope: key(), since: leased + 500 }).await;
    assert!(settled.changed.is_empty());
    assert_eq!(caller.record(&key()).await, before);
    caller.advance(secs(31)).await;
    let settled = caller.tell(Verdict::Clear { scope: key(), since: caller.now }).await;
    assert_eq!(settled.changed.len(), 1);
    assert!(settled.changed[0].record.is_healthy());
    assert!(caller.record(&key()).await.is_healthy());
    // a straggler from before the block does not bring it back
    caller.tell(block(&key(), Span::Backoff, leased)).await;
    assert!(caller.record(&key()).await.is_healthy());
    caller.tell(block(&key(), Span::Backoff, caller.now)).await;
    assert_eq!(caller.record(&key()).await.strikes, 1);
}

/// Whoever has not heard of a block gets it, and nothing else, and then can go on.
pub async fn changed_blocks_come_back_and_nothing_is_granted(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let group = candidate("a", Limits::default());
    caller.prove(&group).await;
    let other = caller.another().await;
    let (ask, now) = (Ask { tokens: 1, probe_ttl: secs(60) }, caller.now);
    let groups = std::slice::from_ref(&group);
    let fresh = other.limiter.reserve(groups, &[ask], caller.seen).await.expect("an answer");
    assert_eq!((fresh.grants.len(), fresh.changed.len()), (1, 0));

    let settled = caller.tell(block(&key(), named(20), now - 1)).await;
    let project = Scope::Project("a".into());
    assert_eq!(settled.changed.len(), 1, "the issuer hears of its own block");
    caller.tell(block(&project, named(30), now - 1)).await;
    caller.tell(block(&key(), named(40), now - 1)).await;
    let before = caller.usage(&group).await;
    let behind = other.limiter.reserve(groups, &[ask, ask], fresh.generation).await.expect("an answer");
    assert!(behind.grants.is_empty() && behind.refused.is_empty());
    assert_eq!(caller.usage(&group).await, before);
    let mut changed: Vec<_> =
        behind.changed.iter().map(|change| (change.scope.clone(), change.record.blocked_until)).collect();
    changed.sort();
    assert_eq!(changed, [(key(), now + 40_000), (project, now + 30_000)], "each once, as it is now");

    let again = other.limiter.reserve(groups, &[ask], behind.generation).await.expect("an answer");
    assert_eq!((again.grants.len(), again.changed.len()), (1, 0));
    let settled = other.limiter.settle(keyrot_core::SettleBatch { epoch: 9, ..Default::default() }).await;
    assert_eq!(settled.expect("an answer").changed.len(), 2, "a batch tells too");
    let repeated = caller.tell(block(&key(), named(1), now - 1)).await;
    assert_eq!((repeated.changed.len(), repeated.generation), (0, again.generation), "nothing new");
}

/// A person's word ends a block for every process; calls that were under way do not bring it back.
pub async fn a_reset_lifts_a_block_for_all(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let group = candidate("a", rpm(10));
    caller.prove(&group).await;
    let leased = caller.now;
    caller.advance(secs(1)).await;
    for scope in [key(), Scope::Project("a".into()), group.group.scope()] {
        caller.tell(block(&scope, Span::DayEnd, leased)).await;
    }
    let tighten = Verdict::Tighten { group: group.group.clone(), limits: group.limits, since: leased };
    caller.tell(tighten).await;
    assert_eq!(caller.refused(&group, 1).await.reason, Reason::DayQuota);
    for scope in [key(), Scope::Project("a".into()), group.group.scope()] {
        let generation = caller.record(&scope).await.generation;
        let seen = caller.seen;
        caller.limiter.reset(&scope).await.expect("an answer");
        let record = caller.record(&scope).await;
        assert!(record.is_healthy() && record.generation == generation + 1);
        let other = caller.another().await;
        let told = other.limiter.reserve(&[], &[], seen).await.expect("an answer");
        assert_eq!(told.changed.len(), 1);
        assert_eq!((&told.changed[0].scope, told.changed[0].record), (&scope, record));
        caller.tell(block(&scope, Span::Backoff, leased)).await;
        assert!(caller.record(&scope).await.is_healthy());
    }
    assert_eq!(caller.usage(&group).await.pace, None);
    assert_eq!(caller.take_all(&group, 1).await, 10);
    caller.limiter.reset(&Scope::Project("unknown".into())).await.expect("nothing to lift is fine");
}

/// The provider says that the day is used up: so it is, whatever was counted, until midnight. Said of
/// a call of yesterday it means nothing today.
pub async fn a_day_that_the_provider_has_closed_stays_closed(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpd(100)));
    caller.prove(&group).await;
    let scope = group.group.scope();
    let call = caller.take(&group, 1).await;
    caller.settle(&call, used(1)).await;
    caller.tell(block(&scope, Span::DayEnd, call.taken_at)).await;
    assert_eq!(caller.record(&scope).await.blocked_until, DAY_END);
    assert_eq!(caller.refused(&group, 1).await.reason, Reason::DayQuota);
    assert_eq!(caller.granted_exactly_when_told(&group, 1).await, DAY_END);

    caller.advance(secs(1)).await;
    caller.tell(block(&scope, Span::DayEnd, DAY_END - 1)).await;
    assert_eq!(caller.record(&scope).await.blocked(caller.now), None);
    caller.take(&group, 1).await;
    caller.tell(block(&scope, Span::DayEnd, DAY_END + 30_000)).await;
    let tomorrow = DAY_END + 24 * 3_600_000;
    assert_eq!(caller.record(&scope).await.blocked_until, tomorrow);
    assert_eq!(caller.refused(&group, 1).await.not_before, Some(tomorrow));
}
