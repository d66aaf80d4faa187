//! `keyrot check --probe`: what the provider says to each key.

use std::time::Duration;

use futures_util::StreamExt;
use keyrot::Classify;
use keyrot::gemini::{Gemini, GeminiError};

use crate::check_keys::Secrets;
use crate::check_report::{ProbeReport, Report};

/// One answer of `models.list` may take so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many keys are probed at the same time: few, since providers look at who asks with many keys.
const AT_A_TIME: usize = 3;

/// Asks with each secret and notes the answers in the report.
pub(crate) async fn probe(gemini: &Gemini, secrets: &Secrets, report: &mut Report) {
    let gemini = gemini.within(PATIENCE);
    let asked = secrets.iter().filter_map(|(id, secret)| {
        let secret = secret.as_ref().ok()?;
        let gemini = &gemini;
        Some(async move { (id, gemini.models(secret).await) })
    });
    let mut answers = futures_util::stream::iter(asked).buffered(AT_A_TIME);
    while let Some((id, answer)) = answers.next().await {
        let probe = match answer {
            Ok(models) => {
                ProbeReport { ok: true, models: Some(models.len()), outcome: "success", detail: None }
            }
            Err(error) => failed(&error),
        };
        if let Some(detail) = &probe.detail {
            report.refusals.push(format!("key {id}: {detail}"));
        }
        if let Some(key) = report.keys.iter_mut().find(|key| key.key_id == id.as_str()) {
            key.probe = Some(probe);
        }
    }
}

fn failed(error: &GeminiError) -> ProbeReport {
    ProbeReport {
        ok: false,
        models: None,
        outcome: error.outcome().effect.name(),
        detail: Some(error.to_string()),
    }
}
