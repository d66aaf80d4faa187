//! Where the server is and who we are to it, from the variables that `vault` itself reads and a few of ours.

use std::path::{Path, PathBuf};

use keyrot_core::secrecy::{ExposeSecret, SecretString};
use keyrot_core::{ConfigError, Vars};

use crate::{place, server};

/// How a [`VaultStore`](crate::VaultStore) finds its secrets. `Debug` shows no credential.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// `VAULT_ADDR`: `https://host[:port]`. No default.
    pub address: String,
    /// Who we are.
    pub credential: VaultCredential,
    /// `VAULT_SECRET_PATH`: the mount of the KV engine, and what stands before each name in it, as `vault kv` takes it;
    /// `secret/algoagent`.
    pub secret_path: String,
    /// `VAULT_SECRET_FIELD`: the field of a secret that holds the API key; `value`.
    pub field: String,
    /// `VAULT_NAMESPACE`; without it the root namespace.
    pub namespace: Option<String>,
    /// `VAULT_CACERT`: a PEM file of the only certificates to trust; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// `VAULT_SKIP_VERIFY`: whether to talk to a server that anybody may pretend to be.
    pub skip_verify: bool,
    /// `VAULT_KV_VERSION`: the version of the KV engine, whose mount is then the first part of the path. Without it
    /// the server is asked for both.
    pub kv_version: Option<KvVersion>,
}

/// Who a store is to the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum VaultCredential {
    /// `VAULT_TOKEN`
    Token(SecretString),
    /// `VAULT_TOKEN_FILE`, else `.vault-token` in the home folder: looked at with each read, as an agent may replace
    /// the token.
    TokenFile(PathBuf),
    /// `VAULT_ROLE_ID` and `VAULT_SECRET_ID`
    AppRole {
        /// `VAULT_APPROLE_MOUNT`: where the method is enabled, below `auth/`; `approle`.
        mount: String,
        /// The role.
        role_id: SecretString,
        /// Its secret.
        secret_id: SecretString,
    },
}

/// The version of a KV engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvVersion {
    /// Without versions of secrets.
    V1,
    /// With versions of secrets.
    V2,
}

impl VaultConfig {
    /// From `VAULT_*`. Of several credentials the first of `VAULT_TOKEN`, `VAULT_TOKEN_FILE`, `VAULT_ROLE_ID` with
    /// `VAULT_SECRET_ID`, and `.vault-token` in `HOME` is taken.
    ///
    /// # Errors
    /// Every problem at once: what the variable is and what is allowed.
    pub fn from_vars(vars: &Vars) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut note = |error: ConfigError| problems.extend_from_slice(error.problems());
        let credential = credential(vars).map_err(&mut note).ok();
        let kv_version = kv_version(vars).map_err(&mut note).ok();
        let skip_verify = vars.flag("VAULT_SKIP_VERIFY").map_err(&mut note).ok();
        let address = vars.text("VAULT_ADDR");
        if address.is_none() {
            problems.push(format!("VAULT_ADDR is not set; allowed: {}", server::ALLOWED_ADDRESS));
        }
        let text = |name, default: &str| vars.text(name).unwrap_or(default).to_owned();
        let config = Self {
            address: address.unwrap_or("https://127.0.0.1:8200").to_owned(),
            credential: credential.unwrap_or(VaultCredential::TokenFile(PathBuf::new())),
            secret_path: text("VAULT_SECRET_PATH", "secret/algoagent"),
            field: text("VAULT_SECRET_FIELD", "value"),
            namespace: vars.text("VAULT_NAMESPACE").map(str::to_owned),
            ca_file: vars.text("VAULT_CACERT").map(PathBuf::from),
            skip_verify: skip_verify.unwrap_or(false),
            kv_version: kv_version.flatten(),
        };
        problems.extend(config.problems());
        ConfigError::of(problems).map_or(Ok(config), Err)
    }

    /// What is wrong with the values by themselves.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut refuse = |name: &str, found: &str, allowed: &str| {
            problems.extend_from_slice(ConfigError::bad_value(name, found, allowed).problems());
        };
        if server::parse_address(&self.address).is_none() {
            refuse("VAULT_ADDR", &server::without_login(&self.address), server::ALLOWED_ADDRESS);
        }
        if !place::is_path(self.secret_path.trim_matches('/')) {
            refuse("VAULT_SECRET_PATH", &self.secret_path, place::ALLOWED);
        }
        if self.field.is_empty() || self.field.chars().any(char::is_control) {
            refuse("VAULT_SECRET_FIELD", &self.field, "the name of a field of the secrets, such as value");
        }
        if let Some(namespace) = self.namespace.as_deref().filter(|name| !is_sendable(name)) {
            refuse("VAULT_NAMESPACE", namespace, "the path of a namespace, such as team1");
        }
        match &self.credential {
            VaultCredential::Token(token) if !is_sendable(token.expose_secret()) => {
                problems.push(format!("VAULT_TOKEN {NO_TOKEN}"));
            }
            VaultCredential::AppRole { mount, .. } if !place::is_path(mount.trim_matches('/')) => {
                refuse("VAULT_APPROLE_MOUNT", mount, place::ALLOWED);
            }
            _ => {}
        }
        problems
    }
}

