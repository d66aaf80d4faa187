//! A limiter that may be away: the suite of all limiters while it is there, its failure policies while
//! it is not, and what it is told when it is back.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use keyrot_core::{
    Ask, Candidate, Disposition, FailurePolicy, Group, GuardedLimiter, KeyId, LimiterError, LimiterErrorKind,
    Limits, ManualClock, Millis, RateLimiter, Reason, Reserved, Scope, SettleBatch, Settled, Settlement,
    Snapshot, Span, Tally, Verdict,
};
use keyrot_testkit::rate_limiter::LimiterHarness;

#[cfg(feature = "metrics")]
mod measured;
mod server;

use crate::server::{Hears, START, Server};

struct Guarded(Server, AtomicU64);

#[async_trait]
impl LimiterHarness for Guarded {
    async fn limiter(&self) -> Arc<dyn RateLimiter> {
        Arc::new(self.0.guarded(FailurePolicy::Closed, self.1.fetch_add(1, Ordering::SeqCst)))
    }

    async fn set_wall(&self, wall: Millis) {
        self.0.clock.set_wall(UNIX_EPOCH + Duration::from_millis(wall));
    }
}

async fn while_it_is_there() -> Guarded {
    Guarded(Server::new(4), AtomicU64::new(100))
}

keyrot_testkit::rate_limiter_tests!(while_it_is_there);

fn candidate(limits: Limits) -> Candidate {
    let group = Arc::new(Group { project: "p".into(), model: "m".into() });
    Candidate { group, limits, key: KeyId::parse("k").unwrap() }
}

fn rpm(limit: u32) -> Candidate {
    candidate(Limits::new(Some(limit), None, None))
}

async fn ask(limiter: &GuardedLimiter, of: &Candidate, seen: &mut u64) -> Result<Reserved, LimiterError> {
    let ask = Ask { tokens: 10, probe_ttl: Duration::from_secs(60) };
    loop {
        let reply = limiter.reserve(std::slice::from_ref(of), &[ask], *seen).await?;
        assert!(reply.generation >= *seen, "generations never go back");
        *seen = reply.generation;
        if reply.changed.is_empty() {
            return Ok(reply);
        }
    }
}

/// Takes what there is; each call succeeds at once.
async fn take_all(limiter: &GuardedLimiter, of: &Candidate, seen: &mut u64, batches: &mut u64) -> u32 {
    take(500, limiter, of, seen, batches).await
}

async fn take(most: u32, limiter: &GuardedLimiter, of: &Candidate, seen: &mut u64, batches: &mut u64) -> u32 {
    let mut granted = 0;
    while granted < most {
        let Some(grant) = ask(limiter, of, seen).await.unwrap().grants.pop() else { break };
        granted += 1;
        let disposition = Disposition::Sent { input_tokens: None, proven: true };
        *batches += 1;
        let settlements = vec![Settlement { reservation: grant.reservation, disposition }];
        let batch =
            SettleBatch { epoch: 77, number: *batches, seen: *seen, settlements, ..Default::default() };
        limiter.settle(batch).await.unwrap();
    }
    granted
}

#[tokio::test]
async fn open_goes_on_without_limits_and_tells_the_limiter_when_it_is_back() {
    let server = Server::new(1);
    let (limiter, of) = (server.guarded(FailurePolicy::Open, 1), rpm(10));
    let (mut seen, mut batches) = (0, 0);
    assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 10);
    server.be_away(true);
    assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 500);
    assert_eq!(limiter.mode().degraded, Some("open"));
    server.be_away(false);
    server.advance(600);
    limiter.tend().await;
    assert_eq!(limiter.mode().degraded, None);
    assert_eq!(server.requests(&of).await, (510, 510));
    assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 0);
    limiter.tend().await;
    assert_eq!(server.requests(&of).await, (510, 510), "told once");
}

