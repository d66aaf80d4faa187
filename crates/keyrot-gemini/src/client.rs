//! The client: four calls of the native API. The key is an argument of each call and travels in a header.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keyrot_core::ModelName;
use keyrot_core::secrecy::{ExposeSecret, SecretString};
use reqwest::header::HeaderValue;
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::builder::GeminiBuilder;
use crate::error::GeminiError;
use crate::models::{ModelInfo, ModelPage, TokenTotal};
use crate::reply::{GenerateReply, StreamChunk, WireReply};
use crate::request::GenerateRequest;
use crate::stream::GenerateStream;
use crate::transport::{self, Budget};

/// Pages of `models.list` that are followed; each holds up to 1000 models.
const MOST_PAGES: usize = 20;

/// Limits on waiting, each of its own kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) first_byte: Duration,
    pub(crate) chunk: Duration,
    pub(crate) total: Duration,
}

/// A client of the Gemini API. Holds no key; clones share the connections.
#[derive(Clone)]
pub struct Gemini {
    http: reqwest::Client,
    base: Arc<Url>,
    timeouts: Timeouts,
    deadline: Option<Duration>,
}

impl fmt::Debug for Gemini {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gemini")
            .field("base", &self.base.as_str())
            .field("timeouts", &self.timeouts)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Gemini {
    /// Settings, with their defaults.
    pub fn builder() -> GeminiBuilder {
        GeminiBuilder::default()
    }

    pub(crate) fn new(http: reqwest::Client, base: Url, timeouts: Timeouts) -> Self {
        Self { http, base: Arc::new(base), timeouts, deadline: None }
    }

    /// The same client for calls that have only so much time left. If that is shorter than the total timeout, a
    /// call that runs out of it is the caller's affair: no key, model or service is blamed.
    #[must_use]
    pub fn within(&self, deadline: Duration) -> Self {
        Self { deadline: Some(deadline), ..self.clone() }
    }

    /// The same client, that waits no longer than this for a reply to begin.
    pub(crate) fn patient_for(mut self, limit: Option<Duration>) -> Self {
        let own = self.timeouts.first_byte;
        self.timeouts.first_byte = limit.map_or(own, |limit| limit.min(own));
        self
    }

    /// `generateContent`: the whole answer at once. A blocked prompt and a cut answer are replies too: look at
    /// [`GenerateReply::finish`].
    pub async fn generate(
        &self,
        secret: &SecretString,
        model: &ModelName,
        request: &GenerateRequest,
    ) -> Result<GenerateReply, GeminiError> {
        let url = self.generating_url(model, "generateContent", request)?;
        let reply: WireReply = self.exchange(secret, self.request(Method::POST, url).json(request)).await?;
        StreamChunk::from(reply).into_reply().ok_or_else(GeminiError::incomplete)
    }

    /// `streamGenerateContent`: the answer piece by piece. The stream ends with an error unless the answer's own
    /// end was seen.
    pub async fn stream(
        &self,
        secret: &SecretString,
        model: &ModelName,
        request: &GenerateRequest,
    ) -> Result<GenerateStream, GeminiError> {
        let mut url = self.generating_url(model, "streamGenerateContent", request)?;
        url.query_pairs_mut().append_pair("alt", "sse");
        let budget = self.budget();
        let request = self.authorize(secret, self.request(Method::POST, url).json(request), &budget)?;
        let reply = transport::send(request, &budget, secret.expose_secret()).await?;
        Ok(GenerateStream::new(reply, budget, secret.clone()))
    }

    /// `countTokens`: the exact input tokens of a request, system instruction included. Costs a request of the
    /// minute, no tokens.
    pub async fn count_tokens(
        &self,
        secret: &SecretString,
        model: &ModelName,
        request: &GenerateRequest,
    ) -> Result<TokenTotal, GeminiError> {
        let url = self.generating_url(model, "countTokens", request)?;
        let body = request.counting_body(&resource(model));
        self.exchange(secret, self.request(Method::POST, url).json(&body)).await
    }

    /// `models.list`, all pages: the cheapest question that shows whether a key works.
    pub async fn models(&self, secret: &SecretString) -> Result<Vec<ModelInfo>, GeminiError> {
        let mut models = Vec::new();
        let mut token: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut url = self.url(["models"]);
            url.query_pairs_mut().append_pair("pageSize", "1000");
            if let Some(token) = &token {
                url.query_pairs_mut().append_pair("pageToken", token);
            }
            let page: ModelPage = self.exchange(secret, self.request(Method::GET, url)).await?;
            models.extend(page.models);
            token = page.next_page_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(models);
            }
        }
        Err(GeminiError::too_large("the list of models has more than 20 pages"))
    }

    fn generating_url(
        &self,
        model: &ModelName,
        method: &str,
        request: &GenerateRequest,
    ) -> Result<Url, GeminiError> {
        if let Some(problem) = request.problem() {
            return Err(GeminiError::invalid(problem));
        }
        let resource = resource(model);
        let plain = |part: &str| !part.is_empty() && part.chars().any(|c| c != '.');
        if !resource.split('/').all(plain) {
            return Err(GeminiError::invalid(
                "the model's name is empty or a path; a name is as gemini-2.5-flash",
            ));
        }
        Ok(self.url(format!("{resource}:{method}").split('/')))
    }

    /// An address below the base; each part is escaped.
    fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = Url::clone(&self.base);
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(parts); // http URLs always have a path
        }
        url
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    fn budget(&self) -> Budget {
        Budget::start(self.timeouts, self.deadline)
    }

    fn authorize(
        &self,
        secret: &SecretString,
        request: RequestBuilder,
        budget: &Budget,
    ) -> Result<RequestBuilder, GeminiError> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(GeminiError::invalid("the key's secret is empty"));
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GeminiError::unusable_secret());
        }
        let mut header = HeaderValue::from_str(secret).map_err(|_| GeminiError::unusable_secret())?;
        header.set_sensitive(true); // keeps it out of Debug and out of HPACK's table
        Ok(request.header("x-goog-api-key", header).header("x-server-timeout", budget.server_seconds()))
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        secret: &SecretString,
        request: RequestBuilder,
    ) -> Result<T, GeminiError> {
        let budget = self.budget();
        let request = self.authorize(secret, request, &budget)?;
        let secret = secret.expose_secret();
        let mut reply = transport::send(request, &budget, secret).await?;
        let status = reply.status().as_u16();
        let body = transport::read_all(&mut reply, &budget, secret).await?;
        match serde_json::from_slice(&body) {
            Ok(value) => decode(status, value, secret),
            Err(_) => Err(GeminiError::malformed(status, &String::from_utf8_lossy(&body), secret)),
        }
    }
}

