//! The cache of secrets: what happens when the provider rejects a value.
#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

#[path = "common/counting.rs"]
mod common;

use common::{Bench, TTL, key, seen, settle};
use keyrot_core::{SecretCache, SecretErrorKind};

#[tokio::test]
async fn a_rejected_key_that_was_rotated_goes_on_with_the_new_value() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Ok("two"));
    let fresh = bench.cache.rejected(&key("a"), 1).await.unwrap();
    assert_eq!(seen(&fresh), ("two-a", 2));
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn rejecting_an_old_version_does_nothing_to_a_newer_one() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Ok("two"));
    bench.cache.rejected(&key("a"), 1).await.unwrap();
    bench.answer(Ok("three"));
    bench.clock.advance(SecretCache::BURST);
    assert_eq!(seen(&bench.cache.rejected(&key("a"), 1).await.unwrap()), ("two-a", 2));
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn an_unchanged_value_comes_back_under_the_same_version_and_each_later_rejection_reads_again() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    for read in [2, 3] {
        assert_eq!(seen(&bench.cache.rejected(&key("a"), 1).await.unwrap()), ("one-a", 1));
        assert_eq!(bench.reads(), read);
        bench.cache.rejected(&key("a"), 1).await.unwrap();
        assert_eq!(bench.reads(), read, "calls that were in flight are one burst");
        bench.clock.advance(SecretCache::BURST);
    }
}

#[tokio::test]
async fn a_hundred_concurrent_rejections_are_one_read() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Ok("two"));
    bench.close();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let cache = bench.cache.clone();
            tokio::spawn(async move { cache.rejected(&key("a"), 1).await.unwrap().version })
        })
        .collect();
    settle().await;
    bench.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), 2);
    }
    assert_eq!(bench.reads(), 2);
}

#[tokio::test]
async fn a_rejection_is_not_answered_by_a_read_that_began_before_it() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.clock.advance(TTL);
    bench.close();
    let spawn_refresh = bench.cache.clone();
    let refresh = tokio::spawn(async move { spawn_refresh.refresh_due().await });
    settle().await; // has seen the old value and hangs
    bench.answer(Ok("two"));
    let spawn_rejected = bench.cache.clone();
    let rejected = tokio::spawn(async move { spawn_rejected.rejected(&key("a"), 1).await.unwrap().version });
    settle().await;
    bench.open();
    refresh.await.unwrap();
    assert_eq!(rejected.await.unwrap(), 2);
}

#[tokio::test]
async fn a_rejection_while_the_store_is_down_is_an_error_and_the_value_stays() {
    let bench = Bench::new();
    bench.get().await.unwrap();
    bench.answer(Err(SecretErrorKind::Unavailable));
    assert!(bench.cache.rejected(&key("a"), 1).await.unwrap_err().is_transient());
    assert_eq!(seen(&bench.cache.peek(&key("a").key_id).unwrap()), ("one-a", 1));
}
