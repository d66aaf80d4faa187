//! Group commit: one call is under way; whoever comes meanwhile goes along with the next one.
//!
//! Who comes alone is served at once, without a detour. Under load one round trip carries as many
//! questions as have come during the one before it, so the server is asked no more often when more is
//! asked of it. Nothing waits for a timer. While answers are handed out the server is at the next call
//! already; only if few wait for that, those who are told may come along first, if they ask again.
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

/// A call for one costs the server as much as a call for so many who ask alike.
const FEW: usize = 32;

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
            let few = |done: &Answered<T>| self.lock().waiting.len() < done.callers.len().min(FEW);
            if let Some(done) = answered.take_if(|done| few(done)) {
                done.tell();
                tokio::task::yield_now().await; // they may ask again at once
            }
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
mod tests;