/// What is said of a text that cannot be a token; the text itself is not repeated.
pub(crate) const NO_TOKEN: &str =
    "cannot be a token: it is empty, or holds a space or a character that no token has";

/// True if it can stand in a header as it is.
pub(crate) fn is_sendable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn credential(vars: &Vars) -> Result<VaultCredential, ConfigError> {
    if let Some(token) = vars.text("VAULT_TOKEN") {
        return Ok(VaultCredential::Token(SecretString::from(token)));
    }
    if let Some(file) = vars.text("VAULT_TOKEN_FILE") {
        return Ok(VaultCredential::TokenFile(PathBuf::from(file)));
    }
    match (vars.text("VAULT_ROLE_ID"), vars.text("VAULT_SECRET_ID")) {
        (Some(role_id), Some(secret_id)) => Ok(VaultCredential::AppRole {
            mount: vars.text("VAULT_APPROLE_MOUNT").unwrap_or("approle").to_owned(),
            role_id: SecretString::from(role_id),
            secret_id: SecretString::from(secret_id),
        }),
        (Some(_), None) => Err(ConfigError::new("VAULT_ROLE_ID is set and VAULT_SECRET_ID is not; set both")),
        (None, Some(_)) => Err(ConfigError::new("VAULT_SECRET_ID is set and VAULT_ROLE_ID is not; set both")),
        (None, None) => of_the_user(vars),
    }
}

/// The token that `vault login` has left.
fn of_the_user(vars: &Vars) -> Result<VaultCredential, ConfigError> {
    let file = vars.text("HOME").map(|home| Path::new(home).join(".vault-token"));
    file.filter(|file| file.exists()).map(VaultCredential::TokenFile).ok_or_else(|| {
        ConfigError::new(
            "no credential for Vault: set VAULT_TOKEN, VAULT_TOKEN_FILE, or VAULT_ROLE_ID and VAULT_SECRET_ID, or run \
             vault login, which writes .vault-token in the home folder",
        )
    })
}

