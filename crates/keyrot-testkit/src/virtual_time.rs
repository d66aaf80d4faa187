//! Runs a simulation on a [`ManualClock`]: no waiting, the same order each time.

use std::future::Future;
use std::time::Duration;

use keyrot_core::ManualClock;

/// Looks in a row that found nobody waiting on the clock, after which nobody will: 2000 s of tokio's time.
const PATIENCE: u32 = 11_000;

/// Runs `future` to its end. Whenever every task waits, the clock jumps to the next moment that
/// somebody waits for on it.
///
/// Everything runs on one thread. Tasks that wait on tokio's own timer are served too, in tokio's paused
/// time; real input and output (sockets, threads) has no place here, its time would be skipped.
///
/// ```
/// use std::time::Duration;
/// use keyrot_core::{Clock, ManualClock};
/// let clock = ManualClock::default();
/// let day = Duration::from_secs(24 * 3600);
/// let waited = keyrot_testkit::run_virtual(clock.clone(), async {
///     let start = clock.now();
///     clock.sleep_until(start + day).await;
///     clock.now() - start
/// });
/// assert_eq!(waited, day);
/// ```
///
/// # Panics
/// If the future waits for what nobody will ever do.
pub fn run_virtual<F: Future>(clock: ManualClock, future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without input and output needs nothing from the system");
    runtime.block_on(async {
        tokio::select! {
            biased;
            output = future => output,
            () = drive(&clock) => panic!("deadlock: every task waits, but none for a time of this clock"),
        }
    })
}

/// Moves the clock whenever all is still; ends when it has been still for too long.
async fn drive(clock: &ManualClock) {
    let mut still = 0;
    while still < PATIENCE {
        // in tokio's paused time a sleep ends only when every other task waits for something
        #[expect(clippy::disallowed_methods, reason = "paused time, not real time")]
        tokio::time::sleep(Duration::from_millis(1 << (still / 1000))).await;
        still = if clock.advance_to_next_sleeper() { 0 } else { still + 1 };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use keyrot_core::Clock;

    use super::*;

    #[test]
    fn sleepers_wake_in_the_order_of_their_deadlines() {
        let clock = ManualClock::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        run_virtual(clock.clone(), async {
            let start = clock.now();
            let sleepers: Vec<_> = [30_u64, 10, 20]
                .map(|seconds| {
                    let (clock, order) = (clock.clone(), Arc::clone(&order));
                    tokio::spawn(async move {
                        clock.sleep_until(start + Duration::from_secs(seconds)).await;
                        order.lock().unwrap().push((seconds, (clock.now() - start).as_secs()));
                    })
                })
                .into();
            for sleeper in sleepers {
                sleeper.await.unwrap();
            }
        });
        assert_eq!(*order.lock().unwrap(), [(10, 10), (20, 20), (30, 30)]);
    }

    #[test]
    fn time_stands_still_while_a_task_has_something_to_do() {
        let clock = ManualClock::default();
        run_virtual(clock.clone(), async {
            let start = clock.now();
            let mut sleep = clock.sleep_until(start + Duration::from_secs(1));
            for _ in 0..1000 {
                tokio::select! {
                    biased;
                    () = &mut sleep => panic!("time went on"),
                    () = tokio::task::yield_now() => {}
                }
            }
            sleep.await;
            assert_eq!(clock.now() - start, Duration::from_secs(1));
        });
    }

    #[test]
    fn tokios_own_timers_are_served() {
        run_virtual(ManualClock::default(), async {
            let long = Duration::from_secs(1800);
            let never = std::future::pending::<()>();
            assert!(tokio::time::timeout(long, never).await.is_err());
        });
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn waiting_for_nothing_ends_with_a_message() {
        run_virtual(ManualClock::default(), std::future::pending::<()>());
    }
}
