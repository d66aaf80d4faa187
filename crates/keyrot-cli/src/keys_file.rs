//! Changes to keys.json: each is made to the newest file, in one step, or not at all.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use keyrot::{Clock, ConfigError, KeyId, KeyMetadata, KeySet, SecretStore, Settings, SystemClock};

use crate::failure::Failure;
use crate::keys_list::EntryJson;
use crate::keys_options::Fields;
use crate::output;

/// How many known ids an error lists.
const LISTED: usize = 20;

/// The file that the settings name, whether rotation is on or off.
#[derive(Debug)]
pub(crate) struct KeysFile {
    settings: Settings,
    /// Whether the keys of the file are used at all.
    in_use: bool,
    json: bool,
}

impl KeysFile {
    pub(crate) fn new(settings: Settings, json: bool) -> Self {
        let in_use = settings.rotates();
        Self { settings: settings.rotation(Some(true)), in_use, json }
    }

    pub(crate) fn path(&self) -> &Path {
        self.settings.keys_path()
    }

    /// Where the secrets are looked for.
    pub(crate) fn secrets(&self) -> Result<Arc<dyn SecretStore>, ConfigError> {
        self.settings.secrets()
    }

    pub(crate) async fn add(&self, id: &str, model: &str, fields: &Fields) -> Result<(), Failure> {
        let id = KeyId::parse(id)?;
        let found = self.path().try_exists();
        let found = found.map_err(|error| ConfigError::file("read", self.path(), &error))?;
        let mut keys = if found { KeySet::load(self.path())? } else { KeySet::default() };
        if keys.get(id.as_str()).is_some() {
            return Err(Failure::usage(format!(
                "{} has a key {id} already; change it with keyrot keys set {id}, or choose another id",
                self.path().display()
            )));
        }
        let mut key = KeyMetadata::new(id.clone(), model);
        fields.apply(&mut key);
        self.put(&mut keys, key)?;
        let created = if found { "" } else { " (a new file)" };
        self.tell(&keys, &id, true, &format!("{id} was added to {}{created}", self.path().display()))?;
        if let Some(key) = keys.get(id.as_str()) {
            self.tell_what_is_missing(key).await;
        }
        Ok(())
    }

    pub(crate) fn change(&self, id: &str, edit: impl FnOnce(&mut KeyMetadata)) -> Result<(), Failure> {
        let mut keys = KeySet::load(self.path())?;
        let was = self.entry(&keys, id)?;
        let mut key = was.clone();
        edit(&mut key);
        if key == was {
            let text = format!("{id} is like that already; {} was not changed", self.path().display());
            return self.tell(&keys, &was.key_id, false, &text);
        }
        self.put(&mut keys, key)?;
        self.tell(&keys, &was.key_id, true, &format!("{id} was changed in {}", self.path().display()))
    }

    pub(crate) fn remove(&self, id: &str, yes: bool) -> Result<(), Failure> {
        let mut keys = KeySet::load(self.path())?;
        let key = self.entry(&keys, id)?;
        if !yes && !self.may_remove(id)? {
            return Err(Failure::failed(format!("{id} was not removed")));
        }
        keys.remove(&key.key_id);
        keys.save(self.path(), SystemClock.wall())?;
        let locator = self.secrets().ok().map(|store| store.locator(&key));
        if self.json {
            output::print_json(&EntryJson::new(&key, locator.clone()).removed())?;
        } else {
            output::print(&format!("{id} was removed from {}", self.path().display()))?;
        }
        if let Some(locator) = locator {
            output::note(&format!("its secret stays where it is: {locator}"));
        }
        Ok(())
    }