#[tokio::test]
async fn without_anybody_who_tends_it_the_next_call_after_half_a_second_finds_it_back() {
    let server = Server::new(1);
    let (limiter, of) = (server.guarded(FailurePolicy::Open, 1), rpm(5));
    let (mut seen, mut batches) = (0, 0);
    take_all(&limiter, &of, &mut seen, &mut batches).await;
    server.be_away(true);
    ask(&limiter, &of, &mut seen).await.unwrap();
    server.be_away(false);
    server.advance(499);
    assert_eq!(ask(&limiter, &of, &mut seen).await.unwrap().grants.len(), 1, "still away");
    server.advance(1);
    assert_eq!(ask(&limiter, &of, &mut seen).await.unwrap().refused[0].reason, Reason::MinuteRequests);
    assert_eq!(server.requests(&of).await, (7, 7));
}

#[tokio::test]
async fn closed_refuses_and_says_why() {
    let server = Server::new(1);
    let (limiter, of) = (server.guarded(FailurePolicy::Closed, 1), rpm(10));
    server.be_away(true);
    for _ in 0..3 {
        let error = ask(&limiter, &of, &mut 0).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("policy is closed"), "{error}");
    }
    assert!(
        limiter.reserve(&[], &[], 0).await.is_ok(),
        "who asks for nothing is told what this process knows"
    );
    server.be_away(false);
    server.advance(500);
    assert_eq!(ask(&limiter, &of, &mut 0).await.unwrap().grants.len(), 1);
}

/// Four processes at the limit all the time, one server that goes away and comes back with and without
/// its memory: in no 61 s more than the limit, and nobody starves.
#[tokio::test]
async fn shares_hold_the_limit_while_the_limiter_is_away_and_in_the_minute_after() {
    for forgets in [false, true] {
        let server = Server::new(4);
        let of = candidate(Limits::new(Some(40), None, Some(900)));
        let processes: Vec<_> = (1..=4).map(|me| server.guarded(FailurePolicy::Share, me)).collect();
        let (mut seen, mut batches) = ([0_u64; 4], 0);
        let mut calls: Vec<(Millis, u32)> = Vec::new();
        for second in 0..900_u64 {
            match second {
                100 | 400 => server.be_away(true),
                200 | 500 => {
                    server.be_away(false);
                    if forgets {
                        server.lose_memory();
                    }
                }
                _ => {}
            }
            for turn in 0..4 {
                let which = (turn + second as usize) % 4;
                if (which as u64 + second).is_multiple_of(2) {
                    processes[which].tend().await;
                }
                let granted = take_all(&processes[which], &of, &mut seen[which], &mut batches).await;
                calls.push((second * 1000, granted));
            }
            let now = second * 1000;
            let minute: u32 = calls.iter().filter(|(at, _)| at + 61_000 > now).map(|(_, calls)| calls).sum();
            assert!(minute <= 40, "{minute} calls in the 61 s before second {second}");
            server.advance(1_000);
        }
        let day: u32 = calls.iter().map(|(_, calls)| calls).sum();
        assert!((400..=900).contains(&day), "{day} calls");
        let away: u32 = calls.iter().filter(|(at, _)| (170_000..200_000).contains(at)).map(|(_, n)| n).sum();
        assert!(away > 0, "shares were spent");
    }
}

