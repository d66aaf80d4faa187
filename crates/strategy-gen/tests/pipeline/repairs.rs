//! A reply that fails is sent back with what was seen, until one is verified: each round a call with a key of the pool.

use std::time::Duration;

use strategy_gen::{GenerateError, Pipeline, Stage, StrategyGenerator, extract};

use crate::sandboxed::runner;
use crate::service::{SECRET, Service, options};
use crate::table::{Row, reply, rows};

fn row(file: &str) -> Row {
    rows().into_iter().find(|row| row.file == file).expect("a reply")
}

async fn answering(files: &[&str]) -> Service {
    let rows: Vec<Row> = files.iter().map(|file| row(file)).collect();
    Service::answering(&rows.iter().collect::<Vec<_>>()).await
}

fn generator(service: &Service) -> StrategyGenerator {
    service.generator(Pipeline::default().runner(runner(Duration::from_secs(30))))
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn bad_bad_good_ends_verified_in_three_calls_with_a_lease_each() {
    let files = ["bad_diff_on_array.md", "cheat_shift.md", "good_sma_cross.md"];
    let service = answering(&files).await;
    let strategy = generator(&service).generate("x", &options()).await.expect("the third one is good");
    assert!(strategy.verified && strategy.repaired);
    assert_eq!(strategy.attempts.len(), 3);
    assert_eq!(service.sim.attempts().len(), 3);
    let leases: u64 = service.pool.health().values().map(|key| key.success_count).sum();
    assert_eq!(leases, 3);

    let prompts = service.prompts();
    let [first, second, third] = &prompts[..] else { panic!("{} prompts", prompts.len()) };
    assert!(!first.contains("Finding:"));
    // The whole module, the traceback with its own lines, and what was raised.
    let code = |file: &str| extract(&reply(&row(file))).expect("a module").code;
    assert!(second.contains(&code(files[0])), "{second}");
    for told in ["backtest: ", "File \"strategy.py\", line ", "AttributeError", "has no attribute 'diff'"] {
        assert!(second.contains(told), "{told}: {second}");
    }
    assert!(third.contains(&code(files[1])) && !third.contains("AttributeError"), "{third}");
    assert!(
        third.contains("judge: the strategy looks into the future") && third.contains("of 16 runs"),
        "{third}"
    );
    for prompt in &prompts {
        assert!(!prompt.contains(SECRET) && !prompt.contains("/tmp"), "{prompt}");
    }
}

#[tokio::test]
#[ignore = "needs Python with backtesting 0.6.6: cargo xtask test"]
async fn without_a_good_one_the_best_is_kept_with_its_report() {
    let files = ["bad_syntax_colon.md", "cheat_shift.md", "bad_never_trades.md", "bad_diff_on_array.md"];
    let service = answering(&files).await;
    let error = generator(&service).generate("x", &options()).await.expect_err("none is good");
    let GenerateError::Invalid { fault, strategy, replies, spent } = error else { panic!("{error}") };
    assert_eq!((replies, spent.attempts.len(), service.sim.attempts().len()), (4, 4, 4));
    assert_eq!(
        (fault.stage, fault.reason.name()),
        (Stage::Judge, "no-trades"),
        "the later of the two furthest"
    );
    assert!(!strategy.verified && strategy.report.backtest.is_some());
    assert_eq!(strategy.report.fault.as_ref(), Some(&*fault));
}
