//! Files that are broken, gone, or somebody else's.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use keyrot_core::{LimiterErrorKind, PastCalls, RateLimiter, Verdict};
use rusqlite::Connection;

use crate::caller::{Place, batch, candidate, reserve, take, usage};

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_aside_and_counting_begins_anew() {
    for garbage in [vec![b'x'; 10_000], b"SQLite format 3\0 and then nothing".to_vec()] {
        let place = Place::new();
        fs::write(place.path(), &garbage).unwrap();
        let limiter = place.limiter();
        take(&limiter, &candidate("p")).await;
        assert_eq!(usage(&limiter, &candidate("p")).await.minute_requests, 1);
        let [aside] = &place.files("damaged-")[..] else { panic!("{:?}", place.files("")) };
        assert_eq!(fs::read(aside).unwrap(), garbage, "kept for whoever wants to look at it");
    }
}

/// Every process that has it open goes over to the new file, and none moves that aside as well.
#[tokio::test]
async fn a_file_that_breaks_while_it_is_in_use_is_replaced_once_for_all() {
    let place = Place::new();
    let limiters = [place.limiter(), place.limiter(), place.limiter()];
    let names: Vec<String> = (0..200).map(|number| format!("p{number}")).collect();
    for name in &names {
        take(&limiters[0], &candidate(name)).await;
    }
    for limiter in &limiters {
        usage(limiter, &candidate("p0")).await;
    }
    place.open().query_one("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let file = fs::OpenOptions::new().write(true).open(place.path()).unwrap();
    let size = file.metadata().unwrap().len();
    for page in 1..size / 4096 {
        file.write_all_at(&[0xff; 4096], page * 4096).unwrap();
    }
    // never closed before the limiters are gone: the system would free their locks
    let of = candidate("after");
    for epoch in 1..=3 {
        for (number, limiter) in (1..).zip(&limiters) {
            let taken = take(limiter, &of).await;
            limiter.settle(batch(10 * epoch + number, vec![taken], Vec::new())).await.unwrap();
        }
    }
    for limiter in &limiters {
        assert_eq!(usage(limiter, &of).await.day_requests, 9, "all of them count in one file");
        assert_eq!(usage(limiter, &candidate("p0")).await.day_requests, 0, "began anew");
    }
    assert_eq!(place.files("state.db.damaged-").iter().filter(|path| !is_beside(path)).count(), 1);
    drop(file);
}

fn is_beside(path: &std::path::Path) -> bool {
    let name = path.to_str().unwrap();
    name.ends_with("-wal") || name.ends_with("-shm")
}

#[tokio::test]
async fn a_file_that_is_removed_while_it_is_in_use_is_made_anew() {
    let place = Place::new();
    let (quiet, told) = (place.limiter(), place.options().tell_when_memory_is_lost().limiter().unwrap());
    let of = candidate("p");
    take(&quiet, &of).await;
    take(&told, &of).await;
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(place.folder.path().join(format!("state.db{suffix}"))).unwrap();
    }
    place.clock.advance(Duration::from_millis(5)); // it is looked now and then
    take(&quiet, &of).await;
    assert_eq!(usage(&quiet, &of).await.minute_requests, 1);
    // a caller with books of his own first says what he remembers
    for _ in 0..2 {
        let error = reserve(&told, &of).await.unwrap_err();
        assert_eq!(error.kind(), LimiterErrorKind::Forgot, "{error}");
    }
    let usage_now = usage(&told, &of).await;
    let calls = vec![PastCalls { at: 1_767_614_400_000, requests: 4, tokens: 40 }];
    let memory =
        Verdict::Recall { group: of.group.clone(), calls, day_end: usage_now.day_end, day_requests: 4 };
    told.recall(batch(9, Vec::new(), vec![memory])).await.unwrap();
    take(&told, &of).await;
    assert_eq!(usage(&quiet, &of).await.minute_requests, 6);
}

#[tokio::test]
async fn a_database_of_others_or_of_a_newer_keyrot_is_left_as_it_is() {
    for (sql, word) in [
        ("CREATE TABLE theirs (x)", "something else"),
        ("PRAGMA application_id = 77; PRAGMA user_version = 1", "something else"),
        ("PRAGMA application_id = 0x6b797274; PRAGMA user_version = 2", "newer keyrot"),
    ] {
        let place = Place::new();
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let before = fs::read(place.path()).unwrap();
        let error = reserve(&place.limiter(), &candidate("p")).await.unwrap_err();
        assert_eq!(error.kind(), LimiterErrorKind::Incompatible);
        assert!(error.to_string().contains(word) && error.to_string().contains("KEYROT_STATE"), "{error}");
        assert_eq!(fs::read(place.path()).unwrap(), before);
        assert!(place.files("damaged").is_empty());
    }
}

/// One transaction serves many; a record of a newer version is told to those alone who asked for it.
#[tokio::test]
async fn a_record_that_cannot_be_read_spoils_nobody_elses_answer() {
    let place = Place::new();
    let (limiter, good, bad) = (place.limiter(), candidate("good"), candidate("bad"));
    take(&limiter, &good).await;
    take(&limiter, &bad).await;
    let spoiled = place.open().execute("UPDATE record SET bytes = x'09' WHERE name = 'quota:bad/m'", []);
    assert_eq!(spoiled.unwrap(), 1);
    let new = candidate("new");
    let ask = |of| reserve(&limiter, of);
    let (a, b, c, d) = tokio::join!(ask(&bad), ask(&good), ask(&bad), ask(&new));
    for error in [a.unwrap_err(), c.unwrap_err()] {
        assert_eq!(error.kind(), LimiterErrorKind::Incompatible);
        assert!(error.to_string().contains("version 9"), "{error}");
    }
    assert_eq!((b.unwrap().grants.len(), d.unwrap().grants.len()), (1, 1));
    assert_eq!(usage(&limiter, &good).await.minute_requests, 2);
    let bytes: Vec<u8> = place
        .open()
        .query_one("SELECT bytes FROM record WHERE name = 'quota:bad/m'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(bytes, [9], "left as it is");
}

/// Whoever holds the file for good is named as a reason, and nobody waits for ever.
#[tokio::test]
async fn a_file_that_another_process_does_not_let_go_is_given_up() {
    let place = Place::new();
    let limiter = place.options().timeout(std::time::Duration::from_millis(50)).limiter().unwrap();
    take(&limiter, &candidate("p")).await;
    let other = place.open();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = reserve(&limiter, &candidate("p")).await.unwrap_err();
    assert_eq!(error.kind(), LimiterErrorKind::Unavailable);
    assert!(error.to_string().contains("another process"), "{error}");
    assert_eq!(usage(&limiter, &candidate("p")).await.minute_requests, 1, "looking needs no lock");
    other.execute_batch("COMMIT").unwrap();
    take(&limiter, &candidate("p")).await;
    assert_eq!(usage(&limiter, &candidate("p")).await.minute_requests, 2);
}
