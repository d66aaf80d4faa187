//! The generator with a pool of keys against the simulator: every call is a real one over HTTP.

#![expect(clippy::unwrap_used, reason = "a test ends at what it does not expect")]

use std::time::Duration;

use gemini_sim::{Config, Fault, FaultKind, Latency, Project, SimServer};
use keyrot_core::secrecy::SecretString;
use keyrot_core::{AcquireError, KeyId, KeyMetadata, KeyPool, KeySet, MemoryStore};
use strategy_gen::keyrot_gemini::{Gemini, PooledGemini};
use strategy_gen::{Blocked, CallCause, GenerateError, GenerateOptions, Progress, StrategyGenerator};

const MODEL: &str = "gemini-2.5-flash";
const RSI: &str = "Buy when RSI is below 30, sell when it is above 70";

/// Keys a and b in projects of their own; a is always tried first.
async fn service(faults: impl IntoIterator<Item = Fault>) -> (SimServer, StrategyGenerator) {
    let instant = Latency::Fixed { ms: 0 };
    let mut config =
        Config { latency: instant, refusal_latency: instant, chunk_latency: instant, ..Config::default() };
    let secrets = MemoryStore::default();
    let mut keys = KeySet::default();
    for (priority, id) in ["a", "b"].into_iter().enumerate() {
        config = config.project(Project::new(id).key(id, format!("secret-{id}")));
        let key_id = KeyId::parse(id).unwrap();
        secrets.put(&key_id, SecretString::from(format!("secret-{id}")));
        keys.upsert(KeyMetadata::new(key_id, MODEL).with_project(id).with_priority(priority as u32)).unwrap();
    }
    let config = faults.into_iter().fold(config, Config::fault);
    let sim = SimServer::start(config).await.unwrap();
    let pool = KeyPool::builder(keys).secrets(secrets).build();
    let gemini = Gemini::builder().base_url(sim.base_url()).build().unwrap();
    let generator = StrategyGenerator::new(PooledGemini::new(pool, gemini));
    (sim, generator)
}

fn options() -> GenerateOptions {
    GenerateOptions::default().model(MODEL).class_name("Reversal").deadline(Duration::from_secs(20))
}

fn outcomes(attempts: &[strategy_gen::AttemptReport]) -> Vec<(&str, &str)> {
    attempts.iter().map(|attempt| (attempt.key_id.as_str(), attempt.outcome)).collect()
}

#[tokio::test]
async fn a_sentence_becomes_a_strategy_and_the_tokens_are_the_providers() {
    let (sim, generator) = service([]).await;
    let mut last = Progress::default();
    let mut watch = |progress: Progress| {
        assert!(progress.chars >= last.chars, "{progress:?} after {last:?}");
        last = progress;
    };
    let strategy = generator.generate_with_progress(RSI, &options(), &mut watch).await.unwrap();
    assert_eq!(strategy.class_name, "Reversal");
    assert!(strategy.code.starts_with("import ") && strategy.code.contains("class Reversal(Strategy):"));
    assert_eq!((strategy.model.as_str(), strategy.key_id.as_str()), (MODEL, "a"));
    assert!(strategy.model_version.is_some());
    assert_eq!(outcomes(&strategy.attempts), [("a", "success")]);
    assert!(!strategy.repaired);
    let sent = sim.attempts();
    assert_eq!(sent.len(), 1);
    assert_eq!(strategy.usage.input_tokens, sent[0].input_tokens);
    assert!(strategy.usage.output_tokens > 0);
    assert!(last.chars >= strategy.code.len());
    assert_eq!(last.output_tokens, Some(strategy.usage.output_tokens));
}

#[tokio::test]
async fn a_structured_reply_brings_its_assumptions_and_the_meaning_of_the_attributes() {
    let (sim, generator) = service([]).await;
    let strategy = generator.generate(RSI, &options()).await.unwrap();
    assert!(sim.attempts()[0].structured);
    assert_eq!(strategy.report.assumptions, ["Every entry uses all of the available cash."]);
    let parameters: Vec<_> = strategy.report.parameters.iter().collect();
    let told: Vec<_> = parameters.iter().map(|it| (it.name.as_str(), it.default.as_str())).collect();
    assert_eq!(told, [("period", "14"), ("entry", "30"), ("exit", "70")]);
    assert!(
        parameters.iter().all(|it| it.meaning.as_deref().is_some_and(|it| it.ends_with("strength index")))
    );
}

#[tokio::test]
async fn a_model_that_takes_no_schema_is_asked_plainly_and_not_twice_with_one() {
    let (sim, generator) = service([Fault::new(FaultKind::SchemaRefused)]).await;
    let first = generator.generate(RSI, &options()).await.unwrap();
    assert_eq!(outcomes(&first.attempts), [("a", "fail"), ("a", "success")], "the key is not punished");
    assert!(first.attempts[0].detail.contains("JSON mode is not enabled"), "{:?}", first.attempts);
    assert!(first.code.contains("class Reversal(Strategy):") && first.report.assumptions.is_empty());
    assert!(first.report.parameters.iter().all(|it| it.meaning.is_none()));
    let second = generator.clone().generate(RSI, &options()).await.unwrap();
    assert_eq!(outcomes(&second.attempts), [("a", "success")]);
    let asked: Vec<bool> = sim.attempts().iter().map(|attempt| attempt.structured).collect();
    assert_eq!(asked, [true, false, false]);
}

