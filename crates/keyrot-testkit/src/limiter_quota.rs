//! Cases of the limiter suite: minute, day, tokens, settling, time.

use std::sync::Arc;

use keyrot_core::{Ask, Candidate, Disposition, KeyId, LearnedLimit, Limits, Millis, Quota, Reason, Verdict};
use tokio::task::JoinSet;

use crate::rate_limiter::{
    Caller, DAY_END, LimiterHarness, START, WINDOW, candidate, ms, rpd, rpm, secs, tpm, used,
};

/// Whoever comes first finds the whole limit, at once.
pub async fn a_new_record_starts_full(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpm(5)));
    let first = caller.take(&group, 10).await;
    assert_eq!((first.taken_at, first.day_end, first.probe), (START, DAY_END, true));
    caller.settle(&first, used(10)).await;
    assert_eq!(caller.take_all(&group, 10).await, 4);
}

/// The limit is the limit, and one call is free when the first is 61 s old.
pub async fn the_minute_is_exact_for_requests(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpm(3)));
    caller.prove(&group).await;
    let start = caller.now;
    for _ in 0..3 {
        caller.take(&group, 10).await;
        caller.advance(secs(2)).await;
    }
    assert_eq!(caller.refused(&group, 10).await.reason, Reason::MinuteRequests);
    for taken in 0..3 {
        let told = caller.granted_exactly_when_told(&group, 10).await;
        assert_eq!(told, start + 61_000 + taken * 2_000);
    }
}

/// The same for tokens, whatever the number of calls.
pub async fn the_minute_is_exact_for_tokens(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", tpm(1000)));
    caller.prove(&group).await;
    let start = caller.now;
    caller.take(&group, 600).await;
    caller.advance(secs(5)).await;
    caller.take(&group, 400).await;
    caller.take(&group, 0).await;
    assert_eq!(caller.refused(&group, 1).await.reason, Reason::MinuteTokens);
    assert_eq!(caller.refused(&group, 600).await.not_before, Some(start + 61_000));
    assert_eq!(caller.granted_exactly_when_told(&group, 601).await, start + 66_000);
}

/// Requests, tokens and day are taken together or not at all.
pub async fn a_refusal_books_nothing(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    for (project, limits, reason) in [
        ("a", Limits::new(Some(2), Some(1000), Some(90)), Reason::MinuteRequests),
        ("b", Limits::new(Some(20), Some(20), Some(90)), Reason::MinuteTokens),
        ("c", Limits::new(Some(20), Some(1000), Some(3)), Reason::DayQuota),
    ] {
        let group = candidate(project, limits);
        caller.prove(&group).await;
        caller.take(&group, 10).await;
        caller.take(&group, 10).await;
        let before = caller.usage(&group).await;
        assert_eq!((before.minute_requests, before.minute_tokens, before.day_requests), (2, 20, 3));
        for _ in 0..5 {
            assert_eq!(caller.refused(&group, 10).await.reason, reason);
        }
        assert_eq!(caller.usage(&group).await, before);
    }
}

/// The time in a refusal is that of the constraint that ends last, to the millisecond.
pub async fn the_earliest_time_is_exact(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let limits = Limits::new(Some(4), Some(1000), Some(99));
    for (project, tokens) in [("a", 1), ("b", 300), ("c", 301), ("d", 900), ("e", 1000)] {
        let group = candidate(project, limits);
        caller.prove(&group).await;
        for (tokens, pause) in [(300, 0), (200, 953), (100, 1), (50, 7_000)] {
            caller.take(&group, tokens).await;
            caller.advance(ms(pause)).await;
        }
        for _ in 0..3 {
            caller.granted_exactly_when_told(&group, tokens).await;
            caller.take_all(&group, tokens).await;
        }
    }
    let group = candidate("f", rpd(2));
    caller.prove(&group).await;
    caller.take(&group, 1).await;
    assert_eq!(caller.refused(&group, 1).await.reason, Reason::DayQuota);
    assert_eq!(caller.granted_exactly_when_told(&group, 1).await, DAY_END);
}

/// Tokens that were reserved and not used are there for others, at once.
pub async fn a_settled_call_gives_back_what_it_did_not_use(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", tpm(1000)));
    caller.prove(&group).await;
    let call = caller.take(&group, 900).await;
    caller.refused(&group, 200).await;
    caller.advance(secs(3)).await;
    let settled = caller.settle(&call, used(800)).await;
    assert_eq!(settled.freed, [Arc::clone(&group.group)]);
    let usage = caller.usage(&group).await;
    assert_eq!((usage.minute_requests, usage.minute_tokens), (1, 800));
    caller.take(&group, 200).await;
    caller.refused(&group, 1).await;
}

