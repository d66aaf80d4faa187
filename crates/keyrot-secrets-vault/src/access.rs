//! Who we are to the server: one token at a time, given or logged in for.

use std::path::Path;
use std::sync::Arc;

use keyrot_core::Clock;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use vaultrs::api;
use vaultrs::client::VaultClient;

use crate::config::{NO_TOKEN, VaultCredential, is_sendable};
use crate::endpoint::{Get, LogIn};
use crate::failure::{Failure, Refusal};
use crate::keeper::{self, Lease};
use crate::server::Server;

/// The way in. Logs in when the first question is asked, and again when the server no longer knows the token.
pub(crate) struct Access {
    pub(crate) server: Server,
    pub(crate) clock: Arc<dyn Clock>,
    credential: VaultCredential,
    current: Mutex<Option<Arc<Session>>>,
}

/// A token in use. Its keeper ends with it.
pub(crate) struct Session {
    pub(crate) client: Arc<VaultClient>,
    token: SecretString,
    keeper: AbortHandle,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Access {
    pub(crate) fn new(server: Server, credential: VaultCredential, clock: Arc<dyn Clock>) -> Self {
        Self { server, clock, credential, current: Mutex::default() }
    }

    /// Where the token comes from, for messages.
    pub(crate) fn source(&self) -> String {
        match &self.credential {
            VaultCredential::Token(_) => "the token of VAULT_TOKEN".to_owned(),
            VaultCredential::TokenFile(file) => format!("the token in {}", file.display()),
            VaultCredential::AppRole { mount, .. } => format!("the token that auth/{mount} gave"),
        }
    }

    /// True if a token that has ended can be followed by another without anybody doing anything.
    pub(crate) fn logs_in(&self) -> bool {
        matches!(self.credential, VaultCredential::AppRole { .. })
    }

    /// The token in use; whoever needs the first one at the same time waits for one login.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Arc<Session>, Failure> {
        let mut current = self.current.lock().await;
        if let VaultCredential::TokenFile(file) = &self.credential {
            let token = read_token(file)?;
            return Ok(match &*current {
                Some(session) if session.token.expose_secret() == token.expose_secret() => {
                    Arc::clone(session)
                }
                _ => Arc::clone(current.insert(self.open(token, None))),
            });
        }
        match &*current {
            Some(session) => Ok(Arc::clone(session)),
            None => Ok(Arc::clone(current.insert(self.log_in().await?))),
        }
    }

    /// Another token than the one that the server does not know; `None` if there is no other.
    pub(crate) async fn instead_of(
        self: &Arc<Self>,
        refused: &VaultClient,
    ) -> Result<Option<Arc<Session>>, Failure> {
        if !self.logs_in() {
            return Ok(None);
        }
        let mut current = self.current.lock().await;
        Ok(Some(match &*current {
            Some(session) if !std::ptr::eq(&*session.client, refused) => Arc::clone(session),
            _ => Arc::clone(current.insert(self.log_in().await?)),
        }))
    }

    async fn log_in(self: &Arc<Self>) -> Result<Arc<Session>, Failure> {
        let (mount, role_id, secret_id) = match &self.credential {
            VaultCredential::Token(token) => return Ok(self.open(token.clone(), None)),
            VaultCredential::TokenFile(file) => return Ok(self.open(read_token(file)?, None)),
            VaultCredential::AppRole { mount, role_id, secret_id } => {
                (mount.trim_matches('/'), role_id, secret_id)
            }
        };
        let question = LogIn::app_role(mount, role_id.expose_secret(), secret_id.expose_secret());
        let given = match api::auth(&self.server.client(None), question).await.map_err(Failure::from) {
            Ok(given) => given,
            Err(Failure::Refused(refusal)) if matches!(refusal.status, 400..=404) => {
                return Err(login_refused(mount, &refusal));
            }
            Err(failure) => return Err(failure),
        };
        tracing::debug!(
            mount,
            lease_s = given.lease_duration,
            renewable = given.renewable,
            "logged in to Vault"
        );
        let lease = Lease::new(given.lease_duration, given.renewable);
        Ok(self.open(SecretString::from(given.client_token), Some(lease)))
    }

    fn open(self: &Arc<Self>, token: SecretString, lease: Option<Lease>) -> Arc<Session> {
        let client = Arc::new(self.server.client(Some(&token)));
        let keeper = keeper::keep(Arc::downgrade(self), Arc::clone(&client), lease);
        Arc::new(Session { client, token, keeper: tokio::spawn(keeper).abort_handle() })
    }
}

/// True unless the server says that it does not know the token: a 403 alone does not tell.
pub(crate) async fn is_known(client: &VaultClient) -> bool {
    match own_token(client).await {
        // A token may be so narrow that it must not look at itself. An unknown one is told so, or in the bare words.
        Err(Failure::Refused(refusal)) if refusal.status == 403 => {
            let bare = refusal.errors.iter().all(|error| error == "permission denied");
            !bare && !refusal.says("invalid token")
        }
        _ => true,
    }
}

/// What the server knows about our token.
pub(crate) async fn own_token(client: &VaultClient) -> Result<Value, Failure> {
    api::exec_with_result(client, Get::own_token()).await.map_err(Failure::from)
}

fn login_refused(mount: &str, refusal: &Refusal) -> Failure {
    if refusal.status == 400 {
        return Failure::NotLoggedIn {
            found: format!("auth/{mount} does not accept VAULT_ROLE_ID with VAULT_SECRET_ID"),
            fix: "check both, or make a new secret id: vault write -f auth/approle/role/ROLE/secret-id",
        };
    }
    Failure::NotLoggedIn {
        found: format!("nobody can log in at auth/{mount} (HTTP {})", refusal.status),
        fix: "check VAULT_APPROLE_MOUNT and VAULT_NAMESPACE, and that vault auth list has the method approle",
    }
}

fn read_token(file: &Path) -> Result<SecretString, Failure> {
    const FIX: &str = "log in with vault login, or say who you are by VAULT_TOKEN, VAULT_TOKEN_FILE, or VAULT_ROLE_ID \
                       and VAULT_SECRET_ID";
    let refused = |found| Failure::NotLoggedIn { found, fix: FIX };
    let text = std::fs::read_to_string(file)
        .map_err(|error| refused(format!("the token file {} cannot be read ({error})", file.display())))?;
    let token = text.trim();
    if is_sendable(token) {
        Ok(SecretString::from(token))
    } else {
        Err(refused(format!("what the token file {} holds {NO_TOKEN}", file.display())))
    }
}