/// Redis is back for one of four processes, the others have not told theirs: its callers ask at the same time.
#[tokio::test]
async fn callers_who_ask_together_take_no_more_than_the_part_of_their_process() {
    let server = Server::new(4);
    let of = rpm(40);
    let processes: Vec<_> = (1..=4).map(|me| server.guarded(FailurePolicy::Share, me)).collect();
    let (mut seen, mut batches) = ([0_u64; 4], 0);
    for (process, seen) in processes.iter().zip(&mut seen) {
        take(1, process, &of, seen, &mut batches).await;
    }
    server.be_away(true);
    for (process, seen) in processes.iter().zip(&mut seen) {
        take(1, process, &of, seen, &mut batches).await;
    }
    server.advance(61_000);
    for (process, seen) in processes.iter().zip(&mut seen) {
        assert_eq!(take(8, process, &of, seen, &mut batches).await, 8);
    }
    server.be_away(false);
    server.advance(500);
    let process = &processes[0];
    process.tend().await;
    assert_eq!(process.mode().degraded, None);
    server.answers_arrive(false);
    {
        let mut leaves = Box::pin(ask(process, &of, &mut seen[0]));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(leaves.as_mut().poll(context)));
        assert!(polled.await.is_pending());
    }
    let mut seen = [seen[0]; 3];
    let [first, second, third] = &mut seen;
    let (first, second, third, ()) =
        tokio::join!(ask(process, &of, first), ask(process, &of, second), ask(process, &of, third), async {
            server.answers_arrive(true);
        },);
    let (first, second, third) = (first.unwrap(), second.unwrap(), third.unwrap());
    let granted = [&first, &second, &third].map(|reply| reply.grants.len());
    assert_eq!(granted, [1, 1, 0], "8 of 10 were taken, and who has left takes nothing");
    assert_eq!(third.refused[0].reason, Reason::MinuteRequests);
    let again = third.refused[0].not_before.unwrap();
    assert!(again <= third.now + 1_000, "the others might have been refused");
    // now that it is known that they were not
    let refused = ask(process, &of, &mut seen[2]).await.unwrap().refused;
    assert!(refused[0].not_before.unwrap() > third.now + 50_000, "{refused:?}");
}

#[tokio::test]
async fn a_limiter_that_has_lost_its_memory_is_told_before_anything_is_granted() {
    let server = Server::new(1);
    let (limiter, of) = (server.guarded(FailurePolicy::Open, 1), rpm(10));
    let (mut seen, mut batches) = (0, 0);
    assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 10);
    server.lose_memory();
    server.advance(1_000);
    assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 0);
    assert_eq!(server.requests(&of).await, (10, 10));
    server.advance(60_000);
    assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 10);
    assert_eq!(server.requests(&of).await.1, 20);
}

#[tokio::test]
async fn what_was_told_without_an_answer_is_not_counted_twice() {
    for forgets in [false, true] {
        let server = Server::new(1);
        let (limiter, of) = (server.guarded(FailurePolicy::Open, 1), rpm(20));
        let (mut seen, mut batches) = (0, 0);
        assert_eq!(take(1, &limiter, &of, &mut seen, &mut batches).await, 1);
        server.be_away(true);
        assert_eq!(take(5, &limiter, &of, &mut seen, &mut batches).await, 5);
        server.be_away(false);
        if forgets {
            server.lose_memory();
        }
        server.hears(Hears::ButItsAnswerIsLost);
        for _ in 0..3 {
            server.advance(600);
            limiter.tend().await;
            assert_eq!(limiter.mode().degraded, Some("open"));
            assert_eq!(take(1, &limiter, &of, &mut seen, &mut batches).await, 1);
        }
        server.hears(Hears::AndAnswers);
        server.advance(600);
        limiter.tend().await;
        assert_eq!(limiter.mode().degraded, None);
        assert_eq!(server.requests(&of).await, (9, 9), "1, 5 and 3; lost its memory: {forgets}");
        assert_eq!(take_all(&limiter, &of, &mut seen, &mut batches).await, 11);
    }
}

#[tokio::test]
async fn a_caller_does_not_wait_until_the_limiter_was_told_everything() {
    for forgets in [false, true] {
        let server = Server::new(1);
        let (limiter, of) = (server.guarded(FailurePolicy::Open, 1), rpm(20));
        let mut seen = 0;
        ask(&limiter, &of, &mut seen).await.unwrap();
        if forgets {
            server.lose_memory();
        } else {
            server.be_away(true);
            ask(&limiter, &of, &mut seen).await.unwrap();
            server.be_away(false);
            server.advance(600);
        }
        server.hears(Hears::Nothing);
        let within = Duration::from_secs(20);
        let asked = tokio::time::timeout(within, ask(&limiter, &of, &mut seen)).await.unwrap().unwrap();
        assert_eq!((asked.grants.len(), limiter.mode().degraded), (1, Some("open")));
        // and while somebody else is at it nobody waits at all
        server.advance(600);
        let mut tending = Box::pin(limiter.tend());
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(tending.as_mut().poll(context)));
        assert!(polled.await.is_pending());
        let mut asking = Box::pin(ask(&limiter, &of, &mut seen));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(asking.as_mut().poll(context)));
        assert!(polled.await.is_ready());
    }
}

