//! Waiting for a condition.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

/// Asks `condition` again and again until it holds.
///
/// # Panics
/// If it does not hold within `deadline`; the message names `what`.
pub async fn wait_until(what: &str, deadline: Duration, condition: impl AsyncFnMut() -> bool) {
    assert!(holds_within(deadline, condition).await, "waited {deadline:?} for {what}");
}

/// False if `condition` did not come to hold within `deadline`.
pub(crate) async fn holds_within(deadline: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let asking = async {
        let mut interval = tokio::time::interval(Duration::from_millis(10));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !condition().await {
            interval.tick().await;
        }
    };
    tokio::time::timeout(deadline, asking).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_asked_until_it_holds() {
        let mut left = 3;
        wait_until("zero", Duration::from_secs(60), async || {
            left -= 1;
            left == 0
        })
        .await;
        assert_eq!(left, 0);
    }

    #[tokio::test]
    #[should_panic(expected = "for pigs that fly")]
    async fn what_never_comes_is_named() {
        wait_until("pigs that fly", Duration::from_millis(20), async || false).await;
    }
}
