//! `keyrot keys list`, and an entry as JSON.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table};
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
    output::print(&for_people(keys, store.as_deref()))
}

/// A table, or a block for each key where a terminal is too narrow for it.
fn for_people(keys: &KeySet, store: Option<&dyn SecretStore>) -> String {
    let mut table = output::table(HEADER);
    table.set_content_arrangement(ContentArrangement::Disabled); // a row is a line, for people and for grep
    let shown: Vec<Shown> = keys.iter().map(|key| Shown::new(key, store)).collect();
    shown.iter().for_each(|key| key.add_rows(&mut table));
    let text = table.trim_fmt();
    let widest =
        anstream::adapter::strip_str(&text).to_string().lines().map(|line| line.chars().count()).max();
    match table.width().map(usize::from).filter(|room| *room > 0) {
        Some(room) if widest > Some(room) => shown.iter().map(Shown::block).collect(),
        _ => text,
    }
}

const HEADER: [&str; 9] =
    ["key", "model", "project", "limits", "priority", "weight", "tags", "active", "secret"];

/// A key in words.
struct Shown {
    id: String,
    /// Each model with its limits.
    models: Vec<(String, String)>,
    /// Project, priority, weight, tags, active, secret.
    others: [String; 6],
}

impl Shown {
    fn new(key: &KeyMetadata, store: Option<&dyn SecretStore>) -> Self {
        let models =
            key.served_models().into_iter().map(|(model, limits)| (model.to_string(), in_words(limits)));
        let tags: Vec<String> = key.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let others = [
            key.project.as_ref().map_or_else(|| "(own)".to_owned(), ToString::to_string),
            key.priority.to_string(),
            key.weight.to_string(),
            tags.join(" "),
            if key.active { "yes" } else { "no" }.to_owned(),
            store.map_or_else(|| "-".to_owned(), |store| store.locator(key)),
        ];
        Self { id: key.key_id.to_string(), models: models.collect(), others }
    }

    /// One line for each model, the rest of the entry on the first.
    fn add_rows(&self, table: &mut Table) {
        for (index, (model, limits)) in self.models.iter().enumerate() {
            let once = |text: &'_ str| if index == 0 { text.to_owned() } else { String::new() };
            let [project, priority, weight, tags, active, secret] = &self.others;
            table.add_row([
                once(&self.id),
                model.clone(),
                once(project),
                limits.clone(),
                once(priority),
                once(weight),
                once(tags),
                once(active),
                once(secret),
            ]);
        }
    }

    fn block(&self) -> String {
        let mut text = format!("{}\n", self.id);
        let models = self.models.iter().flat_map(|(model, limits)| [("model", model), ("limits", limits)]);
        let names = ["project", "priority", "weight", "tags", "active", "secret"];
        for (name, value) in models.chain(names.into_iter().zip(&self.others)) {
            text.push_str(format!("  {name:<9} {value}").trim_end());
            text.push('\n');
        }
        text
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_each_model_with_its_limits() {
        let text = r#"{"keys": [{"key_id": "a", "model_name": "m", "rpm": 5, "models": {"pro": {}}, "tags": {"x": "1"}}]}"#;
        let keys = KeySet::parse(text).unwrap();
        assert_eq!(
            Shown::new(keys.get("a").unwrap(), None).block(),
            "a\n  model     m\n  limits    rpm 5\n  model     pro\n  limits    none\n  project   (own)\n  priority  0\n  \
             weight    1\n  tags      x=1\n  active    yes\n  secret    -\n"
        );
    }
}
