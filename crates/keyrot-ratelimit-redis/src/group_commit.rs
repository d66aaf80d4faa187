//! Group commit: one call is under way; whoever comes meanwhile goes along with the next one.
//!
//! Who comes alone is served at once, without a detour. Under load one round trip carries as many
//! questions as have come during the one before it, so the server is asked no more often when more is
//! asked of it. Nothing waits for a timer.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use keyrot_core::{LimiterError, LimiterErrorKind};
use tokio::sync::oneshot;

/// So many go along at most: one call stays short for the server.
const MOST: usize = 256;

/// Answers many questions in one call.
#[async_trait]
pub(crate) trait Together: Send + Sync + 'static {
    type Question: Send + 'static;
    type Answer: Send + 'static;

    /// The answers in the order of the questions.
    async fn ask(&self, questions: &[Self::Question]) -> Result<Vec<Self::Answer>, LimiterError>;
}

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
    waiting: Vec<Waiting<T>>,
}

struct Waiting<T: Together> {
    question: T::Question,
    tell: Tell<T>,
}

/// Questions that go together, and whom to tell the answers.
type Group<T> = (Vec<<T as Together>::Question>, Vec<Tell<T>>);

/// Tells one caller his answer.
type Tell<T> = oneshot::Sender<Result<<T as Together>::Answer, LimiterError>>;

impl<T: Together> GroupCommit<T> {
    pub(crate) fn new(together: T) -> Self {
        let line = Mutex::new(Line { under_way: false, waiting: Vec::new() });
        Self { inner: Arc::new(Inner { together, line }) }
    }

    /// Asks, alone or with others.
    pub(crate) async fn ask(&self, question: T::Question) -> Result<T::Answer, LimiterError> {
        let told = {
            let mut line = self.inner.lock();
            if line.under_way {
                let (tell, told) = oneshot::channel();
                line.waiting.push(Waiting { question, tell });
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

    /// Those who wait and still want to know; `None` if nobody does, then nothing is under way any more.
    fn next(&self) -> Option<Group<T>> {
        let mut line = self.lock();
        line.waiting.retain(|waiting| !waiting.tell.is_closed());
        let count = line.waiting.len().min(MOST);
        if count == 0 {
            line.under_way = false;
            return None;
        }
        Some(line.waiting.drain(..count).map(|waiting| (waiting.question, waiting.tell)).unzip())
    }

    async fn serve(self: Arc<Self>) {
        while let Some((questions, tell)) = self.next() {
            match self.together.ask(&questions).await {
                Ok(answers) => {
                    for (tell, answer) in tell.into_iter().zip(answers) {
                        let _ = tell.send(Ok(answer)); // who has gone meanwhile counts as served
                    }
                }
                Err(error) => {
                    for tell in tell {
                        let _ = tell.send(Err(error.clone()));
                    }
                }
            }
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

fn lost() -> LimiterError {
    LimiterError::new(LimiterErrorKind::Unavailable, "a question to Redis went unanswered")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

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
}
