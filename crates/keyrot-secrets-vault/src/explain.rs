//! Turns a failure into words: where was looked, what was found there, what to do, and how to look by hand.

use std::sync::OnceLock;

use keyrot_core::{KeyMetadata, SecretError, SecretErrorKind};
use vaultrs::api;
use vaultrs::client::VaultClient;

use crate::access::Access;
use crate::endpoint::Get;
use crate::failure::{Failure, Refusal};
use crate::place::Mount;

/// What was asked about, for messages.
pub(crate) struct Asked<'a> {
    pub(crate) access: &'a Access,
    pub(crate) key: &'a KeyMetadata,
    /// As `vault kv` takes it.
    pub(crate) path: String,
    /// The field that holds the API key.
    pub(crate) field: &'a str,
    /// True if `VAULT_KV_VERSION` says the version.
    pub(crate) stated: bool,
    /// What was to be done.
    pub(crate) to: To,
    /// Where the path leads, once that is known.
    pub(crate) mount: OnceLock<Mount>,
}

/// What was to be done with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Read,
    Write,
}

impl Asked<'_> {
    pub(crate) fn locator(&self) -> String {
        format!("vault:{}", self.path)
    }

    /// `found` at the server; `fix` is what to do.
    pub(crate) fn error(&self, kind: SecretErrorKind, found: &str, fix: &str) -> SecretError {
        let (server, path) = (self.access.server.shown(), &self.path);
        let text = format!("{found} at {server}; {fix}; look with: vault kv get {path}");
        SecretError::new(kind, self.locator(), text)
    }

    pub(crate) fn timed_out(&self) -> SecretError {
        let fix = "check with vault status that it answers, or raise KEYROT_SECRET_TIMEOUT";
        self.error(SecretErrorKind::TimedOut, "no answer in time from Vault", fix)
    }

    /// A value that is no API key.
    pub(crate) fn no_secret(&self, kind: SecretErrorKind, found: &str) -> SecretError {
        let fix = format!("write it with {}, or name another field by VAULT_SECRET_FIELD", self.put());
        self.error(kind, found, &fix)
    }

    /// Looks at the state of the server where the failure alone does not tell.
    pub(crate) async fn explain(&self, failure: Failure) -> SecretError {
        let kind = failure.kind();
        match failure {
            Failure::TimedOut => self.timed_out(),
            Failure::NoConnection(why) => self.no_connection(&why).await,
            Failure::NotVault(status) => self.not_vault(status),
            Failure::NotLoggedIn { found, fix } => self.error(kind, &found, fix),
            Failure::TokenRefused => {
                let found = format!("{} is not accepted (wrong, revoked or over)", self.access.source());
                self.error(kind, &found, "log in again with vault login and set the new token")
            }
            Failure::Refused(refusal) => match refusal.status {
                403 => self.denied(&refusal),
                404 => self.missing(kind, &refusal),
                429 => {
                    let fix = "wait, or raise the quota: vault list sys/quotas/rate-limit";
                    self.error(kind, "too many requests (HTTP 429)", fix)
                }
                _ => self.unavailable(&refusal).await,
            },
        }
    }

    async fn no_connection(&self, why: &str) -> SecretError {
        if let Some(to) = self.access.server.sent_on_to()
            && matches!(health(&self.access.server.client(None)).await, Some(429 | 473))
        {
            let found = format!("the server is a standby and the active one does not answer ({to}: {why})");
            let fix = "look after the active one, or set VAULT_ADDR to one that is";
            return self.error(SecretErrorKind::Unavailable, &found, fix);
        }
        let fix = if why.contains("UnknownIssuer") || why.contains("BadSignature") {
            "name the file of its authority's certificate by VAULT_CACERT"
        } else if why.contains("certificate") {
            "check the name in VAULT_ADDR and the server's certificate"
        } else if why.contains("InvalidContentType") {
            "does the server speak http? then VAULT_ADDR begins with http://"
        } else {
            "check VAULT_ADDR and that the server runs: vault status"
        };
        self.error(SecretErrorKind::Unreachable, &format!("no connection to Vault ({why})"), fix)
    }

    fn denied(&self, refusal: &Refusal) -> SecretError {
        let Some(mount) = self.mount.get().filter(|_| !refusal.says("preflight")) else {
            let found = "no policy of the token allows anything in this mount, or there is no such mount,";
            let fix = "check VAULT_SECRET_PATH and the token's policies, or set VAULT_KV_VERSION to 1 or 2 if asking \
                       for the mount is what is not allowed";
            return self.error(SecretErrorKind::Denied, found, fix);
        };
        let (to, capabilities) = match self.to {
            To::Read => ("read", "\"read\""),
            To::Write => ("write", "\"create\", \"read\", \"update\""),
        };
        let fix = format!(
            "add to a policy of the token: path \"{}\" {{ capabilities = [{capabilities}] }}",
            mount.on_the_wire(&self.path)
        );
        self.error(
            SecretErrorKind::Denied,
            &format!("the policies of the token do not allow to {to} it"),
            &fix,
        )
    }

    fn missing(&self, kind: SecretErrorKind, refusal: &Refusal) -> SecretError {
        let path = &self.path;
        let put = format!("write it with {}", self.put());
        if let Some(version) = refusal.version() {
            let number = version.number;
            if version.destroyed {
                return self.error(
                    kind,
                    &format!("version {number} was destroyed, and there is no newer one"),
                    &put,
                );
            }
            let fix = format!("vault kv undelete -versions={number} {path}");
            return self.error(kind, &format!("version {number} was deleted"), &fix);
        }
        if refusal.lacks_the_namespace() {
            let namespace = self.access.server.namespace();
            let fix = "check VAULT_NAMESPACE: vault namespace list";
            return self.error(kind, &format!("there is no namespace {namespace:?}"), fix);
        }
        if refusal.wants_version_2() {
            let fix = "set VAULT_KV_VERSION to 2 or do not set it";
            return self.error(kind, "the mount is of KV version 2, not 1,", fix);
        }
        if refusal.says("no handler for route") {
            let mount = self.mount.get().map_or("", |mount| &mount.path);
            let fix = "check VAULT_SECRET_PATH, whose first part is the mount: vault secrets list";
            return self.error(kind, &format!("no secrets engine is mounted as {mount:?}"), fix);
        }
        let below = self.mount.get().map_or("", |mount| mount.below(path));
        let fix = match self.mount.get() {
            Some(_) if below.starts_with("data/") => {
                "leave the data/ of the API out of VAULT_SECRET_PATH".to_owned()
            }
            Some(_) if self.stated => format!("{put}, or is VAULT_KV_VERSION wrong?"),
            _ => put,
        };
        self.error(kind, "not found", &fix)
    }

    /// A server that answers and cannot serve: it says itself why.
    async fn unavailable(&self, refusal: &Refusal) -> SecretError {
        let status = refusal.status;
        if refusal.says("check-and-set") {
            let found = "somebody else wrote the secret at the same moment";
            return self.error(SecretErrorKind::Unavailable, found, "look at what is there and try again");
        }
        let (found, fix) = match health(&self.access.server.client(None)).await {
            Some(503) => ("the server is sealed", "open it with vault operator unseal"),
            Some(501) => {
                ("the server was never initialised", "run vault operator init and vault operator unseal")
            }
            Some(429 | 472 | 473) => (
                "the server is a standby and knows no active one",
                "look after the cluster: vault operator raft list-peers",
            ),
            Some(200) if (300..400).contains(&status) => {
                ("the answer is a redirection elsewhere", "set VAULT_ADDR to where it leads")
            }
            Some(200) => {
                let found = format!("the server is active and cannot serve (HTTP {status})");
                return self.error(SecretErrorKind::Unavailable, &found, "its log says why: vault monitor");
            }
            _ => return self.not_vault(status),
        };
        self.error(SecretErrorKind::Unavailable, found, fix)
    }

    fn not_vault(&self, status: u16) -> SecretError {
        let found = format!("what answers (HTTP {status}) does not answer as Vault does");
        let fix = "check VAULT_ADDR, http or https in it, and what stands before the server: vault status";
        self.error(SecretErrorKind::Unavailable, &found, fix)
    }

    /// The commands that write the secret; the value is not an argument of theirs.
    fn put(&self) -> String {
        format!("keyrot secrets put {} or vault kv put {} {}=-", self.key.key_id, self.path, self.field)
    }
}

/// The status with which the server tells its own state: 200 active, 429 and 473 standby, 501 not initialised, 503
/// sealed.
async fn health(client: &VaultClient) -> Option<u16> {
    match api::exec_with_no_result(client, Get::health()).await.map_err(Failure::from) {
        Ok(told) => told.get("sealed").map(|_| 200),
        Err(failure) => failure.status(),
    }
}
