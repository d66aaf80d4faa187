//! A call with failover: the next key after a failure, separate budgets for other keys and for the
//! same key, one deadline over all, and the cause of every attempt kept.

use std::pin::pin;
use std::time::{Duration, Instant};

use crate::error::{AcquireError, Attempt, RunEnd, RunError};
use crate::key::ModelName;
use crate::lease::ActiveLease;
use crate::outcome::{Blame, Classify, Effect, Outcome, Usage};
use crate::plan::Tried;
use crate::pool::KeyPool;
use crate::request::KeyRequest;
use crate::verdict::{Next, same_key_pause};

/// A call goes to at most so many other keys.
const MOST_KEY_CHANGES: usize = 8;
/// A key that failed without being at fault is tried again so often.
const MOST_SAME_KEY: u32 = 2;

/// One call that moves from key to key until it succeeds, its budget is used up or its deadline
/// has come. [`KeyPool::run`] drives it; drive it yourself to keep the lease (streams).
#[derive(Debug)]
pub struct Call {
    pool: KeyPool,
    request: KeyRequest,
    deadline: Instant,
    tried: Tried,
    attempts: Vec<Attempt>,
    key_changes: usize,
    same_key: u32,
    pause: bool,
    over: bool,
}

/// What [`KeyPool::run`] returns on success.
#[derive(Debug)]
#[non_exhaustive]
pub struct Done<T> {
    /// What the caller's closure returned.
    pub value: T,
    /// Every try in order; the last one succeeded.
    pub attempts: Vec<Attempt>,
}

impl<T> Done<T> {
    /// A value with the attempts that led to it, for who drives a [`Call`] himself.
    pub fn new(value: T, attempts: Vec<Attempt>) -> Self {
        Self { value, attempts }
    }
}

impl KeyPool {
    /// Makes a call with failover. `call` sends it with the lease's secret to the lease's model and
    /// returns its value with the usage that the provider counted.
    ///
    /// The compiler cannot yet show that the future of an async closure which borrows is [`Send`]: to spawn such a call on
    /// another thread, drive a [`Call`] yourself.
    ///
    /// # Errors
    /// The last error of the call, or that no key can be had; with every attempt's cause.
    pub async fn run<T, E: Classify>(
        &self,
        request: &KeyRequest,
        call: impl AsyncFn(&ActiveLease) -> Result<(T, Usage), E>,
    ) -> Result<Done<T>, RunError<E>> {
        let mut failover = self.call(request);
        let mut last = None;
        loop {
            let lease = match failover.next().await {
                Ok(lease) => lease,
                Err(error) => return Err(failover.give_up(error, last)),
            };
            match call(&lease).await {
                Ok((value, usage)) => {
                    let attempts = failover.succeeded(lease, usage).await;
                    return Ok(Done { value, attempts });
                }
                Err(error) => {
                    let go_on = failover.failed(lease, &error.outcome()).await;
                    if !go_on {
                        return Err(failover.fail(error));
                    }
                    last = Some(error);
                }
            }
        }
    }

    /// Begins a call whose attempts the caller makes itself.
    pub fn call(&self, request: &KeyRequest) -> Call {
        Call {
            pool: self.clone(),
            request: request.clone(),
            deadline: self.inner.clock.now() + request.deadline,
            tried: Tried::default(),
            attempts: Vec::new(),
            key_changes: 0,
            same_key: 0,
            pause: false,
            over: false,
        }
    }
}

impl Call {
    /// The key for the next attempt, waiting for capacity if the deadline allows.
    ///
    /// # Errors
    /// No key can be had in time.
    pub async fn next(&mut self) -> Result<ActiveLease, AcquireError> {
        loop {
            let observed = self.pool.observe(&self.request);
            let lease = observed.until(pin!(self.acquire())).await?;
            // A lease whose scope was blocked while it was made gives its quota back: plan again.
            if let Ok(active) = lease.begin() {
                return Ok(active);
            }
        }
    }

