//! `keyrot check --probe`: what the provider says to each key.

use std::time::Duration;

use futures_util::StreamExt;
use keyrot::gemini::{Gemini, GeminiError, ModelInfo};
use keyrot::secrecy::SecretString;
use keyrot::{Classify, Effect, KeyMetadata, ModelName};

use crate::check_keys;
use crate::check_report::{Finding, Level, Report};
use crate::check_secrets::Secrets;

/// So long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many keys are asked for at the same time: few, for providers look at who asks with many keys.
const AT_A_TIME: usize = 4;

/// Asks with each usable key and notes the answers in the report, in the order of the file.
pub(crate) async fn probe(gemini: &Gemini, secrets: &Secrets<'_>, report: &mut Report) {
    let usable = secrets.found().filter(|(key, ..)| check_keys::is_used(key));
    let asked = usable.map(|(key, locator, secret)| ask(gemini, key, locator, secret));
    let mut answers = futures_util::stream::iter(asked).buffered(AT_A_TIME);
    while let Some(findings) = answers.next().await {
        findings.into_iter().for_each(|finding| report.add_probed(finding));
    }
}

async fn ask(gemini: &Gemini, key: &KeyMetadata, locator: &str, secret: &SecretString) -> Vec<Finding> {
    let id = key.key_id.as_str();
    match tokio::time::timeout(PATIENCE, gemini.models(secret)).await {
        Ok(Ok(models)) => accepted(key, &models),
        Ok(Err(error)) => vec![refused(id, locator, &error)],
        Err(_) => vec![unreachable(id, &format!("no answer within {} s", PATIENCE.as_secs()))],
    }
}

fn accepted(key: &KeyMetadata, models: &[ModelInfo]) -> Vec<Finding> {
    let id = key.key_id.as_str();
    let generating = models.iter().filter(|model| {
        let methods = &model.supported_generation_methods;
        methods.is_empty() || methods.iter().any(|method| method == "generateContent")
    });
    let names: Vec<ModelName> = generating.map(|model| ModelName::from(model.name.as_str())).collect();
    let mut findings = vec![Finding::new(
        Level::Ok,
        id,
        format!("the provider accepts it and lists {} models", names.len()),
    )];
    for (model, _) in key.served_models() {
        let moving = model.as_str().ends_with("-latest"); // lists may leave such a name out
        if moving || names.contains(&model) {
            continue;
        }
        let near = names.iter().min_by_key(|name| strsim::damerau_levenshtein(name.as_str(), model.as_str()));
        let near = near.map_or_else(String::new, |name| format!(", such as {name}"));
        findings.push(
            Finding::new(Level::Warning, id, format!("its model {model} is not in the provider's list"))
                .fix(format!("choose one that is{near}: keyrot keys set {id} --model MODEL")),
        );
    }
    findings
}

fn refused(id: &str, locator: &str, error: &GeminiError) -> Finding {
    let outcome = error.outcome();
    match outcome.effect {
        Effect::KeyRejected => {
            Finding::new(Level::Error, id, format!("the key is rejected: {}", outcome.detail))
                .fix(format!("replace the secret at {locator}"))
        }
        Effect::ProjectRejected | Effect::OutOfCredit => {
            Finding::new(Level::Error, id, format!("its project is rejected: {}", outcome.detail))
                .fix("look at the project and its billing in the provider's console")
        }
        Effect::Cooldown | Effect::UntilPacificMidnight | Effect::NoQuota => {
            Finding::new(Level::Warning, id, format!("it has no quota left now: {}", outcome.detail))
        }
        Effect::Fail => Finding::new(Level::Error, id, format!("the provider refuses: {}", outcome.detail)),
        _ => unreachable(id, &outcome.detail),
    }
}

fn unreachable(id: &str, detail: &str) -> Finding {
    Finding::new(Level::Error, id, format!("the provider cannot be reached: {detail}"))
        .fix("look at the network and at GOOGLE_GEMINI_BASE_URL, and try again")
}

#[cfg(test)]
mod tests {
    use keyrot::secrets_env::EnvStore;
    use keyrot::{KeySet, Vars};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_never_answers_is_not_waited_for() {
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let keys = KeySet::parse(r#"{"keys": [{"key_id": "a", "model_name": "m"}]}"#).unwrap();
        let store = EnvStore::new(Vars::from_iter([("GEMINI_KEY_a", "sentinel")]));
        let gemini = Gemini::builder().base_url(url).build().unwrap();
        let mut report = Report::default();
        let start = tokio::time::Instant::now();
        probe(&gemini, &Secrets::read(&keys, &store).await, &mut report).await;
        assert_eq!(start.elapsed().as_secs(), 10);
        let text = report.for_people();
        assert!(text.contains("a: the provider cannot be reached: no answer within 10 s"), "{text}");
        assert_eq!(report.exit_code(), 1);
    }
}
