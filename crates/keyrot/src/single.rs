//! One key: `GEMINI_API_KEY` or `GOOGLE_API_KEY`, and no file.

use std::sync::Arc;

use keyrot_core::{ConfigError, KeySet, ModelName, NO_KEYS, SecretStore};

use crate::backends;
use crate::environment::Environment;
use crate::open::Notice;

/// A key `default` without limits, and where its secret is.
pub(crate) struct SingleKey {
    pub(crate) keys: KeySet,
    pub(crate) secrets: Arc<dyn SecretStore>,
    pub(crate) notice: Option<Notice>,
}

impl SingleKey {
    /// `model` is for requests that name none.
    pub(crate) fn new(environment: &Environment, model: &ModelName) -> Result<Self, ConfigError> {
        let vars = environment.vars();
        let (gemini, google) = (vars.text("GEMINI_API_KEY"), vars.text("GOOGLE_API_KEY"));
        let variable = match (gemini, google) {
            (Some(_), _) => "GEMINI_API_KEY",
            (None, Some(_)) => "GOOGLE_API_KEY",
            (None, None) => {
                return Err(ConfigError::new(format!(
                    "{NO_KEYS}: neither GEMINI_API_KEY nor GOOGLE_API_KEY is set; set one of them, in the \
                     environment or in .env, or set ENABLE_KEY_ROTATION=true to use the keys of keys.json"
                )));
            }
        };
        let differ = gemini.is_some() && google.is_some() && gemini != google;
        let notice = differ.then(|| {
            let text =
                "GEMINI_API_KEY and GOOGLE_API_KEY differ; GEMINI_API_KEY is used, unset the other one";
            Notice::Warning(text.to_owned())
        });
        let (secrets, secret) = backends::single_secret(environment, variable);
        let mut keys = KeySet::single(model.clone());
        if let Some(mut key) = keys.get("default").cloned() {
            key.secret = secret.map(str::to_owned);
            keys.upsert(key)?;
        }
        Ok(Self { keys, secrets, notice })
    }
}
