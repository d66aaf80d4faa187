//! A panic while a key is in somebody's hands: neither its message nor its back trace holds the secret.

use std::backtrace::Backtrace;
use std::panic;
use std::sync::{Arc, Mutex};

use keyrot_core::{KeyPool, KeyRequest};
use keyrot_e2e::world::MODEL;
use keyrot_testkit::leak::assert_absent;

use crate::SENTINELS;
use crate::failures::keys;

/// The way in which a value gets into most panics.
fn unwrap<E: std::fmt::Debug>(result: Result<(), E>) {
    result.unwrap();
}

#[tokio::test]
async fn a_panic_with_a_key_in_scope_shows_no_secret() {
    let panics = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&panics);
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        *seen.lock().unwrap() += &format!("{info}\n{info:?}\n{}\n", Backtrace::force_capture());
    }));
    let (_, keys, secrets) = keys();
    let pool = KeyPool::builder(keys).secrets(secrets).seed(7).build();
    for number in 0..4 {
        let pool = pool.clone();
        let task = tokio::spawn(async move {
            let request = KeyRequest::model(MODEL);
            let lease = pool.acquire(&request).await.unwrap();
            match number {
                0 => panic!("{lease:?}"),
                1 => unwrap(Err(lease)),
                2 => panic!("{:#?}", lease.begin().unwrap()),
                _ => {
                    let call = lease.begin().unwrap();
                    unwrap(Err((call.secret().clone(), call, pool)));
                }
            }
        });
        assert!(task.await.unwrap_err().is_panic());
    }
    panic::set_hook(usual);
    let panics = panics.lock().unwrap();
    assert_eq!(
        panics.matches("first").count().min(1) + panics.matches("second").count().min(1),
        2,
        "{panics}"
    );
    assert_absent(&panics, &SENTINELS);
}