    fn may_remove(&self, id: &str) -> Result<bool, Failure> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage("there is no terminal to ask on; --yes removes without asking"));
        }
        let question = format!("Remove {id} from {}?", self.path().display());
        Ok(confirmed(&question, io::stdin().lock(), io::stderr().lock())?)
    }

    /// The entry of this id, or which ids there are, the nearest first.
    pub(crate) fn entry(&self, keys: &KeySet, id: &str) -> Result<KeyMetadata, Failure> {
        keys.get(id).cloned().ok_or_else(|| {
            let mut known: Vec<&str> = keys.iter().map(|key| key.key_id.as_str()).collect();
            known.sort_by_key(|known| strsim::damerau_levenshtein(&id.to_lowercase(), &known.to_lowercase()));
            let more = known.len().saturating_sub(LISTED);
            known.truncate(LISTED);
            let known = match (known.join(", "), more) {
                (none, _) if none.is_empty() => "none".to_owned(),
                (known, 0) => known,
                (known, more) => format!("{known} and {more} more"),
            };
            Failure::usage(format!("{} has no key {id:?}; it has {known}", self.path().display()))
        })
    }

    fn put(&self, keys: &mut KeySet, key: KeyMetadata) -> Result<(), Failure> {
        let (id, before) = (key.key_id.clone(), keys.clone());
        keys.upsert(key).map_err(|error| naming(&id, &error))?;
        self.refuse_shared_names(&before, keys)?;
        keys.save(self.path(), SystemClock.wall())?;
        Ok(())
    }

    /// A file that has such a pair already can still be put right, one change at a time.
    fn refuse_shared_names(&self, before: &KeySet, after: &KeySet) -> Result<(), ConfigError> {
        let problems = |keys: &KeySet| match self.settings.secrets() {
            Ok(store) => store.check(keys).err().map_or(Vec::new(), |error| error.problems().to_vec()),
            Err(_) => Vec::new(), // a store that cannot be opened has nothing to say about names
        };
        let old = problems(before);
        let new = problems(after).into_iter().filter(|problem| !old.contains(problem)).collect();
        ConfigError::of(new).map_or(Ok(()), Err)
    }

    fn tell(&self, keys: &KeySet, id: &KeyId, changed: bool, text: &str) -> Result<(), Failure> {
        let key = keys.get(id.as_str()).filter(|_| self.json);
        let Some(key) = key else { return output::print(text) };
        let locator = self.secrets().ok().map(|store| store.locator(key));
        output::print_json(&EntryJson::new(key, locator).changed(changed))
    }

    async fn tell_what_is_missing(&self, key: &KeyMetadata) {
        match self.secrets() {
            Ok(store) => match store.fetch(key).await {
                Ok(_) => output::note(&format!("its secret is there: {}", store.locator(key))),
                Err(error) => output::note(&format!("its secret is missing: {error}")),
            },
            Err(error) => output::warning(&error.to_string()),
        }
        if !self.in_use {
            output::note(&format!(
                "rotation is off, so {} is not used yet; set ENABLE_KEY_ROTATION=true to use it",
                self.path().display()
            ));
        }
    }
}

/// The problems of a single entry, which has no place in a list yet.
fn naming(id: &KeyId, error: &ConfigError) -> ConfigError {
    let of_list = format!("keys[0] ({id}): ");
    let problems = error.problems().iter().map(|problem| match problem.strip_prefix(&of_list) {
        Some(problem) => format!("{id}: {problem}"),
        None => problem.clone(),
    });
    ConfigError::of(problems.collect()).unwrap_or_else(|| error.clone())
}

/// Anything but yes is no.
fn confirmed(question: &str, mut answers: impl BufRead, mut screen: impl Write) -> io::Result<bool> {
    write!(screen, "{question} [y/N] ")?;
    screen.flush()?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in
            [("y\n", true), ("YES\r\n", true), ("\n", false), ("", false), ("no\n", false), ("yeah\n", false)]
        {
            let mut screen = Vec::new();
            assert_eq!(confirmed("Remove a?", answer.as_bytes(), &mut screen).unwrap(), yes, "{answer:?}");
            assert_eq!(screen, b"Remove a? [y/N] ");
        }
    }
}
