//! Bodies of requests. What a handler left of one is read and thrown away before the answer: a client on HTTP/1.1 that
//! still sends does not read an answer, and h2 ends a connection on which too much arrives for streams that were answered.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::activity::Activity;

/// For the next piece of what is thrown away: a client that waits for the answer sends none.
const PATIENCE: Duration = Duration::from_secs(1);
/// For all of it.
const LONGEST: Duration = Duration::from_secs(10);

/// What a handler did not read.
#[derive(Default)]
pub(super) struct Unread(Arc<Mutex<Option<Seen>>>);

impl Unread {
    /// A body for a handler. With `expects` the client sends it only when it is read (RFC 9110 section 10.1.1).
    pub(super) fn watch(&self, body: Incoming, expects: bool, activity: &Arc<Activity>) -> BoxBody<Bytes, io::Error> {
        let told = body.size_hint().exact().is_some();
        let body = Seen { body, activity: told.then(|| Arc::clone(activity)) };
        Watched { body: Some(body), wanted: !expects, unread: Arc::clone(&self.0) }.boxed()
    }

    /// Reads the rest of it, when the handler has dropped it.
    pub(super) async fn discard(self) {
        let body = self.0.lock().take();
        let Some(mut body) = body else { return };
        let rest = async { while let Ok(Some(Ok(_))) = timeout(PATIENCE, body.frame()).await {} };
        // Who sends longer than that has to live without an answer.
        let _ = timeout(LONGEST, rest).await;
    }
}

/// A body whose bytes are seen where its length was told.
struct Seen {
    body: Incoming,
    activity: Option<Arc<Activity>>,
}

impl Body for Seen {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(activity)) = (&polled, &self.activity) {
            activity.body(frame.data_ref().map_or(&[], |bytes| bytes));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Watched {
    /// Until its end.
    body: Option<Seen>,
    /// Whether the client sends it.
    wanted: bool,
    unread: Arc<Mutex<Option<Seen>>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.wanted = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled.map_err(io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| self.wanted && !body.is_end_stream()) {
            *self.unread.lock() = Some(body);
        }
    }
}
