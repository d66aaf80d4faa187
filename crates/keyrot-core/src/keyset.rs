//! keys.json as a value: its entries, and the changes that were made since it was read.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::SystemTime;

use crate::error::ConfigError;
use crate::key::{KeyId, KeyMetadata, ModelName};
use crate::keyset_edit::{self, Change};
use crate::keyset_entry::FIELDS;
use crate::keyset_read::{entries, share_projects, unknown_fields};
use crate::text_file::update_file;

const EMPTY: &str = "{\n  \"keys\": []\n}\n";

/// The keys of a keys.json, in its order. Never holds a secret, only names of secrets.
///
/// The text that was read is kept: comments, unknown fields, order and formatting survive
/// [`save`](Self::save). Entries that name the same `secret` are one key at the provider: they get the
/// project that any of them states, else one named after the alphabetically first of their ids.
///
/// ```
/// use keyrot_core::{KeyId, KeyMetadata, KeySet};
/// let mut keys = KeySet::parse(r#"{"keys": [{"key_id": "a", "model_name": "gemini-2.5-flash"}]}"#)?;
/// keys.upsert(KeyMetadata::new(KeyId::parse("b")?, "gemini-2.5-pro"))?;
/// let ids: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
/// assert_eq!(ids, ["a", "b"]);
/// # Ok::<(), keyrot_core::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeySet {
    text: String,
    keys: Vec<KeyMetadata>,
    index: HashMap<KeyId, usize>,
    /// Whose project is not stated but that of another entry with the same secret.
    implied: HashSet<KeyId>,
    /// What changed since the text was read: the entry as it was, `None` if there was none.
    changed: HashMap<KeyId, Option<KeyMetadata>>,
}

impl Default for KeySet {
    /// No keys; saved as a file with an empty list.
    fn default() -> Self {
        Self {
            text: EMPTY.to_owned(),
            keys: Vec::new(),
            index: HashMap::new(),
            implied: HashSet::new(),
            changed: HashMap::new(),
        }
    }
}