fn kv_version(vars: &Vars) -> Result<Option<KvVersion>, ConfigError> {
    match vars.text("VAULT_KV_VERSION") {
        None => Ok(None),
        Some("1") => Ok(Some(KvVersion::V1)),
        Some("2") => Ok(Some(KvVersion::V2)),
        Some(other) => {
            Err(ConfigError::bad_value("VAULT_KV_VERSION", other, "1 or 2, or nothing to ask the server"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: (&str, &str) = ("VAULT_TOKEN", "token-1f2e3d");

    fn config(pairs: &[(&str, &str)]) -> Result<VaultConfig, String> {
        VaultConfig::from_vars(&Vars::from_iter(pairs.iter().copied())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_guides_variables_are_enough() {
        let config = config(&[("VAULT_ADDR", "https://vault.example.com"), TOKEN]).unwrap();
        assert_eq!(config.secret_path, "secret/algoagent");
        assert_eq!(config.field, "value");
        assert!(!config.skip_verify && config.kv_version.is_none() && config.namespace.is_none());
    }

    #[test]
    fn every_problem_is_named_at_once_with_what_is_allowed() {
        let error = config(&[
            ("VAULT_ADDR", "vault.example.com"),
            ("VAULT_TOKEN", "two words"),
            ("VAULT_SECRET_PATH", "secret/../other"),
            ("VAULT_SECRET_FIELD", "a\u{7}b"),
            ("VAULT_NAMESPACE", "my team"),
            ("VAULT_KV_VERSION", "3"),
            ("VAULT_SKIP_VERIFY", "maybe"),
        ])
        .unwrap_err();
        assert_eq!(error.lines().count(), 7, "{error}");
        for part in
            ["https://vault.example.com:8200", "VAULT_TOKEN", "..", "1 or 2", "true or false", "team1"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("two words"), "{error}");
    }

    #[test]
    fn what_is_missing_is_named_with_every_way_to_give_it() {
        let error = config(&[]).unwrap_err();
        for part in ["VAULT_ADDR", "VAULT_TOKEN", "VAULT_TOKEN_FILE", "VAULT_ROLE_ID", "vault login"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let half = config(&[("VAULT_ADDR", "https://v"), ("VAULT_ROLE_ID", "r")]).unwrap_err();
        assert!(half.contains("VAULT_SECRET_ID is not"), "{half}");
    }

    #[test]
    fn an_address_is_scheme_host_and_port_and_its_password_is_not_shown() {
        for good in ["https://v", "http://127.0.0.1:8200", "https://[::1]:8200/"] {
            config(&[("VAULT_ADDR", good), TOKEN]).unwrap();
        }
        for bad in [
            "https://v/vault",
            "ftp://v",
            "https://",
            "https://v?x=1",
            "https://me:hunter2@v",
            "https://hunter2@v",
        ] {
            let error = config(&[("VAULT_ADDR", bad), TOKEN]).unwrap_err();
            assert!(error.starts_with("VAULT_ADDR is ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn an_empty_skip_verify_does_not_switch_verification_off() {
        let with =
            |value| config(&[("VAULT_ADDR", "https://v"), TOKEN, ("VAULT_SKIP_VERIFY", value)]).unwrap();
        assert!(!with("").skip_verify && !with("0").skip_verify && with("1").skip_verify);
    }

    #[test]
    fn the_first_credential_that_is_set_is_taken() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".vault-token"), "token-of-the-user").unwrap();
        let mut pairs = vec![
            TOKEN,
            ("VAULT_TOKEN_FILE", "token"),
            ("VAULT_ROLE_ID", "role"),
            ("VAULT_SECRET_ID", "secret-id"),
            ("HOME", home.path().to_str().unwrap()),
            ("VAULT_ADDR", "https://v"),
        ];
        let mut taken = Vec::new();
        while pairs.len() > 1 {
            taken.push(match config(&pairs).unwrap().credential {
                VaultCredential::Token(_) => "token".to_owned(),
                VaultCredential::TokenFile(file) => file.file_name().unwrap().to_str().unwrap().to_owned(),
                VaultCredential::AppRole { mount, .. } => mount,
            });
            pairs.remove(0);
            if pairs[0].0 == "VAULT_SECRET_ID" {
                pairs.remove(0);
            }
        }
        assert_eq!(taken, ["token", "token", "approle", ".vault-token"]);
    }

    #[test]
    fn debug_shows_no_credential() {
        let token = config(&[("VAULT_ADDR", "https://v"), TOKEN]).unwrap();
        let role =
            [("VAULT_ADDR", "https://v"), ("VAULT_ROLE_ID", "role-77"), ("VAULT_SECRET_ID", "secret-id-77")];
        let shown = format!("{token:?} {:#?}", config(&role).unwrap());
        assert!(
            !shown.contains(TOKEN.1) && !shown.contains("role-77") && !shown.contains("secret-id-77"),
            "{shown}"
        );
    }
}