fn block(scope: &Scope, since: Millis) -> Verdict {
    let (reason, span) = (Reason::Cooldown, Span::Named(Duration::from_secs(300)));
    Verdict::Block { scope: scope.clone(), reason, span, since }
}

#[tokio::test]
async fn blocks_are_heeded_while_it_is_away_and_shared_when_it_is_back() {
    let server = Server::new(2);
    let (limiter, of) = (server.guarded(FailurePolicy::Open, 1), rpm(10));
    let mut seen = 0;
    ask(&limiter, &of, &mut seen).await.unwrap();
    server.be_away(true);
    ask(&limiter, &of, &mut seen).await.unwrap();
    let (ours, theirs) = (Scope::Project("ours".into()), Scope::Project("theirs".into()));
    let report = SettleBatch {
        epoch: 5,
        number: 1,
        seen,
        verdicts: vec![block(&ours, START - 1)],
        tallies: vec![Tally { key: of.key.clone(), used_at: START, successes: 1, errors: 0, abandoned: 0 }],
        ..SettleBatch::default()
    };
    let settled = limiter.settle(report).await.unwrap();
    assert_eq!(settled.changed[0].scope, ours, "this process hears of its own block");
    // meanwhile another process, which still reaches the server, blocks something
    let verdicts = vec![block(&theirs, START - 1)];
    let other = SettleBatch { epoch: 6, number: 1, verdicts, ..SettleBatch::default() };
    server.limiter().settle(other).await.unwrap();
    server.be_away(false);
    server.advance(500);
    limiter.tend().await;
    let told = limiter.reserve(std::slice::from_ref(&of), &[], settled.generation).await.unwrap();
    assert!(told.changed.iter().any(|change| change.scope == theirs), "{told:?}");
    let snapshot = limiter.snapshot(&[], &[ours, theirs], std::slice::from_ref(&of.key)).await.unwrap();
    assert!(snapshot.scopes.iter().all(|record| record.blocked(START + 1_000).is_some()));
    assert_eq!(snapshot.counters[0].successes, 1);
}

#[tokio::test]
async fn an_error_that_is_no_outage_is_handed_on() {
    #[derive(Debug)]
    struct Newer;
    #[async_trait]
    impl RateLimiter for Newer {
        async fn reserve(&self, _: &[Candidate], _: &[Ask], _: u64) -> Result<Reserved, LimiterError> {
            Err(LimiterError::new(LimiterErrorKind::Incompatible, "version 2"))
        }
        async fn settle(&self, _: SettleBatch) -> Result<Settled, LimiterError> {
            Err(LimiterError::new(LimiterErrorKind::Incompatible, "version 2"))
        }
        async fn snapshot(
            &self,
            _: &[Candidate],
            _: &[Scope],
            _: &[KeyId],
        ) -> Result<Snapshot, LimiterError> {
            Err(LimiterError::new(LimiterErrorKind::Incompatible, "version 2"))
        }
        async fn reset(&self, _: &Scope) -> Result<(), LimiterError> {
            Ok(())
        }
    }
    let clock = Arc::new(ManualClock::default());
    let limiter = GuardedLimiter::new(Arc::new(Newer), FailurePolicy::Open, clock, 1, 1);
    let error = ask(&limiter, &rpm(1), &mut 0).await.unwrap_err();
    assert_eq!(error.kind(), LimiterErrorKind::Incompatible);
    assert_eq!(limiter.mode().degraded, None);
}