impl KeySet {
    /// Every field that an entry may have. Others are kept when a file is saved and mean nothing.
    pub const FIELDS: &'static [&'static str] = &FIELDS;

    /// Reads a file. It is not locked: a save replaces the file in one step.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), each problem beginning with the path; a missing file says how to make one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ConfigError::new(format!(
                "{} does not exist; create it with: cp keys_example.json keys.json",
                path.display()
            )),
            _ => ConfigError::file("read", path, &error),
        })?;
        Self::parse(&text).map_err(|error| error.in_file(path))
    }

    /// Reads the text of a keys.json: JSON, comments and trailing commas accepted.
    ///
    /// # Errors
    /// Every problem with its entry and field, what was found and what is allowed.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let mut keys = entries(without_mark(text))?;
        let implied = share_projects(&mut keys)?;
        let index = index_of(&keys);
        Ok(Self { text: text.to_owned(), keys, index, implied, changed: HashMap::new() })
    }

    /// One key `default` without limits: what `GEMINI_API_KEY` alone gives.
    pub fn single(model: impl Into<ModelName>) -> Self {
        let mut keys = Self::default();
        if let Ok(id) = KeyId::parse("default") {
            keys.put(KeyMetadata::new(id, model));
        }
        keys
    }

    /// The entries in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, KeyMetadata> {
        self.keys.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The entry of this id.
    pub fn get(&self, id: &str) -> Option<&KeyMetadata> {
        self.index.get(id).map(|&index| &self.keys[index])
    }

    /// Fields of the text that was read which mean nothing here, each with its entry: perhaps slips such as `prority`.
    /// One inside `models` is named with its path: `models.gemini-2.5-pro.rmp`.
    pub fn unknown_fields(&self) -> Vec<(KeyId, String)> {
        let unknown = unknown_fields(without_mark(&self.text)).into_iter();
        unknown.filter_map(|(id, field)| Some((self.get(&id)?.key_id.clone(), field))).collect()
    }

    /// Adds an entry, or changes the fields of the one with this id that differ.
    ///
    /// # Errors
    /// As [`parse`](Self::parse) for this entry; the set is unchanged then.
    pub fn upsert(&mut self, mut key: KeyMetadata) -> Result<(), ConfigError> {
        entries(&keyset_edit::document_of(&key)?)?;
        let was = self.get(key.key_id.as_str()).cloned();
        let was_implied = self.implied.contains(&key.key_id);
        if was_implied && was.as_ref().is_some_and(|was| was.project == key.project) {
            key.project = None; // the caller changed a copy of what `get` gave: nothing was stated
        }
        let shares = key.secret.is_some() || was.as_ref().is_some_and(|was| was.secret.is_some());
        let before = shares.then(|| self.clone());
        self.put(key);
        if let Some(before) = before
            && let Err(error) = self.share_again()
        {
            *self = before;
            return Err(error);
        }
        Ok(())
    }

    /// Takes an entry out; false if there was none.
    pub fn remove(&mut self, id: &KeyId) -> bool {
        let Some(&index) = self.index.get(id) else { return false };
        self.note_change(id);
        let shared = self.keys.remove(index).secret.is_some();
        self.implied.remove(id);
        self.index = index_of(&self.keys);
        if shared {
            // fewer entries cannot conflict when more did not
            let _ = self.share_again();
        }
        true
    }

    /// Writes the changes that were made since the load into the file, and nothing else.
    ///
    /// Under a lock (`<file>.lock` beside it) the newest text is read and each changed entry is changed
    /// there, field by field, so that what other programs or an editor saved meanwhile stays; then the
    /// file is replaced in one step and flushed to the disk. A process that dies at any point leaves the
    /// old or the new file. Permissions stay (a new file: owner only), a symbolic link is followed.
    /// `updated_at` of each changed entry and `created_at` of each new one become `now`. Afterwards
    /// this set is what the file holds. Blocks the thread, also while another process saves.
    ///
    /// # Errors
    /// If the file cannot be read or written, is broken now, or a changed entry was removed from it
    /// meanwhile; nothing is written then, and the changes are kept for another try.
    pub fn save(&mut self, path: &Path, now: SystemTime) -> Result<(), ConfigError> {
        *self = update_file(path, |newest| {
            let merged = self.merged_into(newest.unwrap_or(&self.text), now)?;
            Ok((merged.text.clone(), merged))
        })?;
        Ok(())
    }

    /// The text with the changes so far, as a save would write it when nobody else changed the file.
    ///
    /// # Errors
    /// If the result would not be a valid file.
    pub fn to_text(&self, now: SystemTime) -> Result<String, ConfigError> {
        self.merged_into(&self.text, now).map(|merged| merged.text)
    }

    fn merged_into(&self, newest: &str, now: SystemTime) -> Result<Self, ConfigError> {
        let current = Self::parse(newest)?;
        if self.changed.is_empty() {
            return Ok(current);
        }
        let mut changes: Vec<Change> = self
            .keys
            .iter()
            .filter_map(|key| {
                let was = self.changed.get(&key.key_id)?.clone();
                Some(Change { id: key.key_id.clone(), was, wanted: Some(self.as_stated(key)) })
            })
            .collect();
        let removed = self.changed.iter().filter(|(id, was)| was.is_some() && !self.index.contains_key(*id));
        changes.extend(removed.map(|(id, _)| Change { id: id.clone(), was: None, wanted: None }));
        let merged = Self::parse(&keyset_edit::edited(newest, &changes, now)?)?;
        let complete =
            changes.iter().all(|change| merged.index.contains_key(&change.id) == change.wanted.is_some())
                && current.keys.iter().all(|key| {
                    merged.index.contains_key(&key.key_id) || self.changed.contains_key(&key.key_id)
                });
        match complete {
            true => Ok(merged),
            false => Err(ConfigError::new("the file is written in a way that cannot be edited safely")),
        }
    }

    fn put(&mut self, key: KeyMetadata) {
        self.note_change(&key.key_id);
        self.implied.remove(&key.key_id);
        match self.index.get(&key.key_id) {
            Some(&index) => self.keys[index] = key,
            None => {
                self.index.insert(key.key_id.clone(), self.keys.len());
                self.keys.push(key);
            }
        }
    }

    /// Keeps the entry as it was before the first change since the load.
    fn note_change(&mut self, id: &KeyId) {
        if !self.changed.contains_key(id) {
            let was = self.get(id.as_str()).map(|key| self.as_stated(key));
            self.changed.insert(id.clone(), was);
        }
    }

    fn as_stated(&self, key: &KeyMetadata) -> KeyMetadata {
        let mut key = key.clone();
        if self.implied.contains(&key.key_id) {
            key.project = None;
        }
        key
    }

    fn share_again(&mut self) -> Result<(), ConfigError> {
        for id in self.implied.drain() {
            if let Some(&index) = self.index.get(&id) {
                self.keys[index].project = None;
            }
        }
        self.implied = share_projects(&mut self.keys)?;
        Ok(())
    }
}

impl<'a> IntoIterator for &'a KeySet {
    type Item = &'a KeyMetadata;
    type IntoIter = std::slice::Iter<'a, KeyMetadata>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Some editors begin a file with a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn index_of(keys: &[KeyMetadata]) -> HashMap<KeyId, usize> {
    keys.iter().enumerate().map(|(index, key)| (key.key_id.clone(), index)).collect()
}
