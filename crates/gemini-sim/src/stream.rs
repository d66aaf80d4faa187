//! Replies that arrive piece by piece, and those that break off.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;

use crate::answer::{Answer, Break};
use crate::bodies::JSON;
use crate::server::Service;

/// A piece of a body, or its sudden end.
enum Piece {
    Text(String),
    Cut,
}

/// The answer as server-sent events, or without `alt=sse` as the elements of a JSON array.
pub(crate) fn events(service: Service, answer: Answer, pause: Duration, sse: bool) -> Response {
    let frames = if sse { sse_frames(&answer) } else { array_frames(&answer) };
    let content_type = if sse { "text/event-stream" } else { JSON };
    body(service, frames, pause, content_type)
}

/// The first half of a JSON reply, then the connection is cut.
pub(crate) fn half(service: Service, json: &str) -> Response {
    let middle = json.ceil_char_boundary(json.len() / 2);
    let pieces = VecDeque::from([Piece::Text(json[..middle].to_owned()), Piece::Cut]);
    body(service, pieces, Duration::ZERO, JSON)
}

fn sse_frames(answer: &Answer) -> VecDeque<Piece> {
    let event = |json: &str| Piece::Text(format!("data: {json}\r\n\r\n"));
    let mut frames: VecDeque<Piece> = answer.to_chunks().iter().map(|json| event(json)).collect();
    frames.extend(answer.broken.as_ref().map(|broken| match broken {
        Break::Cut => Piece::Cut,
        Break::ErrorEvent(json) => event(json),
        Break::ErrorTail(json) => Piece::Text(format!("{json}\n")),
    }));
    frames
}

fn array_frames(answer: &Answer) -> VecDeque<Piece> {
    let mut elements = answer.to_chunks();
    if let Some(Break::ErrorEvent(json) | Break::ErrorTail(json)) = &answer.broken {
        elements.push(json.clone());
    }
    let mut frames: VecDeque<Piece> = elements
        .into_iter()
        .enumerate()
        .map(|(index, json)| Piece::Text(format!("{}{json}", if index == 0 { "[" } else { ",\r\n" })))
        .collect();
    frames.push_back(if answer.broken == Some(Break::Cut) {
        Piece::Cut
    } else {
        Piece::Text("]".to_owned())
    });
    frames
}

/// The first piece at once, each further one after the pause.
fn body(service: Service, pieces: VecDeque<Piece>, pause: Duration, content_type: &'static str) -> Response {
    let steps = stream::unfold((service, pieces, true), move |(service, mut pieces, first)| async move {
        let piece = pieces.pop_front()?;
        let goes_on = first || service.wait(pause).await;
        let step = match piece {
            Piece::Text(text) if goes_on => Ok(Bytes::from(text)),
            // An error makes the server close the connection without the end of the body.
            _ => {
                pieces.clear();
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
        };
        Some((step, (service, pieces, false)))
    });
    let mut response = Response::new(Body::from_stream(steps));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert("x-gemini-service-tier", HeaderValue::from_static("standard"));
    response
}
