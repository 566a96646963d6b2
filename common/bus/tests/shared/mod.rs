//! What tests of every bus need: handlers, and waiting for what must become so.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::{Handler, Incoming, Meta};
use arborgate_contracts::{ServiceError, Subject};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// How long anything may take here; a test fails when it is over.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A handler from a function.
struct Answer<F>(F);

#[async_trait]
impl<F> Handler for Answer<F>
where
    F: Fn(Incoming) -> BoxFuture<'static, Result<Bytes, ServiceError>> + Send + Sync + 'static,
{
    async fn handle(&self, request: Incoming) -> Result<Bytes, ServiceError> {
        (self.0)(request).await
    }
}

/// Answers by an asynchronous function.
pub(crate) fn handler<F, R>(answer: F) -> Arc<dyn Handler>
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Bytes, ServiceError>> + Send + 'static,
{
    Arc::new(Answer(move |request| -> BoxFuture<'static, _> { Box::pin(answer(request)) }))
}

/// Answers with what was sent.
pub(crate) fn echo() -> Arc<dyn Handler> {
    handler(|request| async move { Ok(request.payload) })
}

pub(crate) fn subject(name: &str) -> Subject {
    Subject::test(&[name])
}

/// Time enough for an answer that comes.
pub(crate) fn soon() -> Meta {
    Meta::within(PATIENCE)
}

/// The future's outcome; the test fails when it does not come.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing happened in time")
}

/// Asks until it is so; the test fails when it does not become so.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let becoming = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, becoming).await.is_ok(), "never so: {what}");
}