/// `models/gemini-2.5-flash`; a name with a slash (`tunedModels/x`) is a resource already.
fn resource(model: &ModelName) -> String {
    let name = model.as_str();
    if name.contains('/') { name.to_owned() } else { format!("models/{name}") }
}

/// A reply of 2xx; an error that comes with such a status is still an error.
pub(crate) fn decode<T: DeserializeOwned>(status: u16, value: Value, secret: &str) -> Result<T, GeminiError> {
    if value.get("error").is_some_and(|error| !error.is_null()) {
        return Err(GeminiError::refused(status, None, &value.to_string(), secret));
    }
    if !value.is_object() {
        return Err(GeminiError::malformed(status, &value.to_string(), secret));
    }
    serde_json::from_value(value).map_err(|_| GeminiError::malformed(status, "{}", secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Gemini {
        Gemini::builder().base_url("http://127.0.0.1:1/").build().unwrap()
    }

    #[test]
    fn a_model_cannot_leave_its_place_in_the_path() {
        let url = |model: &str| {
            client().generating_url(&model.into(), "generateContent", &GenerateRequest::user("x"))
        };
        for (model, path) in [
            ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
            ("models/a?key=b#c", "/v1beta/models/a%3Fkey=b%23c:generateContent"),
            ("tunedModels/mine", "/v1beta/tunedModels/mine:generateContent"),
        ] {
            let url = url(model).unwrap();
            assert_eq!((url.path(), url.query()), (path, None));
        }
        for model in ["", "a/../b", "a//b", "."] {
            assert!(url(model).is_err(), "{model:?}");
        }
    }

    #[tokio::test]
    async fn a_secret_that_no_header_carries_is_never_sent() {
        use keyrot_core::{Blame, Classify, Effect};
        for (secret, blame, effect) in [
            ("", Blame::Caller, Effect::Fail),
            ("a\nb", Blame::Key, Effect::KeyRejected),
            ("ключ", Blame::Key, Effect::KeyRejected),
        ] {
            let outcome = client().models(&SecretString::from(secret)).await.unwrap_err().outcome();
            assert_eq!((outcome.blame, outcome.effect), (blame, effect), "{}", outcome.detail);
        }
    }
}