#[tokio::test]
async fn a_structured_reply_with_bad_code_is_repaired() {
    let (sim, generator) = service([Fault::new(FaultKind::BadCode).times(1)]).await;
    let strategy = generator.generate(RSI, &options()).await.unwrap();
    assert!(strategy.repaired && strategy.code.contains("def init(self):"));
    assert!(sim.attempts().iter().all(|attempt| attempt.structured));
}

#[tokio::test]
async fn a_key_that_fails_is_followed_by_the_next_one() {
    let (_sim, generator) = service([Fault::new(FaultKind::KeyInvalid).key("a")]).await;
    let strategy = generator.generate(RSI, &options()).await.unwrap();
    assert_eq!(strategy.key_id.as_str(), "b");
    assert_eq!(outcomes(&strategy.attempts).last(), Some(&("b", "success")));
    assert_eq!(strategy.attempts[0].outcome, "key_rejected");
    assert!(!strategy.attempts[0].detail.is_empty());
}

#[tokio::test]
async fn bad_code_is_repaired_by_a_second_call() {
    let (sim, generator) = service([Fault::new(FaultKind::BadCode).times(1)]).await;
    let strategy = generator.generate(RSI, &options()).await.unwrap();
    assert!(strategy.repaired);
    assert_eq!(strategy.class_name, "Reversal");
    assert_eq!(outcomes(&strategy.attempts), [("a", "success"), ("a", "success")]);
    let sent: u64 = sim.attempts().iter().map(|attempt| attempt.input_tokens).sum();
    assert_eq!(strategy.usage.input_tokens, sent);
}

#[tokio::test]
async fn a_stream_that_breaks_is_begun_anew() {
    for kind in [
        FaultKind::CutMidStream,
        FaultKind::StreamErrorEvent { code: 503 },
        FaultKind::StreamErrorTail { code: 429 },
    ] {
        let (sim, generator) = service([Fault::new(kind.clone()).times(1)]).await;
        let strategy = generator.generate(RSI, &options()).await.unwrap();
        assert!(strategy.code.contains("class Reversal(Strategy):"));
        assert_eq!(sim.attempts().len(), 2, "{kind:?}");
        assert_eq!(strategy.attempts.len(), 2, "{kind:?}");
        assert_ne!(strategy.attempts[0].outcome, "success");
        assert_eq!(strategy.attempts[1].outcome, "success");
    }
}

#[tokio::test]
async fn streams_that_go_on_breaking_end_with_their_error() {
    let (sim, generator) = service([Fault::new(FaultKind::CutMidStream)]).await;
    let error = generator.generate(RSI, &options()).await.unwrap_err();
    assert!(matches!(&error, GenerateError::Call { cause: CallCause::Failed(_), .. }), "{error}");
    assert_eq!(error.spent().unwrap().attempts.len(), 3, "{error}");
    assert_eq!(sim.attempts().len(), 3);
}

#[tokio::test]
async fn blocks_and_cuts_are_one_call_each_and_successes_of_the_key() {
    for (kind, blocked) in [
        (FaultKind::SafetyBlock, Some(Blocked::Prompt("SAFETY".to_owned()))),
        (FaultKind::SafetyStop, Some(Blocked::Reply("SAFETY".to_owned()))),
        (FaultKind::Truncate, None),
    ] {
        let (sim, generator) = service([Fault::new(kind)]).await;
        let error = generator.generate(RSI, &options()).await.unwrap_err();
        match (&error, blocked) {
            (GenerateError::Blocked { blocked, .. }, Some(expected)) => assert_eq!(*blocked, expected),
            (GenerateError::Truncated { .. }, None) => {}
            (other, expected) => panic!("{expected:?} was expected: {other}"),
        }
        assert_eq!(outcomes(&error.spent().unwrap().attempts), [("a", "success")], "{error}");
        assert_eq!(sim.attempts().len(), 1);
    }
}

#[tokio::test]
async fn without_a_key_nothing_is_sent_and_the_pool_says_why() {
    let (sim, generator) = service([]).await;
    let error = generator.generate(RSI, &options().model("gemini-9")).await.unwrap_err();
    assert!(matches!(error.acquire(), Some(AcquireError::NoMatch { .. })), "{error}");
    assert!(error.to_string().starts_with(keyrot_core::NO_KEYS), "{error}");
    assert_eq!(sim.attempts().len(), 0);
}

#[tokio::test]
async fn no_error_and_no_report_holds_the_secret() {
    for kind in [FaultKind::KeySuspended, FaultKind::KeyInvalid, FaultKind::CutMidStream, FaultKind::BadCode]
    {
        let (_sim, generator) = service([Fault::new(kind.clone())]).await;
        let options = options().deadline(Duration::from_millis(200));
        let error = generator.generate(RSI, &options).await.unwrap_err();
        let report = serde_json::to_string(error.spent().unwrap()).unwrap();
        let everything = format!("{error} {error:?} {report} {generator:?}");
        assert!(!everything.contains("secret-"), "{kind:?}: {everything}");
    }
}
