//! Writes secrets into the `.env` file.

use std::path::Path;

use async_trait::async_trait;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{
    ConfigError, KeyMetadata, SecretError, SecretErrorKind, SecretStore, SecretWriter, parse_dotenv,
    set_in_dotenv, update_file,
};

use crate::store::{EnvStore, bad_name, names};

#[async_trait]
impl SecretWriter for EnvStore {
    /// A variable of the process wins over the file and cannot be changed from outside; without a file there is
    /// nothing to write to.
    fn unwritable(&self, key: &KeyMetadata) -> Option<SecretError> {
        self.place(key).err()
    }

    /// Into the line of the file that [`fetch`](SecretStore::fetch) reads, or a new one at its end. Everything else in
    /// the file stays; see [`update_file`] for locks and crashes. A new file is for its owner only.
    async fn put(&self, key: &KeyMetadata, secret: &SecretString) -> Result<(), SecretError> {
        let path = self.place(key)?;
        let value = secret.expose_secret().trim();
        if value.is_empty() {
            let text = "the new secret is empty; give the API key";
            return Err(SecretError::new(SecretErrorKind::Empty, self.locator(key), text));
        }
        update_file(path, |text| {
            let text = text.unwrap_or_default();
            let name = name_in(text, key)?;
            Ok((set_in_dotenv(text, &name, value)?, ()))
        })
        .map_err(|error| {
            let text = format!("cannot be written: {}", error.problems().join("; "));
            SecretError::new(SecretErrorKind::Unavailable, self.locator(key), text).with_source(error)
        })
    }
}

impl EnvStore {
    /// The file, if it is where this key's secret is to be changed.
    fn place(&self, key: &KeyMetadata) -> Result<&Path, SecretError> {
        let refused = |kind, text| Err(SecretError::new(kind, self.locator(key), text));
        if let Some(problem) = bad_name(key) {
            return refused(SecretErrorKind::BadName, problem);
        }
        let Some(path) = &self.dotenv else {
            let text = "there is no .env file to write to; set the variable where the process is started";
            return refused(SecretErrorKind::Denied, text.to_owned());
        };
        let set = names(key).into_iter().find(|name| self.process.raw(name).is_some());
        match set {
            Some(name) => {
                let text = format!(
                    "{name} is a variable of the process, which wins over {}: change it where the process is \
                     started and start it again, or unset it there to keep it in the file",
                    path.display()
                );
                refused(SecretErrorKind::Denied, text)
            }
            None => Ok(path),
        }
    }
}

/// The name that the file has already; a new line gets the one that a shell can set.
fn name_in(text: &str, key: &KeyMetadata) -> Result<String, ConfigError> {
    let held = parse_dotenv(text)?;
    let [exact, settable] = names(key);
    Ok(if held.raw(&exact).is_some() { exact } else { settable })
}