/// A call that used more than was reserved takes the rest, even beyond the limit.
pub async fn a_settled_call_pays_what_it_used_beyond(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", tpm(1000)));
    caller.prove(&group).await;
    let call = caller.take(&group, 100).await;
    caller.advance(secs(3)).await;
    let settled = caller.settle(&call, used(1500)).await;
    assert!(settled.freed.is_empty());
    assert_eq!(caller.usage(&group).await.minute_tokens, 1500);
    caller.refused(&group, 1).await;
    assert_eq!(caller.granted_exactly_when_told(&group, 1).await, call.taken_at + 64_000);
}

/// A call that was never sent costs nothing.
pub async fn a_release_gives_everything_back(harness: impl LimiterHarness) {
    let limits = Limits::new(Some(2), Some(1000), Some(3));
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", limits));
    caller.prove(&group).await;
    let calls = [caller.take(&group, 500).await, caller.take(&group, 500).await];
    caller.refused(&group, 1).await;
    caller.advance(ms(400)).await;
    let settled = caller.settle(&calls[1], Disposition::Release).await;
    assert_eq!(settled.freed, [Arc::clone(&group.group)]);
    let usage = caller.usage(&group).await;
    assert_eq!((usage.minute_requests, usage.minute_tokens, usage.day_requests), (1, 500, 2));
    caller.take(&group, 500).await;
    caller.refused(&group, 0).await;
}

/// Whatever comes late about a call of the last minute does not touch this one.
pub async fn an_ended_window_is_not_settled_again(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", tpm(1000)));
    caller.prove(&group).await;
    let old =
        [caller.take(&group, 300).await, caller.take(&group, 300).await, caller.take(&group, 300).await];
    caller.advance(WINDOW).await;
    caller.take(&group, 1000).await;
    let before = caller.usage(&group).await;
    caller.settle(&old[0], used(0)).await;
    caller.settle(&old[1], used(50_000)).await;
    assert_eq!(caller.usage(&group).await, before);
    caller.settle(&old[2], Disposition::Release).await; // its day is not over
    let after = caller.usage(&group).await;
    assert_eq!((after.minute_requests, after.minute_tokens), (1, 1000));
    assert_eq!(after.day_requests, before.day_requests - 1);
}

/// The same for the day, just after midnight.
pub async fn a_release_after_the_day_is_over_leaves_the_new_one_alone(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpd(2)));
    caller.set_wall(DAY_END - 100).await;
    let old = caller.take(&group, 10).await;
    caller.set_wall(DAY_END).await;
    let new = caller.take(&group, 10).await;
    assert_eq!((old.day_end, new.day_end), (DAY_END, DAY_END + 24 * 3_600_000));
    caller.settle(&new, used(10)).await;
    caller.settle(&old, Disposition::Release).await;
    assert_eq!(caller.usage(&group).await.day_requests, 1);
    assert_eq!(caller.take_all(&group, 10).await, 1);
}

/// A batch that arrives again, at once or after others, is ignored; one that was overtaken is not.
pub async fn a_repeated_batch_changes_nothing(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpm(9)));
    caller.prove(&group).await;
    let mut batches = Vec::new();
    for _ in 0..5 {
        let reservation = caller.take(&group, 10).await;
        let disposition = Disposition::Release;
        let settlement = keyrot_core::Settlement { reservation, disposition };
        batches.push(caller.batch(vec![settlement], Vec::new()));
    }
    for (index, left) in [(1, 4), (1, 4), (0, 3), (1, 4 - 1), (4, 2), (0, 2), (2, 1), (4, 1), (3, 0), (3, 0)]
    {
        caller.send(batches[index].clone()).await;
        assert_eq!(caller.usage(&group).await.minute_requests, left);
    }
}

/// Limits come with each call; what was booked stays.
pub async fn limits_may_change_between_calls(harness: impl LimiterHarness) {
    let (mut caller, wide) = (Caller::start(&harness).await, candidate("a", rpm(5)));
    let (narrow, open) = (candidate("a", rpm(2)), candidate("a", Limits::default()));
    caller.prove(&wide).await;
    let start = caller.now;
    for _ in 0..4 {
        caller.take(&wide, 10).await;
        caller.advance(secs(1)).await;
    }
    assert_eq!(caller.refused(&narrow, 10).await.not_before, Some(start + 63_000));
    caller.take(&wide, 10).await;
    caller.refused(&wide, 10).await;
    caller.take(&open, 10).await;
    assert_eq!(caller.usage(&wide).await.minute_requests, 6);
}

