//! `keyrot keys list`, and an entry as JSON.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use comfy_table::ContentArrangement;
use keyrot::{KeyMetadata, KeySet, Limits, SecretStore};
use serde::Serialize;

use crate::failure::Failure;
use crate::keys_file::KeysFile;
use crate::output;

/// An entry of keys.json with its defaults written out.
#[derive(Debug, Serialize)]
pub(crate) struct EntryJson {
    key_id: String,
    model_name: String,
    provider: String,
    /// The quota domain: the key's own if the file states none.
    project: String,
    #[serde(flatten)]
    limits: LimitsJson,
    models: BTreeMap<String, LimitsJson>,
    priority: u32,
    weight: u32,
    active: bool,
    tags: BTreeMap<String, String>,
    /// The name of the secret if the file states one.
    secret: Option<String>,
    /// Where the secret is looked for; `null` if this build does not have the secret store.
    locator: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
}

#[derive(Debug, Serialize)]
struct LimitsJson {
    rpm: Option<u32>,
    tpm: Option<u64>,
    rpd: Option<u32>,
}

impl From<Limits> for LimitsJson {
    fn from(limits: Limits) -> Self {
        Self { rpm: limits.rpm, tpm: limits.tpm, rpd: limits.rpd }
    }
}

impl EntryJson {
    pub(crate) fn new(key: &KeyMetadata, locator: Option<String>) -> Self {
        let models = key.models.iter().map(|(model, limits)| (model.to_string(), (*limits).into()));
        Self {
            key_id: key.key_id.to_string(),
            model_name: key.model_name.to_string(),
            provider: key.provider.clone(),
            project: key.quota_project().to_string(),
            limits: key.limits.into(),
            models: models.collect(),
            priority: key.priority,
            weight: key.weight,
            active: key.active,
            tags: key.tags.clone(),
            secret: key.secret.clone(),
            locator,
            created_at: key.created_at.clone(),
            updated_at: key.updated_at.clone(),
            changed: None,
            removed: None,
        }
    }

    pub(crate) fn changed(self, changed: bool) -> Self {
        Self { changed: Some(changed), ..self }
    }

    pub(crate) fn removed(self) -> Self {
        Self { removed: Some(true), ..self }
    }
}

pub(crate) fn run(keys: &KeySet, file: &KeysFile, json: bool) -> Result<(), Failure> {
    let store = file.secrets().inspect_err(|error| output::warning(&error.to_string())).ok();
    let locator = |key: &KeyMetadata| store.as_deref().map(|store| store.locator(key));
    if json {
        let entries: Vec<_> = keys.iter().map(|key| EntryJson::new(key, locator(key))).collect();
        let path = file.path().display().to_string();
        return output::print_json(&serde_json::json!({ "file": path, "keys": entries }));
    }
    if keys.is_empty() {
        return output::print(&format!(
            "{} has no key; add one with keyrot keys add KEY_ID --model MODEL",
            file.path().display()
        ));
    }
    output::print(&table(keys, store.as_deref()))
}

fn table(keys: &KeySet, store: Option<&dyn SecretStore>) -> String {
    let mut table = output::table([
        "key", "model", "project", "limits", "priority", "weight", "tags", "active", "secret",
    ]);
    if !std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Disabled); // programs read it line by line
    }
    for key in keys {
        let tags: Vec<String> = key.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        // One line for each model, the rest of the entry on the first.
        for (index, (model, limits)) in key.served_models().into_iter().enumerate() {
            let once = |text: String| if index == 0 { text } else { String::new() };
            table.add_row([
                once(key.key_id.to_string()),
                model.to_string(),
                once(key.project.as_ref().map_or_else(|| "(own)".to_owned(), ToString::to_string)),
                in_words(limits),
                once(key.priority.to_string()),
                once(key.weight.to_string()),
                once(tags.join(" ")),
                once(if key.active { "yes" } else { "no" }.to_owned()),
                once(store.map_or_else(|| "-".to_owned(), |store| store.locator(key))),
            ]);
        }
    }
    table.trim_fmt()
}

/// `rpm 60, tpm 1000000, rpd 500`
pub(crate) fn in_words(Limits { rpm, tpm, rpd, .. }: Limits) -> String {
    let each = [
        rpm.map(|rpm| format!("rpm {rpm}")),
        tpm.map(|tpm| format!("tpm {tpm}")),
        rpd.map(|rpd| format!("rpd {rpd}")),
    ];
    let stated: Vec<String> = each.into_iter().flatten().collect();
    if stated.is_empty() { "none".to_owned() } else { stated.join(", ") }
}
