//! Questions for which vaultrs has no words, or has them with a slash too many.

use rustify::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde_json::{Value, json};

/// A GET whose answer is looked at as it is.
#[derive(Debug)]
pub(crate) struct Get(pub(crate) String);

impl Get {
    /// Which mount a path is in, and its options. Whoever may do anything there may ask; `vault kv` asks the same.
    pub(crate) fn mount_of(path: &str) -> Self {
        Self(format!("sys/internal/ui/mounts/{path}"))
    }

    /// What the server knows about our token.
    pub(crate) fn own_token() -> Self {
        Self("auth/token/lookup-self".to_owned())
    }

    /// In which state the server is; anybody may ask.
    pub(crate) fn health() -> Self {
        Self("sys/health".to_owned())
    }
}

impl Endpoint for Get {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.0.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}

/// A POST that is answered with a token. It may hold a credential: no `Debug`.
pub(crate) struct LogIn {
    path: String,
    body: Value,
}

impl LogIn {
    pub(crate) fn app_role(mount: &str, role_id: &str, secret_id: &str) -> Self {
        let body = json!({"role_id": role_id, "secret_id": secret_id});
        Self { path: format!("auth/{mount}/login"), body }
    }

    /// More time for our token, as much as its role gives.
    pub(crate) fn renewal() -> Self {
        Self { path: "auth/token/renew-self".to_owned(), body: json!({}) }
    }
}

impl Endpoint for LogIn {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(Some(self.body.to_string().into_bytes()))
    }
}