/// Another project, or another model of the project, has quota of its own.
pub async fn groups_are_isolated(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let group = candidate("a", rpm(1));
    let mut other_model = group.clone();
    other_model.group =
        Arc::new(keyrot_core::Group { model: "gemini-2.5-pro".into(), ..(*group.group).clone() });
    for of in [group, other_model, candidate("b", rpm(1)), candidate("a.b", rpm(1))] {
        caller.take(&of, 10).await;
        caller.refused(&of, 10).await;
    }
}

/// Keys of one project have one quota, from any process.
pub async fn siblings_of_a_project_share_its_quota(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", rpm(4)));
    caller.prove(&group).await;
    let sibling = Candidate { key: KeyId::parse("sibling").expect("a key id"), ..group.clone() };
    let mut other = caller.another().await;
    for _ in 0..2 {
        caller.take(&group, 10).await;
        other.take(&sibling, 10).await;
    }
    assert_eq!(caller.refused(&sibling, 10).await.reason, Reason::MinuteRequests);
    assert_eq!(other.refused(&group, 10).await.reason, Reason::MinuteRequests);
}

/// Ordinary days and both days on which the clocks change.
pub async fn days_end_at_pacific_midnight(harness: impl LimiterHarness) {
    const HOUR: Millis = 3_600_000;
    let mut caller = Caller::start(&harness).await;
    for (project, midnight, hours) in [
        ("winter", 1_767_686_400_000, 24), // 2026-01-06T08:00Z
        ("spring", 1_772_956_800_000, 23), // 2026-03-08T08:00Z
        ("autumn", 1_793_516_400_000, 25), // 2026-11-01T07:00Z
    ] {
        let group = candidate(project, rpd(3));
        caller.set_wall(midnight - 62_000).await;
        caller.prove(&group).await;
        assert_eq!(caller.take_all(&group, 1).await, 2);
        assert_eq!(caller.granted_exactly_when_told(&group, 1).await, midnight, "{project}");
        assert_eq!(caller.take_all(&group, 1).await, 2);
        assert_eq!(caller.granted_exactly_when_told(&group, 1).await, midnight + hours * HOUR, "{project}");
    }
}

/// A clock that is corrected by seconds.
pub async fn a_clock_that_steps_back_a_little_grants_nothing_extra(harness: impl LimiterHarness) {
    steps_back(harness, 30_000).await;
}

/// A clock that is corrected by hours: nothing extra, and the group is not shut for hours either.
pub async fn a_clock_that_steps_back_far_grants_nothing_extra(harness: impl LimiterHarness) {
    let waited = steps_back(harness, 8 * 3_600_000).await;
    assert!(waited <= 61_000, "shut for {waited} ms");
}

/// How long the group was full after a step back across midnight.
async fn steps_back(harness: impl LimiterHarness, step: Millis) -> Millis {
    let limits = Limits::new(Some(3), Some(300), Some(8));
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", limits));
    caller.set_wall(DAY_END - 61_000).await;
    caller.prove(&group).await;
    assert_eq!(caller.now, DAY_END);
    assert_eq!(caller.take_all(&group, 100).await, 3);
    caller.advance(secs(10)).await;
    caller.set_wall(DAY_END + 10_000 - step).await;
    let stepped = caller.now;
    let told = caller.granted_exactly_when_told(&group, 100).await;
    assert!(told - stepped >= 51_000, "{} ms", told - stepped);
    caller.take_all(&group, 100).await;
    while caller.refused(&group, 100).await.reason != Reason::DayQuota {
        caller.advance(WINDOW).await;
        caller.take_all(&group, 100).await;
    }
    assert_eq!(caller.usage(&group).await.day_requests, 8, "what was sent before the step counts");
    told - stepped
}

/// No waiting helps a request that exceeds the minute alone.
pub async fn a_request_larger_than_the_limit_has_its_own_reason(harness: impl LimiterHarness) {
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", tpm(1000)));
    for tokens in [1001, u64::MAX] {
        let refusal = caller.refused(&group, tokens).await;
        assert_eq!((refusal.reason, refusal.not_before), (Reason::TooLarge, None));
    }
    caller.take(&group, 1000).await;
}

/// 0 in keys.json means never.
pub async fn a_limit_of_zero_is_never_used(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    for limits in [rpm(0), tpm(0), rpd(0)] {
        let refusal = caller.refused(&candidate("a", limits), 0).await;
        assert_eq!((refusal.reason, refusal.not_before), (Reason::LimitZero, None));
    }
}

