//! Getting a key as it is seen from outside: its span, and how long it took.

use std::future::Future;
use std::pin::Pin;

use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::error::AcquireError;
use crate::key::ModelName;
use crate::lease::KeyLease;
use crate::measured::Waiting;
use crate::pool::KeyPool;
use crate::request::KeyRequest;

/// Somebody asks for a key.
pub(crate) struct Observed {
    span: Span,
    waiting: Waiting,
}

impl KeyPool {
    pub(crate) fn observe(&self, request: &KeyRequest) -> Observed {
        let model = request.model.as_ref().map(ModelName::as_str);
        let tokens = request.input_tokens;
        Observed {
            span: tracing::debug_span!(
                "keyrot.acquire",
                gen_ai.request.model = model,
                tokens,
                key_id = Empty
            ),
            waiting: Waiting::begin(&self.inner.clock),
        }
    }
}

impl Observed {
    /// Until the key is there, or it is known that there is none for now. `work` stays where it is: it is large, and
    /// this is the path of every call.
    pub(crate) async fn until(
        self,
        work: Pin<&mut impl Future<Output = Result<KeyLease, AcquireError>>>,
    ) -> Result<KeyLease, AcquireError> {
        let got = work.instrument(self.span.clone()).await;
        if let Ok(lease) = &got {
            self.span.record("key_id", lease.key_id().as_str());
        }
        self.waiting.over();
        got
    }
}
