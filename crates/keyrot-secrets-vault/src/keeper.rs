//! Keeps a token alive: renewed when two thirds of its time are over, or logged in for anew when that is no use.

use std::sync::{Arc, Weak};
use std::time::Duration;

use vaultrs::api;
use vaultrs::client::VaultClient;

use crate::access::{Access, own_token};
use crate::endpoint::LogIn;
use crate::failure::Failure;

/// A server that cannot be asked about a token is asked again after this.
const AGAIN: Duration = Duration::from_secs(30);

/// With no more left than this, a token is not renewed any more.
const SHORT: Duration = Duration::from_secs(1);

/// How long a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// When it was given; zero is for ever.
    whole: Duration,
    left: Duration,
    renewable: bool,
}

/// What is to be done about a token whose time comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Go on with this lease.
    Renewed(Lease),
    /// The server gives it hardly more time: its longest time is near.
    NearItsEnd,
}

impl Lease {
    pub(crate) fn new(seconds: u64, renewable: bool) -> Self {
        let whole = Duration::from_secs(seconds);
        Self { whole, left: whole, renewable }
    }

    /// False for one that lives for ever.
    fn ends(self) -> bool {
        self.whole > Duration::ZERO
    }

    /// When to renew it; `None`: never, or no more.
    fn rest(self) -> Option<Duration> {
        (self.ends() && self.left > SHORT).then(|| self.left * 2 / 3)
    }

    fn after_renewal(self, seconds: u64) -> After {
        let left = Duration::from_secs(seconds);
        if left > self.whole / 2 { After::Renewed(Self { left, ..self }) } else { After::NearItsEnd }
    }

    /// What is left after [`rest`](Self::rest) without a renewal.
    fn after_rest(self) -> Self {
        Self { left: self.left / 3, ..self }
    }
}

/// Ends when the token ends, when another takes its place, and with the store.
pub(crate) async fn keep(access: Weak<Access>, client: Arc<VaultClient>, lease: Option<Lease>) {
    let Some(clock) = access.upgrade().map(|access| Arc::clone(&access.clock)) else { return };
    let rest = async |time: Duration| clock.sleep_until(clock.now() + time).await;
    let mut lease = match lease {
        Some(lease) => lease,
        None => loop {
            match look_up(&client).await {
                Ok(lease) => break lease,
                Err(failure) if failure.is_transient() => rest(AGAIN).await,
                Err(_) => return, // it must not look at itself: nothing is known about its end
            }
        },
    };
    while let Some(time) = lease.rest() {
        rest(time).await;
        lease = lease.after_rest();
        let renewed = if lease.renewable { renew(&client).await } else { Ok(0) };
        match renewed.map(|seconds| lease.after_renewal(seconds)) {
            Ok(After::Renewed(renewed)) => lease = renewed,
            Err(failure) if failure.is_transient() => {
                tracing::warn!(left_s = lease.left.as_secs(), "the Vault token could not be renewed yet");
            }
            Ok(After::NearItsEnd) | Err(_) => break,
        }
    }
    // The next token, or a word to those who have to bring it.
    while lease.ends() {
        let Some(access) = access.upgrade() else { return };
        if !access.logs_in() {
            let (token, left_s) = (access.source(), lease.left.as_secs());
            return tracing::warn!(
                token,
                left_s,
                "a Vault token ends soon and cannot be renewed; replace it"
            );
        }
        match access.instead_of(&client).await {
            Err(failure) if failure.is_transient() => {}
            Err(_) => return tracing::warn!("Vault does not let us log in again; the next read says why"),
            Ok(_) => return,
        }
        tracing::warn!("the next Vault token could not be had yet");
        drop(access);
        rest(AGAIN).await;
    }
}

async fn look_up(client: &VaultClient) -> Result<Lease, Failure> {
    let told = own_token(client).await?;
    Ok(Lease::new(told["ttl"].as_u64().unwrap_or(0), told["renewable"].as_bool().unwrap_or(false)))
}

/// The seconds that it lives on.
async fn renew(client: &VaultClient) -> Result<u64, Failure> {
    let given = api::auth(client, LogIn::renewal()).await.map_err(Failure::from)?;
    tracing::debug!(lease_s = given.lease_duration, "renewed the Vault token");
    Ok(given.lease_duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_rests_for_two_thirds_of_what_it_has_left() {
        let lease = Lease::new(60, true);
        assert_eq!(lease.rest(), Some(Duration::from_secs(40)));
        assert_eq!(lease.after_rest().rest(), Some(Duration::from_secs(20) * 2 / 3));
        assert_eq!(Lease::new(0, false).rest(), None, "a root token lives for ever");
        let tried = std::iter::successors(Some(lease), |lease| Some(lease.after_rest()));
        assert_eq!(tried.take_while(|lease| lease.rest().is_some()).count(), 4, "then another is needed");
    }

    #[test]
    fn a_renewal_that_gives_less_than_half_is_near_the_longest_time() {
        let lease = Lease::new(60, true).after_rest();
        assert_eq!(lease.after_renewal(60), After::Renewed(Lease::new(60, true)));
        let capped = Lease { left: Duration::from_secs(31), ..Lease::new(60, true) };
        assert_eq!(lease.after_renewal(31), After::Renewed(capped));
        assert_eq!(lease.after_renewal(30), After::NearItsEnd);
        assert_eq!(lease.after_renewal(0), After::NearItsEnd);
    }
}
