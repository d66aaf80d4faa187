//! The metrics of a limiter that may be away.

#[path = "../common/recorder.rs"]
mod recorder;

use keyrot_core::{FailurePolicy, RateLimiter};

use self::recorder::Kept;
use crate::server::Server;

/// The modes that hold.
fn modes(kept: &Kept) -> Vec<String> {
    let all = kept.all().into_iter().filter(|(_, value)| *value == 1.0);
    all.filter_map(|(name, _)| name.strip_prefix("keyrot_limiter_mode local ").map(ToOwned::to_owned))
        .collect()
}

#[test]
fn metrics_say_what_holds_and_how_often_the_limiter_was_away() {
    let kept = Kept::default();
    let outages = "keyrot_limiter_outages_total local";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    metrics::with_local_recorder(&kept, || {
        runtime.block_on(async {
            let server = Server::new(1);
            let limiter = server.guarded(FailurePolicy::Share, 1);
            limiter.tend().await;
            assert_eq!(modes(&kept), ["shared"]);
            for times in [1.0, 2.0] {
                server.be_away(true);
                for _ in 0..3 {
                    let _ = limiter.reserve(&[], &[], 0).await;
                }
                assert_eq!((modes(&kept), kept.get(outages)), (vec!["share".to_owned()], times));
                server.be_away(false);
                server.advance(500);
                limiter.tend().await;
                assert_eq!((modes(&kept), kept.get(outages)), (vec!["shared".to_owned()], times));
            }
        });
    });
}
