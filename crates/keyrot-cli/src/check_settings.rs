//! What `keyrot check` finds in the variables.

use keyrot::{Notice, Settings};

use crate::check_report::{Finding, Level, variable};

/// The configuration, and where limits are counted.
pub(crate) async fn look(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    match settings.check() {
        Ok(()) => findings.push(Finding::new(Level::Ok, "configuration", in_words(settings))),
        Err(error) => findings.extend(Finding::of_problems("configuration", &error)),
    }
    if settings.base_url().is_some()
        && let Err(error) = settings.gemini()
    {
        findings.extend(Finding::of_problems("GOOGLE_GEMINI_BASE_URL", &error));
    }
    let mut notices = settings.notices();
    if settings.check().is_ok() {
        match settings.describe_limits().await {
            Ok((description, more)) => {
                findings.push(Finding::new(Level::Ok, "limits", description));
                notices.extend(more);
            }
            Err(error) => findings.extend(Finding::of_problems("REDIS_URL", &error)),
        }
    }
    for notice in notices {
        let (level, text) = match &notice {
            Notice::Warning(text) => (Level::Warning, text),
            Notice::Info(text) => (Level::Info, text),
            _ => continue,
        };
        findings.push(Finding::told(level, variable(text).unwrap_or("configuration"), text));
    }
    findings
}

fn in_words(settings: &Settings) -> String {
    if settings.rotates() {
        let (path, store) = (settings.keys_path().display(), settings.secret_store());
        format!("rotation is on, with the keys of {path} and their secrets from {store}")
    } else {
        format!("rotation is off: one key, model {} unless another is asked for", settings.default_model())
    }
}
