//! Who goes with which call, and who is told when.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;

use keyrot_core::LimiterErrorKind;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;

const LIMIT: Duration = Duration::from_millis(200);
const TOO_SLOW: &str = "too slow";

/// Doubles numbers; each call needs a permit.
struct Doubling {
    permits: Arc<Semaphore>,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Together for Doubling {
    type Question = u32;
    type Answer = u32;

    async fn ask(&self, questions: &[u32]) -> Result<Vec<u32>, LimiterError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
        if questions.contains(&u32::MAX) {
            return Err(lost());
        }
        Ok(questions.iter().map(|number| number * 2).collect())
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    fn too_slow(&self) -> LimiterError {
        LimiterError::new(LimiterErrorKind::Unavailable, TOO_SLOW)
    }
}

fn bench() -> (Arc<GroupCommit<Doubling>>, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, calls) = (Arc::new(Semaphore::new(0)), Arc::default());
    let doubling = Doubling { permits: Arc::clone(&permits), calls: Arc::clone(&calls) };
    (Arc::new(GroupCommit::new(doubling)), permits, calls)
}

async fn waiting(group: &GroupCommit<Doubling>, count: usize) {
    let there = async {
        while group.inner.lock().waiting.len() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("they come");
}

#[tokio::test]
async fn whoever_comes_while_one_is_under_way_goes_with_the_next() {
    let (group, permits, calls) = bench();
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let group = Arc::clone(&group);
        tasks.spawn(async move { (number, group.ask(number).await.unwrap()) });
    }
    waiting(&group, 99).await;
    permits.add_permits(2);
    while let Some(done) = tasks.join_next().await {
        let (number, doubled) = done.unwrap();
        assert_eq!(doubled, number * 2);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    permits.add_permits(1);
    assert_eq!(group.ask(7).await.unwrap(), 14, "idle again");
}

/// How many calls had begun when somebody was told his answer.
struct Noted {
    calls: Arc<AtomicUsize>,
    when_told: AtomicUsize,
}

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.when_told.store(self.calls.load(Ordering::SeqCst), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn the_next_call_has_begun_before_the_answers_of_the_last_are_handed_out() {
    let (group, permits, calls) = bench();
    let ask = |number| {
        let group = Arc::clone(&group);
        tokio::spawn(async move { group.ask(number).await })
    };
    let begun = async |count| {
        while calls.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    };
    let first = ask(1);
    begun(1).await;
    let noted = Arc::new(Noted { calls: Arc::clone(&calls), when_told: AtomicUsize::new(0) });
    let mut second = Box::pin(group.ask(2));
    let waker = Waker::from(Arc::clone(&noted));
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    permits.add_permits(1);
    begun(2).await;
    let third = ask(3);
    waiting(&group, 1).await;
    permits.add_permits(1);
    while noted.when_told.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(noted.when_told.load(Ordering::SeqCst), 3);
    permits.add_permits(1);
    assert_eq!((second.await.unwrap(), third.await.unwrap().unwrap()), (4, 6));
    assert_eq!(first.await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn who_is_told_and_asks_again_goes_along_with_the_few_who_wait() {
    let (group, permits, calls) = bench();
    let ask = |times| {
        let group = Arc::clone(&group);
        tokio::spawn(async move {
            for number in 0..times {
                assert_eq!(group.ask(number).await.unwrap(), number * 2);
            }
        })
    };
    let mut tasks = vec![ask(1)];
    while calls.load(Ordering::SeqCst) < 1 {
        tokio::task::yield_now().await;
    }
    tasks.extend((0..4).map(|_| ask(2)));
    waiting(&group, 4).await;
    permits.add_permits(1);
    while calls.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }
    tasks.extend((0..3).map(|_| ask(1)));
    waiting(&group, 3).await;
    permits.add_permits(9);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 3, "the three and the four together");
}

#[tokio::test]
async fn who_gives_up_leaves_the_others_served() {
    let (group, permits, calls) = bench();
    let first = tokio::spawn({
        let group = Arc::clone(&group);
        async move { group.ask(1).await }
    });
    let there = async {
        while calls.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.expect("the first is under way");
    let others: Vec<_> = (2..5)
        .map(|number| {
            let group = Arc::clone(&group);
            tokio::spawn(async move { group.ask(number).await })
        })
        .collect();
    waiting(&group, 3).await;
    first.abort();
    others[0].abort();
    permits.add_permits(9);
    for (task, doubled) in others.into_iter().skip(1).zip([6, 8]) {
        assert_eq!(task.await.unwrap().unwrap(), doubled);
    }
}

#[tokio::test]
async fn an_error_is_told_to_all_who_went_along_and_to_nobody_else() {
    let (group, permits, _) = bench();
    let mut tasks = JoinSet::new();
    for number in [1, u32::MAX, 2] {
        let group = Arc::clone(&group);
        tasks.spawn(async move { (number, group.ask(number).await.is_ok()) });
    }
    waiting(&group, 2).await;
    permits.add_permits(9);
    let mut told: Vec<_> = tasks.join_all().await;
    told.sort_unstable();
    assert_eq!(told, [(1, true), (2, false), (u32::MAX, false)]);
    assert!(group.ask(5).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_goes_and_the_younger_stay() {
    let (group, permits, _) = bench();
    let ask = |number| {
        let group = Arc::clone(&group);
        tokio::spawn(async move { group.ask(number).await })
    };
    let first = ask(1);
    while !group.inner.lock().under_way {
        tokio::task::yield_now().await;
    }
    let old = ask(2);
    waiting(&group, 1).await;
    tokio::time::advance(LIMIT / 2).await;
    let young = ask(3);
    waiting(&group, 2).await;
    permits.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap(), 2);
    let before = Instant::now();
    assert!(old.await.unwrap().unwrap_err().to_string().contains(TOO_SLOW));
    assert_eq!(before.elapsed(), LIMIT / 2, "in line and in the call together");
    permits.add_permits(1);
    assert_eq!(young.await.unwrap().unwrap(), 6, "his own answer");
}

#[tokio::test(start_paused = true)]
async fn who_is_left_in_the_line_waits_no_longer_either() {
    let (group, permits, _) = bench();
    let all: Vec<_> = (0..=MOST as u32 + 1)
        .map(|number| {
            let group = Arc::clone(&group);
            tokio::spawn(async move { group.ask(number).await })
        })
        .collect();
    waiting(&group, MOST + 1).await;
    let before = Instant::now();
    permits.add_permits(1);
    let mut told = Vec::new();
    for task in all {
        told.push(task.await.unwrap().map_err(|error| error.to_string().contains(TOO_SLOW)));
    }
    assert_eq!(told[0], Ok(0));
    assert!(told[1..].iter().all(|told| *told == Err(true)), "{told:?}");
    assert!(before.elapsed() <= LIMIT + Duration::from_millis(1), "{:?}", before.elapsed());
}
