//! Replies of the corpus that the provider did not finish: an error of their own, one call, and no look at the text.

use strategy_gen::{Blocked, GenerateError, Pipeline};

use crate::service::{SECRET, Service, options};
use crate::table::rows;

#[tokio::test]
async fn a_reply_that_was_cut_off_or_withheld_ends_as_the_table_says() {
    let rows = rows();
    let unfinished: Vec<_> = rows.iter().filter(|row| row.finish != "STOP").collect();
    assert!(unfinished.len() >= 8, "{}", unfinished.len());
    for row in unfinished {
        let service = Service::answering(&[row]).await;
        let error = service.generator(Pipeline::default()).generate("x", &options()).await;
        let error = error.err().unwrap_or_else(|| panic!("{} has passed", row.file));
        let reason = match &error {
            GenerateError::Truncated { .. } => "truncated",
            GenerateError::Blocked { blocked: Blocked::Reply(reason), .. } if reason == "SAFETY" => "blocked",
            other => panic!("{}: {other}", row.file),
        };
        assert_eq!((row.stage.as_str(), row.reason.as_deref()), ("extract", Some(reason)), "{}", row.file);
        assert_eq!(service.sim.attempts().len(), 1, "{}", row.file);
        assert!(!error.to_string().contains(SECRET), "{error}");
        let health = &service.pool.health()["a"];
        assert_eq!((health.success_count, health.error_count), (1, 0), "{}", row.file);
    }
}
