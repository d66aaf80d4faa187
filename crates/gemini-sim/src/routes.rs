//! Gemini's addresses: generateContent, streamGenerateContent, countTokens and the model lists.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;

use crate::bodies::{self, JSON, Refusal};
use crate::call::{Call, Credential, Operation};
use crate::control;
use crate::lists;
use crate::request::{self, Request};
use crate::server::Service;
use crate::stream;
use crate::verdict::{Reply, Verdict};
use crate::wire::Cutter;

/// Google's own bound for a request.
const LARGEST_BODY: usize = 20 * 1024 * 1024;

pub(crate) fn router(service: Service) -> Router {
    let models = Router::new()
        .route("/models", get(list_models))
        .route("/models/{call}", post(call_model).get(get_model))
        .layer(DefaultBodyLimit::max(LARGEST_BODY));
    Router::new()
        .nest("/v1", models.clone())
        .nest("/v1beta", models)
        .nest("/sim", control::router())
        .fallback(unknown_address)
        .with_state(service)
}

/// The parameters that matter.
#[derive(Debug, Deserialize)]
struct Parameters {
    key: Option<String>,
    alt: Option<String>,
    #[serde(rename = "pageSize")]
    page_size: Option<usize>,
    #[serde(rename = "pageToken")]
    page_token: Option<String>,
}

type Arrival = (State<Service>, Extension<ConnectInfo<Cutter>>, Query<Parameters>, HeaderMap);

async fn call_model(arrival: Arrival, Path(call): Path<String>, body: Bytes) -> Response {
    let (State(service), Extension(ConnectInfo(cutter)), Query(parameters), headers) = arrival;
    let operation = match call.rsplit_once(':') {
        Some((_, "generateContent")) => Operation::Generate,
        Some((_, "streamGenerateContent")) => Operation::Stream,
        Some((_, "countTokens")) => Operation::CountTokens,
        _ => return unknown_address().await,
    };
    let model = call.rsplit_once(':').map_or(call.as_str(), |(model, _)| model);
    let read = if operation == Operation::CountTokens { request::counting } else { request::generation };
    let (request, invalid) = match read(&body) {
        Ok(request) => (request, None),
        Err(refusal) => (Request::default(), Some(refusal)),
    };
    let input_tokens = request.input_tokens;
    let verdict = arrive(&service, |now_ms, engine| {
        let call = Call {
            credential: credential(&headers, &parameters),
            model,
            operation,
            input_tokens,
            prompt: Cow::Owned(request.prompt),
            system: Cow::Owned(request.system),
            max_output_tokens: request.max_output_tokens,
            schema: request.schema,
            invalid,
        };
        engine.arrive(now_ms, &call)
    });
    if !service.wait(verdict.latency).await {
        return cut(&cutter);
    }
    match verdict.reply {
        Reply::Answer(answer) if operation == Operation::Stream => {
            stream::events(service, *answer, verdict.chunk_latency, parameters.alt.as_deref() == Some("sse"))
        }
        Reply::Answer(answer) if answer.broken.is_some() => stream::half(service, &answer.to_json()),
        Reply::Answer(answer) => served(answer.to_json()),
        Reply::Granted => {
            let details = json!([{"modality": "TEXT", "tokenCount": input_tokens}]);
            served(json!({"totalTokens": input_tokens, "promptTokensDetails": details}).to_string())
        }
        Reply::Refused(refusal) => refused(refusal),
        Reply::Cut => cut(&cutter),
    }
}

async fn list_models(arrival: Arrival) -> Response {
    let (State(service), Extension(ConnectInfo(cutter)), Query(parameters), headers) = arrival;
    let verdict = look(&service, &headers, &parameters, "", Operation::ListModels);
    let page = lists::page(service.engine().models(), parameters.page_size, parameters.page_token.as_deref());
    finish(&service, &cutter, verdict, page).await
}

async fn get_model(arrival: Arrival, Path(name): Path<String>) -> Response {
    let (State(service), Extension(ConnectInfo(cutter)), Query(parameters), headers) = arrival;
    let verdict = look(&service, &headers, &parameters, &name, Operation::GetModel);
    let entry = service.engine().model(&name).map(lists::entry);
    // Without an entry the verdict is a 404 already.
    finish(&service, &cutter, verdict, Ok(entry.unwrap_or_default())).await
}

/// The verdict on a call without a body.
fn look(
    service: &Service,
    headers: &HeaderMap,
    parameters: &Parameters,
    model: &str,
    operation: Operation,
) -> Verdict {
    let call = Call {
        credential: credential(headers, parameters),
        ..Call::generate("", model, "").operation(operation)
    };
    arrive(service, |now_ms, engine| engine.arrive(now_ms, &call))
}

async fn finish(
    service: &Service,
    cutter: &Cutter,
    verdict: Verdict,
    body: Result<serde_json::Value, Refusal>,
) -> Response {
    if !service.wait(verdict.latency).await {
        return cut(cutter);
    }
    match (verdict.reply, body) {
        (Reply::Refused(refusal), _) | (_, Err(refusal)) => refused(refusal),
        (Reply::Cut, _) => cut(cutter),
        (Reply::Answer(_) | Reply::Granted, Ok(body)) => served(body.to_string()),
    }
}

/// Clock and engine under one lock, so that arrivals are in the order of their times.
fn arrive(service: &Service, decide: impl FnOnce(u64, &mut crate::engine::Engine) -> Verdict) -> Verdict {
    let mut engine = service.engine();
    decide(service.clock.now_ms(), &mut engine)
}

fn credential<'a>(headers: &'a HeaderMap, parameters: &'a Parameters) -> Credential<'a> {
    let header = headers.get("x-goog-api-key").map(|value| value.to_str().unwrap_or_default());
    let bearer = headers.get(header::AUTHORIZATION).is_some();
    match (header, parameters.key.as_deref(), bearer) {
        (None, None, false) => Credential::Missing,
        (Some(secret), None, false) => Credential::Header(secret),
        (None, Some(secret), false) => Credential::Url(secret),
        (None, None, true) => Credential::Bearer,
        _ => Credential::Several,
    }
}

fn served(body: String) -> Response {
    let mut response = refused(Refusal { status: 200, content_type: JSON.to_owned(), body });
    response.headers_mut().insert("x-gemini-service-tier", HeaderValue::from_static("standard"));
    response
}

fn refused(refusal: Refusal) -> Response {
    let mut response = Response::new(Body::from(refusal.body));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_str(&refusal.content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(JSON)));
    response
}

/// Whatever is answered now is never written.
fn cut(cutter: &Cutter) -> Response {
    cutter.cut();
    Response::new(Body::empty())
}

async fn unknown_address() -> Response {
    refused(bodies::refusal(404, "Requested entity was not found.", Vec::new()))
}
