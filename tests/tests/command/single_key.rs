//! One key in one variable is all that a newcomer needs.

use gemini_sim::{Attempt, Config, Fault, FaultKind, Project, SimServer};

use crate::program::{Program, Run};

const SENTENCE: &str = "Buy when RSI is below 30, sell when it is above 70";

/// Generates with nothing but the key and the address, in an empty folder.
async fn generate(config: Config) -> (Run, Vec<Attempt>) {
    let config = config.project(Project::new("p").key("only", "the-only-key-0123456789"));
    let server = SimServer::start(config).await.unwrap();
    let program = Program::new(&[
        ("GEMINI_API_KEY", "the-only-key-0123456789"),
        ("GOOGLE_GEMINI_BASE_URL", &server.base_url()),
    ]);
    let run = program.run(&["generate", SENTENCE]).await;
    assert_eq!(program.files(), [""; 0], "nothing is left in the folder");
    (run, server.attempts())
}

#[tokio::test]
async fn one_variable_is_enough_to_generate() {
    let (run, attempts) = generate(Config::default()).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("class ") && run.stdout.contains("def next(self)"), "{run:?}");
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert_eq!(attempts[0].key_id.as_deref(), Some("only"));
}

#[tokio::test]
async fn one_503_does_not_lock_the_only_key() {
    let (run, attempts) = generate(Config::default().fault(Fault::new(FaultKind::Overloaded).times(1))).await;
    assert_eq!(run.code, 0, "{run:?}");
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(503), Some(200)]);
}

#[tokio::test]
async fn a_key_that_the_provider_rejects_is_named_with_what_to_do() {
    let (run, attempts) = generate(Config::default().fault(Fault::new(FaultKind::KeyInvalid))).await;
    assert_ne!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("API key not valid") && run.stdout.is_empty(), "{run:?}");
    assert!(attempts.len() <= 2, "{attempts:?}");
}
