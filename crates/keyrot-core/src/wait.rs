//! Callers that wait for a key: one queue for each class of requests, first come first served.
//! Only the head of a queue asks for capacity, at the time it was promised or when something was
//! given back; the others sleep until they are the head.

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
}

/// All queues of a pool.
#[derive(Debug, Default)]
pub(crate) struct WaitRoom {
    queues: Mutex<HashMap<WaitClass, Queue>>,
    waiting: AtomicUsize,
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
            waiter.turn.notify_one();
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Ok(Ticket { room: Arc::clone(self), class, waiter })
    }

    /// Capacity may be there: the head of each line looks.
    pub(crate) fn wake(&self) {
        if self.waiting() > 0 {
            for queue in self.lock().values() {
                if let Some(head) = queue.waiters.front() {
                    head.turn.notify_one();
                }
            }
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

    /// The head was told when there will be capacity.
    pub(crate) fn told(&self, exhausted: &Exhausted, at: Instant) {
        if let Some(queue) = self.room.lock().get_mut(&self.class) {
            queue.told = Some((exhausted.clone(), at));
        }
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
            Some(head) if place == 0 => {
                queue.told = None;
                head.turn.notify_one();
            }
            Some(_) => {}
            None => {
                queues.remove(&self.class);
            }
        }
    }
}
