//! Time as an argument: the system's clock, and one that tests move by hand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

/// A future without a result that can be sent between threads.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the pool gets its time from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Monotonic time: every wait and every local deadline.
    fn now(&self) -> Instant;
    /// Wall time: quota records, the provider's day, reports.
    fn wall(&self) -> SystemTime;
    /// Completes when `now` has reached `deadline`.
    fn sleep_until(&self, deadline: Instant) -> Sleep;
}

/// The clock of the operating system; sleeps on tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[expect(clippy::disallowed_methods, reason = "the one place where real time enters")]
impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}

/// A clock that stands still until it is moved; clones share the time.
///
/// ```
/// use std::time::Duration;
/// use keyrot_core::{Clock, ManualClock};
/// let clock = ManualClock::default();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - before, Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    now: Instant,
    wall: SystemTime,
    sleepers: Vec<(Instant, oneshot::Sender<()>)>,
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManualClock").field("wall", &self.wall()).finish_non_exhaustive()
    }
}

impl Default for ManualClock {
    /// Starts at 2026-01-05T12:00:00Z.
    fn default() -> Self {
        Self::starting_at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_614_400))
    }
}

impl ManualClock {
    /// A clock whose wall time begins at `wall`.
    #[expect(clippy::disallowed_methods, reason = "std offers no other way to make an Instant")]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self { shared: Arc::new(Mutex::new(Shared { now: Instant::now(), wall, sleepers: Vec::new() })) }
    }

    /// Moves both times forward and wakes who has waited long enough.
    pub fn advance(&self, by: Duration) {
        let mut shared = self.lock();
        shared.now += by;
        shared.wall += by;
        shared.wake();
    }

    /// Moves the wall time alone, as an administrator or NTP does. Monotonic time stays.
    pub fn set_wall(&self, wall: SystemTime) {
        self.lock().wall = wall;
    }

    /// Moves to the earliest deadline that somebody waits for; false if nobody does.
    pub fn advance_to_next_sleeper(&self) -> bool {
        let mut shared = self.lock();
        shared.sleepers.retain(|(_, waker)| !waker.is_closed());
        let Some(next) = shared.sleepers.iter().map(|(deadline, _)| *deadline).min() else { return false };
        let by = next.saturating_duration_since(shared.now);
        shared.now += by;
        shared.wall += by;
        shared.wake();
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn wake(&mut self) {
        let now = self.now;
        for (_, waker) in self.sleepers.extract_if(.., |(deadline, _)| *deadline <= now) {
            let _ = waker.send(()); // the sleeper may be gone
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn wall(&self) -> SystemTime {
        self.lock().wall
    }

    fn sleep_until(&self, deadline: Instant) -> Sleep {
        let (waker, woken) = oneshot::channel();
        self.lock().sleepers.push((deadline, waker));
        self.lock().wake();
        Box::pin(async move {
            let _ = woken.await; // an error means that the clock is gone: nothing to wait for
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_exactly_when_their_time_has_come() {
        let clock = ManualClock::default();
        let mut sleep = clock.sleep_until(clock.now() + Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        assert!(tokio::select! { biased; () = &mut sleep => false, () = std::future::ready(()) => true });
        clock.advance(Duration::from_secs(1));
        sleep.await;
    }

    #[tokio::test]
    async fn jumping_to_the_next_sleeper_skips_those_that_were_dropped() {
        let clock = ManualClock::default();
        let start = clock.now();
        drop(clock.sleep_until(start + Duration::from_secs(1)));
        let kept = clock.sleep_until(start + Duration::from_secs(5));
        assert!(clock.advance_to_next_sleeper());
        assert_eq!(clock.now(), start + Duration::from_secs(5));
        kept.await;
        assert!(!clock.advance_to_next_sleeper());
    }
}
