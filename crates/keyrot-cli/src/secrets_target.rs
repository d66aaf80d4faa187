//! The entry whose secret is written, and the store that it is written to.

use std::sync::Arc;

use keyrot::{KeyMetadata, KeySet, SecretWriter, Settings};

use crate::failure::Failure;
use crate::keys_file::KeysFile;

#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) store: Arc<dyn SecretWriter>,
    pub(crate) key: KeyMetadata,
    pub(crate) locator: String,
    pub(crate) settings: Settings,
}

impl Target {
    /// Refuses what could not work before anybody types a key: an id that is not there, a name that the store cannot
    /// hold or tell from another one's, a variable that only whoever starts the process can change.
    pub(crate) fn find(settings: Settings, id: &str) -> Result<Self, Failure> {
        let file = KeysFile::new(settings.clone(), false);
        let keys = KeySet::load(file.path())?;
        let key = file.entry(&keys, id)?;
        let store = settings.secret_writer()?;
        store.check(&keys)?;
        if let Some(error) = store.unwritable(&key) {
            return Err(Failure::usage(format!("the secret of {id} cannot be written: {error}")));
        }
        let locator = store.locator(&key);
        Ok(Self { store, key, locator, settings })
    }
}