/// What the provider says of its limit counts if it is lower, and is forgotten after 24 h.
pub async fn a_learned_limit_only_lowers_and_for_a_day(harness: impl LimiterHarness) {
    let limits = Limits::new(Some(5), Some(1000), Some(90));
    let (mut caller, group) = (Caller::start(&harness).await, candidate("a", limits));
    caller.prove(&group).await;
    for (quota, value) in [
        (Quota::RequestsPerMinute, Some(2)),
        (Quota::TokensPerMinute, Some(5000)),
        (Quota::RequestsPerDay, None),
    ] {
        let limit = LearnedLimit { quota, value };
        caller.tell(Verdict::Learn { group: Arc::clone(&group.group), limit }).await;
    }
    let forgotten = caller.now + 24 * 3_600_000;
    assert_eq!(caller.usage(&group).await.effective, Limits::new(Some(2), Some(1000), Some(90)));
    assert_eq!(caller.take_all(&group, 1).await, 2);
    caller.set_wall(forgotten - 1_000).await;
    assert_eq!(caller.take_all(&group, 1).await, 2);
    // the window would free a call 60 s later, but the fifth request fits when the limit is forgotten
    assert_eq!(caller.granted_exactly_when_told(&group, 1).await, forgotten);
    assert_eq!(caller.take_all(&group, 1).await, 2);
}

/// Asks are served in order, each by the first candidate with room; refusals say whose they are.
pub async fn asks_go_to_the_first_candidate_with_room(harness: impl LimiterHarness) {
    let mut caller = Caller::start(&harness).await;
    let groups = [candidate("a", tpm(100)), candidate("b", tpm(1000)), candidate("c", rpm(0))];
    caller.prove(&groups[0]).await;
    caller.prove(&groups[1]).await;
    let asks = [60, 600, 60, 40, 5000].map(|tokens| Ask { tokens, probe_ttl: secs(60) });
    let reply = caller.reserve(&groups, &asks).await;
    let granted: Vec<_> = reply.grants.iter().map(|grant| (grant.ask, grant.candidate)).collect();
    assert_eq!(granted, [(0, 0), (1, 1), (2, 1), (3, 0)]);
    let refused: Vec<_> = reply.refused.iter().map(|it| (it.ask, it.candidate, it.reason)).collect();
    assert_eq!(
        refused,
        [
            (1, 0, Reason::TooLarge),
            (2, 0, Reason::MinuteTokens),
            (4, 0, Reason::TooLarge),
            (4, 1, Reason::TooLarge),
            (4, 2, Reason::LimitZero),
        ]
    );
    for (grant, tokens) in reply.grants.iter().zip([60, 600, 60, 40]) {
        assert_eq!(grant.reservation.tokens, tokens);
        assert_eq!(grant.reservation.group, groups[grant.candidate].group);
        assert!((reply.now..=reply.now + 1_000).contains(&grant.send_by), "sent within the guard");
    }
}

/// Many processes at once: the sum is the limit.
pub async fn concurrent_callers_never_get_more_than_the_limit(harness: impl LimiterHarness) {
    let limits = Limits::new(Some(40), Some(5_000), Some(1000));
    let mut caller = Caller::start(&harness).await;
    let groups: Arc<[Candidate]> = Arc::new([candidate("a", limits), candidate("b", limits)]);
    for group in groups.iter() {
        caller.prove(group).await;
    }
    let (mut tasks, mut grants) = (JoinSet::new(), Vec::new());
    for _ in 0..8 {
        let (limiter, groups, seen) = (harness.limiter().await, Arc::clone(&groups), caller.seen);
        tasks.spawn(async move {
            let (mut grants, ask) = (Vec::new(), Ask { tokens: 100, probe_ttl: secs(60) });
            for _ in 0..20 {
                grants.extend(limiter.reserve(&groups, &[ask], seen).await.expect("an answer").grants);
            }
            grants
        });
    }
    while let Some(of_one) = tasks.join_next().await {
        grants.extend(of_one.expect("a task panicked"));
    }
    for (index, group) in groups.iter().enumerate() {
        assert_eq!(grants.iter().filter(|grant| grant.candidate == index).count(), 40);
        let usage = caller.usage(group).await;
        assert_eq!((usage.minute_requests, usage.minute_tokens, usage.day_requests), (40, 4000, 41));
    }
}

/// Nobody has to make a group known.
pub async fn what_nobody_used_has_an_empty_snapshot(harness: impl LimiterHarness) {
    let caller = Caller::start(&harness).await;
    let group = candidate("a", rpm(5));
    let usage = caller.usage(&group).await;
    assert_eq!((usage.minute_requests, usage.minute_tokens, usage.day_requests), (0, 0, 0));
    assert_eq!((usage.day_end, usage.effective, usage.pace), (DAY_END, rpm(5), None));
    assert_eq!(caller.record(&group.group.scope()).await, Default::default());
}
