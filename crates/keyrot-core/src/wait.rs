//! Callers that wait for a key: one queue for each class of requests, first come first served.
//! Only the head of a queue asks for capacity, at the time it was promised or when something was
//! given back; the others sleep until they are the head.
//!
//! Where a question is a round trip a head that was served lets two others ask, each of them four, and
//! so on: together they are one round trip, one after the other they would be one each. Who asks for
//! less than the head stays behind it: he would take what the head waits for.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use tokio::sync::Notify;

use crate::error::{AcquireError, Exhausted};
use crate::key::{ModelName, ProjectId};
use crate::outcome::Scope;
use crate::request::KeyRequest;

/// So many may wait in one pool.
const MOST_WAITERS: usize = 1024;

/// So many at the front of a queue ask together at most where a question is a round trip.
const TOGETHER: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WaitClass {
    model: Option<ModelName>,
    fallback_models: Vec<ModelName>,
    tags: BTreeMap<String, String>,
    pin: Option<ProjectId>,
}

impl WaitClass {
    fn of(request: &KeyRequest) -> Self {
        Self {
            model: request.model.clone(),
            fallback_models: request.fallback_models.clone(),
            tags: request.tags.clone(),
            pin: request.pin.clone(),
        }
    }
}

#[derive(Debug)]
struct Waiter {
    turn: Notify,
    tokens: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiters: VecDeque<Arc<Waiter>>,
    /// What the head was last told, and when that will be.
    told: Option<(Exhausted, Instant)>,
    /// So many may ask behind the head.
    beside: usize,
}

impl Queue {
    fn may_look(&self, place: usize) -> bool {
        let head = self.waiters.front().map_or(0, |head| head.tokens);
        place == 0 || place <= self.beside && self.waiters.get(place).is_some_and(|one| one.tokens >= head)
    }

    /// The head may ask, and those beside it.
    fn let_look(&self) {
        for (place, waiter) in self.waiters.iter().enumerate().take(self.beside + 1) {
            if self.may_look(place) {
                waiter.turn.notify_one();
            }
        }
    }
}

/// All queues of a pool.
#[derive(Debug)]
pub(crate) struct WaitRoom {
    queues: Mutex<HashMap<WaitClass, Queue>>,
    waiting: AtomicUsize,
    together: usize,
}

/// What a newcomer finds.
pub(crate) enum Line {
    /// Nobody waits.
    Empty,
    /// Somebody waits for a larger call; a smaller one may pass if it stays off this scope, so that
    /// the head's time does not move.
    Passable(Scope),
    /// Somebody waits.
    Occupied,
}

impl WaitRoom {
    /// `round_trips`: each question to the limiter is one.
    pub(crate) fn new(round_trips: bool) -> Self {
        let together = if round_trips { TOGETHER } else { 1 };
        Self { queues: Mutex::default(), waiting: AtomicUsize::new(0), together }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// What stands before this request.
    pub(crate) fn line(&self, request: &KeyRequest) -> Line {
        if self.waiting() == 0 {
            return Line::Empty;
        }
        let queues = self.lock();
        let Some(queue) = queues.get(&WaitClass::of(request)) else { return Line::Empty };
        match (queue.waiters.front(), &queue.told) {
            (None, _) => Line::Empty,
            (Some(head), Some((Exhausted { limiting: Some(scope), .. }, _)))
                if request.input_tokens < head.tokens =>
            {
                Line::Passable(scope.clone())
            }
            (Some(_), _) => Line::Occupied,
        }
    }

    /// What the head of the line was last told, and when that will be.
    pub(crate) fn told(&self, request: &KeyRequest) -> Option<(Exhausted, Instant)> {
        self.lock().get(&WaitClass::of(request))?.told.clone()
    }

    /// Joins the end of the line.
    pub(crate) fn join(self: &Arc<Self>, request: &KeyRequest) -> Result<Ticket, AcquireError> {
        let mut queues = self.lock();
        if self.waiting() >= MOST_WAITERS {
            return Err(AcquireError::QueueFull { waiting: self.waiting() });
        }
        let class = WaitClass::of(request);
        let waiter = Arc::new(Waiter { turn: Notify::new(), tokens: request.input_tokens });
        let queue = queues.entry(class.clone()).or_default();
        queue.waiters.push_back(Arc::clone(&waiter));
        if queue.waiters.len() == 1 {
            queue.let_look();
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Ok(Ticket { room: Arc::clone(self), class, waiter })
    }

    /// Capacity may be there: the head of each line looks.
    pub(crate) fn wake(&self) {
        if self.waiting() > 0 {
            self.lock().values().for_each(Queue::let_look);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<WaitClass, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a line; dropping it leaves the line and lets the next one look.
#[derive(Debug)]
pub(crate) struct Ticket {
    room: Arc<WaitRoom>,
    class: WaitClass,
    waiter: Arc<Waiter>,
}

impl Ticket {
    /// Waits until it is this caller's turn to look, or until `sleep` is over (false).
    pub(crate) async fn turn(&self, sleep: impl Future<Output = ()>) -> bool {
        let (mut turn, mut sleep) = (pin!(self.waiter.turn.notified()), pin!(sleep));
        poll_fn(|cx| {
            if turn.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            sleep.as_mut().poll(cx).map(|()| false)
        })
        .await
    }

    /// Is this caller the head, or may it ask beside it? Somebody who asks for more may be the head now.
    pub(crate) fn may_look(&self) -> bool {
        let queues = self.room.lock();
        let Some(queue) = queues.get(&self.class) else { return false };
        let mut first = queue.waiters.iter().take(self.room.together);
        let place = first.position(|waiter| Arc::ptr_eq(waiter, &self.waiter));
        place.is_some_and(|place| queue.may_look(place))
    }

    /// This caller was told when there will be capacity. True if it is the head: then it looks again at that time,
    /// before all others, and they are told the same.
    pub(crate) fn told(&self, exhausted: &Exhausted, at: Instant) -> bool {
        let mut queues = self.room.lock();
        let Some(queue) = queues.get_mut(&self.class) else { return false };
        let is_head = queue.waiters.front().is_some_and(|head| Arc::ptr_eq(head, &self.waiter));
        if is_head {
            queue.told = Some((exhausted.clone(), at));
            queue.beside = 0;
        }
        is_head
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queues = self.room.lock();
        let Some(queue) = queues.get_mut(&self.class) else { return };
        let Some(place) = queue.waiters.iter().position(|waiter| Arc::ptr_eq(waiter, &self.waiter)) else {
            return;
        };
        queue.waiters.remove(place);
        self.room.waiting.fetch_sub(1, Ordering::AcqRel);
        match queue.waiters.front() {
            Some(_) if place == 0 => {
                queue.told = None;
                queue.beside = (queue.beside * 2 + 1).min(self.room.together - 1);
                queue.let_look();
            }
            Some(_) => {}
            None => {
                queues.remove(&self.class);
            }
        }
    }
}
