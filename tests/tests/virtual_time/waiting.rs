//! Callers that wait for capacity: first come first served, and nobody looks more often than there is something to
//! see.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use keyrot_core::{
    AcquireError, ActiveLease, Clock, KeyMetadata, KeyPool, KeyRequest, Limits, LocalLimiter, ManualClock,
    Usage,
};
use keyrot_e2e::counting::CountingLimiter;
use keyrot_e2e::world::{MODEL, entry, key_set, secrets};
use keyrot_testkit::run_virtual;
use tokio::task::{JoinHandle, yield_now};

/// A minute and its guard: when capacity comes back.
const WINDOW: Duration = Duration::from_secs(61);

/// Who got a key, and how long he stood in line.
type Served = (&'static str, usize, Duration);

struct Line {
    pool: KeyPool,
    clock: ManualClock,
    limiter: CountingLimiter,
    /// In order.
    served: Arc<Mutex<Vec<Served>>>,
}

impl Line {
    fn of(entries: impl IntoIterator<Item = KeyMetadata>) -> Self {
        Self::with(entries, |limiter| limiter)
    }

    fn with(
        entries: impl IntoIterator<Item = KeyMetadata>,
        limiter: impl FnOnce(CountingLimiter) -> CountingLimiter,
    ) -> Self {
        let (clock, keys) = (ManualClock::default(), key_set(entries));
        let limiter = limiter(CountingLimiter::new(LocalLimiter::new(Arc::new(clock.clone()))));
        let pool = KeyPool::builder(keys.clone())
            .secrets(secrets(&keys))
            .clock(clock.clone())
            .limiter(Arc::new(limiter.clone()))
            .seed(7)
            .build();
        Self { pool, clock, limiter, served: Arc::default() }
    }

    /// Takes a key without waiting and spends it.
    async fn take(&self, tokens: u64) {
        self.take_of(MODEL, tokens).await;
    }

    async fn take_of(&self, model: &str, tokens: u64) {
        let lease = self.pool.acquire(&KeyRequest::model(model).tokens(tokens)).await.unwrap();
        spend(lease.begin().unwrap(), tokens).await;
    }

    /// A caller that stands in line from now on.
    async fn caller(&self, name: &'static str, number: usize, tokens: u64) -> JoinHandle<()> {
        let (pool, clock, served) = (self.pool.clone(), self.clock.clone(), Arc::clone(&self.served));
        let start = clock.now();
        let caller = tokio::spawn(async move {
            let request = KeyRequest::model(MODEL).tokens(tokens);
            let lease = pool.acquire_within(&request, Duration::from_secs(3600)).await.unwrap();
            served.lock().unwrap().push((name, number, clock.now() - start));
            spend(lease.begin().unwrap(), tokens).await;
        });
        yield_now().await; // it takes its place before anybody else comes
        caller
    }

    fn served(&self) -> Vec<(&'static str, usize)> {
        self.served.lock().unwrap().iter().map(|(name, number, _)| (*name, *number)).collect()
    }
}

/// The reservation was exact: nothing is given back. (A tenth is added to the estimate.)
async fn spend(lease: ActiveLease, tokens: u64) {
    lease.succeeded(Usage::input(tokens + tokens.div_ceil(10))).await;
}

fn limited(id: &str, rpm: u32) -> KeyMetadata {
    entry(id, id).with_limits(Limits::new(Some(rpm), None, None))
}

#[test]
fn fifty_waiters_are_served_in_order_with_one_wake_up_per_capacity() {
    for rpm in [1, 10] {
        let line = Line::of([limited("only", rpm)]);
        run_virtual(line.clock.clone(), async {
            for _ in 0..rpm {
                line.take(1000).await;
            }
            let taken = line.limiter.reserves();
            let mut waiters = Vec::new();
            for number in 0..50 {
                waiters.push(line.caller("waiter", number, 1000).await);
            }
            for waiter in waiters {
                waiter.await.unwrap();
            }
            let expected: Vec<_> = (0..50).map(|number| ("waiter", number)).collect();
            assert_eq!(line.served(), expected);
            // One look for each that is served, and one for each window that turns out to be full.
            let windows = 50 / rpm as usize;
            let looks = line.limiter.reserves() - taken;
            assert!(
                looks <= 50 + windows + 1,
                "rpm {rpm}: {looks} looks for 50 waiters in {windows} windows"
            );
            let times: Vec<Duration> = line.served.lock().unwrap().iter().map(|(.., at)| *at).collect();
            for (number, at) in (0_u32..).zip(times) {
                assert_eq!(at, WINDOW * (number / rpm + 1), "waiter {number} of rpm {rpm}");
            }
        });
    }
}

#[test]
fn where_a_question_is_a_round_trip_those_behind_the_head_ask_with_it() {
    let line = Line::with([limited("only", 10)], CountingLimiter::far_away);
    run_virtual(line.clock.clone(), async {
        for _ in 0..10 {
            line.take(1000).await;
        }
        let mut waiters = Vec::new();
        for number in 0..100 {
            waiters.push(line.caller("waiter", number, 1000).await);
        }
        let mut asked = Vec::new();
        for window in 1..=10 {
            let before = line.limiter.reserves();
            line.clock.advance(WINDOW);
            while line.served().len() < window * 10 {
                yield_now().await;
            }
            asked.push(line.limiter.reserves() - before);
            assert_eq!(line.served().len(), window * 10);
        }
        for waiter in waiters {
            waiter.await.unwrap();
        }
        let expected: Vec<_> = (0..100).map(|number| ("waiter", number)).collect();
        assert_eq!(line.served(), expected, "first come, first served");
        // 1, 3 and 7 at a time: who finds no room has asked together with somebody who does
        assert!(asked.iter().all(|asked| (10..=18).contains(asked)), "{asked:?}");
    });
}

#[test]
fn who_asks_for_less_does_not_starve_a_head_that_asks_for_more() {
    let only = || entry("only", "only").with_limits(Limits::new(None, Some(11_000), None));
    for limiter in [|limiter| limiter, CountingLimiter::far_away] {
        let line = Line::with([only()], limiter);
        run_virtual(line.clock.clone(), async {
            for _ in 0..10 {
                line.take(1000).await;
                line.clock.advance(Duration::from_secs(5)); // room for one small call comes back at a time
            }
            let mut callers = vec![line.caller("small", 0, 1000).await, line.caller("head", 0, 9000).await];
            for number in 1..40 {
                callers.push(line.caller("small", number, 1000).await);
            }
            for caller in callers {
                caller.await.unwrap();
            }
            let served = line.served();
            assert_eq!(served[..2], [("small", 0), ("head", 0)]);
            assert!(served[2..].iter().map(|(_, number)| *number).eq(1..40), "{served:?}");
        });
    }
}

#[test]
fn a_newcomer_never_overtakes() {
    let line = Line::of([limited("only", 2)]);
    run_virtual(line.clock.clone(), async {
        line.take(1000).await;
        line.take(1000).await;
        let mut callers = Vec::new();
        for number in 0..4 {
            callers.push(line.caller("early", number, 1000).await);
        }
        // In the very moment in which the capacity comes back, before those who wait have noticed.
        line.clock.advance(WINDOW);
        for number in 0..2 {
            callers.push(line.caller("late", number, 1000).await);
        }
        let impatient = line.pool.acquire(&KeyRequest::model(MODEL)).await;
        assert!(matches!(impatient, Err(AcquireError::Exhausted(_))), "{impatient:?} although others wait");
        for caller in callers {
            caller.await.unwrap();
        }
        let expected = [("early", 0), ("early", 1), ("early", 2), ("early", 3), ("late", 0), ("late", 1)];
        assert_eq!(line.served(), expected);
    });
}

/// Two projects with their own limits of tokens per minute.
fn of_two_sizes() -> Line {
    let large = entry("large", "large").with_limits(Limits::new(None, Some(11_000), None));
    let small = entry("small", "small").with_limits(Limits::new(None, Some(1_100), None)).with_priority(1);
    Line::of([large, small])
}

#[test]
fn a_small_request_passes_the_head_where_the_head_could_not_go() {
    let line = of_two_sizes();
    run_virtual(line.clock.clone(), async {
        line.take(8000).await; // of `large`, which comes first
        let head = line.caller("head", 0, 5000).await;
        let small = line.caller("small", 0, 500).await;
        small.await.unwrap();
        assert_eq!(line.served(), [("small", 0)]);
        head.await.unwrap();
        let at = line.served.lock().unwrap()[1].2;
        assert_eq!(at, WINDOW, "the head was served when it had been told");
    });
}

#[test]
fn a_small_request_waits_if_it_would_take_what_the_head_waits_for() {
    let line = of_two_sizes();
    run_virtual(line.clock.clone(), async {
        line.take(8000).await;
        line.take(900).await; // still fits into `large`; what is left there, 1 100, is not enough for the head
        line.take_small().await;
        let head = line.caller("head", 0, 9500).await;
        let small = line.caller("small", 0, 900).await;
        head.await.unwrap();
        small.await.unwrap();
        assert_eq!(line.served(), [("head", 0), ("small", 0)]);
    });
}

impl Line {
    /// Uses up the project of small calls.
    async fn take_small(&self) {
        let request = KeyRequest::model(MODEL).tokens(1000).pinned_to("small".into());
        let lease = self.pool.acquire(&request).await.unwrap();
        spend(lease.begin().unwrap(), 1000).await;
    }
}

#[test]
fn a_waiter_that_leaves_passes_the_baton() {
    let line = Line::of([limited("only", 1)]);
    run_virtual(line.clock.clone(), async {
        line.take(1000).await;
        let request = KeyRequest::model(MODEL);
        {
            // Polled by hand, so that it can leave between its wake-up and its look.
            let mut head = pin!(line.pool.acquire_within(&request, Duration::from_secs(3600)));
            assert!(poll(head.as_mut()).is_pending());
            let next = line.caller("next", 0, 1000).await;
            line.clock.advance(WINDOW);
            yield_now().await;
            assert_eq!(line.served(), [], "the head comes first");
            drop(next);
        }
        for _ in 0..100 {
            yield_now().await; // time stands still meanwhile
        }
        assert_eq!(line.served(), [("next", 0)], "the next one waits although there is room");
    });
}

#[test]
fn waiters_in_the_middle_may_leave() {
    let line = Line::of([limited("only", 1)]);
    run_virtual(line.clock.clone(), async {
        line.take(1000).await;
        let mut callers = Vec::new();
        for number in 0..6 {
            callers.push(line.caller("waiter", number, 1000).await);
        }
        for left in [4, 2, 0] {
            callers.remove(left).abort();
        }
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(line.served(), [("waiter", 1), ("waiter", 3), ("waiter", 5)]);
    });
}

#[test]
fn the_line_holds_1024_and_says_so_to_the_next() {
    let line = Line::of([limited("only", 1)]);
    run_virtual(line.clock.clone(), async {
        line.take(1000).await;
        let mut waiters = Vec::new();
        for number in 0..1024 {
            waiters.push(line.caller("waiter", number, 1000).await);
        }
        let request = KeyRequest::model(MODEL);
        let refused = line.pool.acquire_within(&request, Duration::from_secs(3600)).await;
        assert!(matches!(refused, Err(AcquireError::QueueFull { waiting: 1024 })), "{refused:?}");
        waiters.pop().unwrap().abort();
        yield_now().await;
        let mut welcome = pin!(line.pool.acquire_within(&request, Duration::from_secs(36_000)));
        assert!(poll(welcome.as_mut()).is_pending(), "a place is free again");
    });
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