    async fn acquire(&mut self) -> Result<crate::KeyLease, AcquireError> {
        if self.tried.is_empty() {
            return self.pool.acquire_until(&self.request, self.deadline, &self.tried).await;
        }
        // First who has not been tried.
        match self.pool.acquire_now(&self.request, &self.tried).await {
            // the others rest or have no secret: who has been tried may still do
            Err(AcquireError::Exhausted(_) | AcquireError::NoSecret(_)) => {}
            done => return done,
        }
        let failed_before =
            std::mem::take(&mut self.pause) && self.pool.is_ready(&self.request, &Tried::default());
        if failed_before && self.same_key < MOST_SAME_KEY {
            // Then, after a pause, who has failed before; by then another may have come free.
            self.rest().await;
            match self.pool.acquire_now(&self.request, &self.tried).await {
                Err(AcquireError::Exhausted(_) | AcquireError::NoSecret(_)) => {}
                done => return done,
            }
        } else if failed_before && self.pool.anybody_else(&self.request, &self.tried) {
            return self.pool.acquire_until(&self.request, self.deadline, &self.tried).await;
        }
        self.pool.acquire_until(&self.request, self.deadline, &Tried::default()).await
    }

    async fn rest(&mut self) {
        let pause = same_key_pause(self.same_key, &mut self.pool.lock().rng);
        self.same_key += 1;
        let clock = &self.pool.inner.clock;
        let until = (clock.now() + pause).min(self.deadline);
        clock.sleep_until(until).await;
    }

    /// The attempt failed: books the outcome. True if another attempt may help. Who is told no and knows what else to send
    /// may go on with [`next`](Self::next).
    pub async fn failed(&mut self, lease: ActiveLease, outcome: &Outcome) -> bool {
        self.record(&lease, outcome);
        let (group, key) = lease.identity();
        let model = lease.model().clone();
        match lease.conclude(outcome, Some((&self.request, &self.tried))).await {
            Next::Stop => self.over = true,
            Next::SameKey => {} // it goes on with the new secret
            Next::OtherModel => self.leave_model(&model),
            Next::Retry => {
                self.pause = true;
                self.key_changes += 1;
                match outcome.blame {
                    Blame::Key | Blame::Service | Blame::Host => self.tried.keys.push(key),
                    _ => self.tried.groups.push(group),
                }
            }
        }
        let out_of_tries = self.key_changes > MOST_KEY_CHANGES
            || self.same_key >= MOST_SAME_KEY
                && matches!(outcome.effect, Effect::Transient | Effect::Overload)
                && !self.pool.anybody_else(&self.request, &self.tried);
        !self.over && !out_of_tries && self.pool.inner.clock.now() < self.deadline
    }

    /// The attempt succeeded. Returns all attempts.
    pub async fn succeeded(mut self, lease: ActiveLease, usage: Usage) -> Vec<Attempt> {
        let outcome = Outcome::success(usage);
        self.record(&lease, &outcome);
        lease.conclude(&outcome, None).await;
        self.attempts
    }

    /// Every try so far.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The time that is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(self.pool.inner.clock.now())
    }

    /// How long the try of a stream should wait for its first content, if that is not as long as the call may take. While
    /// another key could take over, a try that begins in the first half of the call's time has two thirds of what is
    /// left: a server that never answers is then given up while there is time for an answer from somewhere else. A
    /// whole answer gives no sign of life before it is there, so it is not given up for being slow.
    pub fn patience(&self, lease: &ActiveLease) -> Option<Duration> {
        let left = self.remaining();
        if left < self.request.deadline / 2 {
            return None;
        }
        let mut tried = self.tried.clone();
        tried.keys.push(lease.key_id().clone());
        self.pool.is_ready(&self.request, &tried).then(|| left * 2 / 3)
    }

    /// Ends the call because no key can be had.
    pub fn give_up<E>(self, error: AcquireError, last: Option<E>) -> RunError<E> {
        RunError { attempts: self.attempts, end: RunEnd::Acquire { error, last } }
    }

    /// Ends the call with the error of its last attempt.
    pub fn fail<E>(self, error: E) -> RunError<E> {
        RunError { attempts: self.attempts, end: RunEnd::Failed(error) }
    }

    fn record(&mut self, lease: &ActiveLease, outcome: &Outcome) {
        self.attempts.push(Attempt {
            key_id: lease.key_id().clone(),
            project: lease.project().clone(),
            model: lease.model().clone(),
            outcome: outcome.clone(),
            latency: lease.elapsed(),
        });
    }

    /// The model does not exist for the project: goes on with the fallback models only.
    fn leave_model(&mut self, model: &ModelName) {
        self.request.fallback_models.retain(|fallback| fallback != model);
        if self.request.fallback_models.is_empty() {
            self.over = true;
        } else if self.request.model.as_ref() == Some(model) {
            self.request.model = Some(self.request.fallback_models.remove(0));
        }
    }
}
