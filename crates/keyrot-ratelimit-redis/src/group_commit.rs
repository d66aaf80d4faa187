//! Group commit: one call is under way; whoever comes meanwhile goes along with the next one.
//!
//! Who comes alone is served at once, without a detour. Under load one round trip carries as many
//! questions as have come during the one before it, so the server is asked no more often when more is
//! asked of it. Nothing waits for a timer. While answers are handed out the server is at the next call
//! already.
//!
//! Nobody waits longer than he would have by himself, in line and in the call together. One timer, of
//! the one who has waited longest, serves for all: a timer for each costs as much as his share of the
//! call.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use keyrot_core::LimiterError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::callers::{Answered, Caller, Together, lost, poll_once};

/// So many go along at most: one call stays short for the server.
const MOST: usize = 256;

/// See the module.
pub(crate) struct GroupCommit<T: Together> {
    inner: Arc<Inner<T>>,
}

struct Inner<T: Together> {
    together: T,
    line: Mutex<Line<T>>,
}

struct Line<T: Together> {
    under_way: bool,
    /// The one who has waited longest comes first.
    waiting: VecDeque<(T::Question, Caller<T>)>,
}

/// Questions that go together, and who asked them.
type Group<T> = (Vec<<T as Together>::Question>, VecDeque<Caller<T>>);

impl<T: Together> GroupCommit<T> {
    pub(crate) fn new(together: T) -> Self {
        let line = Mutex::new(Line { under_way: false, waiting: VecDeque::new() });
        Self { inner: Arc::new(Inner { together, line }) }
    }

    /// Asks, alone or with others.
    pub(crate) async fn ask(&self, question: T::Question) -> Result<T::Answer, LimiterError> {
        let told = {
            let mut line = self.inner.lock();
            if line.under_way {
                let (tell, told) = oneshot::channel();
                let until = Instant::now() + self.inner.together.limit();
                line.waiting.push_back((question, Caller { until, tell }));
                Ok(told)
            } else {
                line.under_way = true;
                Err(question)
            }
        };
        match told {
            Ok(told) => told.await.unwrap_or_else(|_| Err(lost())),
            Err(question) => {
                // whether this ends or is given up: who has come meanwhile goes on
                let _next = Next(Arc::clone(&self.inner));
                self.inner.together.ask(&[question]).await?.into_iter().next().ok_or_else(lost)
            }
        }
    }
}

impl<T: Together> Inner<T> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Line<T>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who wait and still want to know, if anybody does. Otherwise, if this is the `last` look, nothing is
    /// under way any more.
    fn next(&self, last: bool) -> Option<Group<T>> {
        loop {
            let mut come = {
                let mut line = self.lock();
                let count = line.waiting.len().min(MOST);
                if count == 0 {
                    line.under_way &= !last;
                    return None;
                }
                let rest = line.waiting.split_off(count);
                std::mem::replace(&mut line.waiting, rest)
            };
            // not within the lock: each of them may have been written to by another thread
            come.retain(|(_, caller)| !caller.tell.is_closed());
            if !come.is_empty() {
                return Some(come.into_iter().unzip());
            }
        }
    }

    async fn serve(self: Arc<Self>) {
        let mut answered: Option<Answered<T>> = None;
        loop {
            let Some((questions, mut callers)) = self.next(answered.is_none()) else {
                let Some(answered) = answered.take() else { return };
                answered.tell();
                tokio::task::yield_now().await; // they may ask again at once
                continue;
            };
            let asked = callers.len();
            let mut answers = pin!(self.together.ask(&questions));
            let mut answer = None;
            if let Some(answered) = answered.take() {
                answer = poll_once(answers.as_mut()).await;
                answered.tell();
            }
            let answers = loop {
                if let Some(answers) = answer {
                    break answers;
                }
                let Some(until) = self.first_to_give_up(&callers) else { break answers.await };
                match timeout_at(until, answers.as_mut()).await {
                    Ok(answers) => break answers,
                    Err(_) => self.give_up(&mut callers),
                }
            };
            answered = Some(Answered { gone: asked - callers.len(), callers, answers });
        }
    }

    /// When the one who has waited longest has waited enough. Whoever joins the line later than this
    /// is asked waits longer than the call takes.
    fn first_to_give_up(&self, callers: &VecDeque<Caller<T>>) -> Option<Instant> {
        let along = callers.front().map(|caller| caller.until);
        along.or_else(|| self.lock().waiting.front().map(|(_, caller)| caller.until))
    }

    /// Tells those who have waited long enough, in the call and in the line.
    fn give_up(&self, callers: &mut VecDeque<Caller<T>>) {
        let now = Instant::now();
        let tell = |caller: Caller<T>| {
            let _ = caller.tell.send(Err(self.together.too_slow()));
        };
        while let Some(caller) = callers.pop_front_if(|caller| caller.until <= now) {
            tell(caller);
        }
        let mut line = self.lock();
        while let Some((_, caller)) = line.waiting.pop_front_if(|(_, caller)| caller.until <= now) {
            tell(caller);
        }
    }
}

/// Serves those who wait when it is dropped.
struct Next<T: Together>(Arc<Inner<T>>);

impl<T: Together> Drop for Next<T> {
    fn drop(&mut self) {
        {
            let mut line = self.0.lock();
            if line.waiting.is_empty() {
                line.under_way = false;
                return;
            }
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(Arc::clone(&self.0).serve())),
            Err(_) => {
                // no runtime any more: nobody can be served
                let mut line = self.0.lock();
                line.under_way = false;
                line.waiting.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
}
