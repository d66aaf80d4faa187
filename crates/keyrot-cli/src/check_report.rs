//! What `keyrot check` found, for people and programs.

use std::fmt::Write;

use keyrot::secrecy::SecretString;
use keyrot::{ConfigError, KeyMetadata, SecretError, Settings};
use serde::Serialize;

use crate::output;

/// docs/configuration.md describes it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    ok: bool,
    /// `null` if the settings cannot be read.
    rotation: Option<bool>,
    keys_file: Option<String>,
    secret_store: Option<String>,
    /// Where quota is counted.
    limiter: &'static str,
    pub(crate) keys: Vec<KeyReport>,
    /// To be put right.
    pub(crate) problems: Vec<String>,
    /// Keys that the provider refused.
    pub(crate) refusals: Vec<String>,
    pub(crate) warnings: Vec<String>,
    pub(crate) info: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    pub(crate) key_id: String,
    model: String,
    project: String,
    active: bool,
    /// Where its secret is looked for.
    secret: String,
    /// `null` for an inactive key, whose secret is not read.
    secret_found: Option<bool>,
    pub(crate) probe: Option<ProbeReport>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ProbeReport {
    pub(crate) ok: bool,
    /// How many models the key may use.
    pub(crate) models: Option<usize>,
    pub(crate) outcome: &'static str,
    pub(crate) detail: Option<String>,
}

impl KeyReport {
    pub(crate) fn new(
        key: &KeyMetadata,
        locator: String,
        secret: Option<&Result<SecretString, SecretError>>,
    ) -> Self {
        Self {
            key_id: key.key_id.to_string(),
            model: key.model_name.to_string(),
            project: key.quota_project().to_string(),
            active: key.active,
            secret: locator,
            secret_found: secret.map(Result::is_ok),
            probe: None,
        }
    }
}

impl Report {
    pub(crate) fn new(settings: &Settings) -> Self {
        let rotates = settings.rotates();
        Self {
            rotation: Some(rotates),
            keys_file: rotates.then(|| settings.keys_path().display().to_string()),
            secret_store: rotates.then(|| settings.secret_store().to_owned()),
            limiter: "process",
            ..Self::default()
        }
    }

    /// The configuration cannot be used at all.
    pub(crate) fn of_problems(error: &ConfigError) -> Self {
        Self { problems: error.problems().to_vec(), limiter: "process", ..Self::default() }
    }

    /// 0: fine; 2: something to put right; 3: no key works; 1: some keys do not.
    pub(crate) fn exit_code(&self) -> u8 {
        let worked = self.keys.iter().filter_map(|key| key.probe.as_ref()).any(|probe| probe.ok);
        match (self.problems.is_empty(), self.refusals.is_empty()) {
            (false, _) => 2,
            (true, true) => 0,
            (true, false) if worked => 1,
            (true, false) => 3,
        }
    }

    /// Nothing is added any more.
    pub(crate) fn finished(mut self) -> Self {
        self.ok = self.exit_code() == 0;
        self
    }

    pub(crate) fn for_people(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, value: &str| {
            let _ = writeln!(text, "{what:<10} {value}"); // a String takes everything
        };
        match (self.rotation, &self.keys_file, &self.secret_store) {
            (Some(true), Some(file), Some(store)) => {
                line("rotation", "on (ENABLE_KEY_ROTATION)");
                line("keys", file);
                line("secrets", store);
            }
            (Some(false), ..) => line("rotation", "off (ENABLE_KEY_ROTATION): one key"),
            _ => {}
        }
        line("limits", "counted in this process");
        if !self.keys.is_empty() {
            let _ = writeln!(text, "\n{}\n", self.table());
        }
        for (what, all) in [
            ("problem", &self.problems),
            ("refused", &self.refusals),
            ("warning", &self.warnings),
            ("info", &self.info),
        ] {
            for one in all {
                let _ = writeln!(text, "{what}: {one}");
            }
        }
        text.push_str(if self.ok { "all is well" } else { "not all is well" });
        text
    }

    fn table(&self) -> comfy_table::Table {
        let mut table = output::table(["key", "model", "project", "active", "secret", "found", "probe"]);
        for key in &self.keys {
            let yes_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
            let probe = key.probe.as_ref().map(|probe| match probe.models {
                Some(models) => format!("ok, {models} models"),
                None => probe.outcome.to_owned(),
            });
            table.add_row([
                key.key_id.clone(),
                key.model.clone(),
                key.project.clone(),
                yes_no(key.active),
                key.secret.clone(),
                key.secret_found.map_or_else(|| "-".to_owned(), yes_no),
                probe.unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        table
    }
}
