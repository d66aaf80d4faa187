//! The control address `/sim/`: the record, the faults, the books.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::attempt::Attempt;
use crate::fault::Fault;
use crate::server::Service;

pub(crate) fn router() -> Router<Service> {
    Router::new()
        .route("/attempts", get(attempts))
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/reset", post(reset))
        .route("/state", get(state))
}

#[derive(Debug, Deserialize)]
struct Since {
    /// Only attempts with this number or a later one.
    #[serde(default)]
    since: u64,
}

#[derive(Serialize)]
struct Attempts<'a> {
    attempts: Vec<&'a Attempt>,
    /// How many are no longer kept.
    forgotten: u64,
}

async fn attempts(State(service): State<Service>, Query(Since { since }): Query<Since>) -> Response {
    let engine = service.engine();
    let attempts = engine.attempts().filter(|attempt| attempt.number >= since).collect();
    json_reply(StatusCode::OK, &Attempts { attempts, forgotten: engine.forgotten() })
}

async fn add_fault(State(service): State<Service>, body: Bytes) -> Response {
    let fault: Fault = match serde_json::from_slice(&body) {
        Ok(fault) => fault,
        Err(error) => return problem(&error.to_string()),
    };
    match service.engine().add_fault(fault) {
        Ok(()) => json_reply(StatusCode::OK, &json!({})),
        Err(error) => problem(&error),
    }
}

async fn clear_faults(State(service): State<Service>) -> Response {
    service.engine().clear_faults();
    json_reply(StatusCode::OK, &json!({}))
}

async fn reset(State(service): State<Service>) -> Response {
    service.engine().reset(service.clock.now_ms());
    json_reply(StatusCode::OK, &json!({}))
}

async fn state(State(service): State<Service>) -> Response {
    let state = service.engine().state(service.clock.now_ms());
    json_reply(StatusCode::OK, &state)
}

fn problem(text: &str) -> Response {
    json_reply(StatusCode::BAD_REQUEST, &json!({"error": format!("not a fault: {text}")}))
}

fn json_reply(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
