//! When a connection last did something, as seen from its requests and its bytes. hyper's own limit on headers runs
//! from the end of the request before, and so would end connections that only rest.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// With what HTTP/2 begins (RFC 9113 section 3.4), as much as HTTP/1.1 never begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2";
/// No head is under way.
const NONE: u64 = u64::MAX;

/// Of one connection.
pub(super) struct Activity {
    born: Instant,
    requests: AtomicUsize,
    /// Milliseconds from the birth to the last request's end.
    rested_at: AtomicU64,
    /// Milliseconds from the birth to the first byte of the head that is under way. The first head is from the birth on.
    head_at: AtomicU64,
    http2: AtomicBool,
}

/// A request under way.
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.rested_at.store(self.0.now(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            requests: AtomicUsize::new(0),
            rested_at: AtomicU64::new(0),
            head_at: AtomicU64::new(0),
            http2: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn since(&self, at: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(at.load(Ordering::Relaxed)))
    }

    /// A head was read whole.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.head_at.store(NONE, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// How long no request has been under way.
    pub(super) fn idle_for(&self) -> Duration {
        if self.requests.load(Ordering::Relaxed) > 0 { Duration::ZERO } else { self.since(&self.rested_at) }
    }

    /// How long a head has been under way; HTTP/2 bounds its own.
    pub(super) fn head_for(&self) -> Duration {
        if self.http2.load(Ordering::Relaxed) { Duration::ZERO } else { self.since(&self.head_at) }
    }

    fn read(&self, bytes: &[u8]) {
        if self.requests.load(Ordering::Relaxed) > 0 || self.http2.load(Ordering::Relaxed) {
            return;
        }
        match self.head_at.load(Ordering::Relaxed) {
            NONE => self.head_at.store(self.now(), Ordering::Relaxed),
            0 if bytes.starts_with(PREFACE) => self.http2.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// A stream whose bytes are seen.
pub(super) struct Observed<S> {
    pub(super) stream: S,
    pub(super) activity: Arc<Activity>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if let Some(new) = buffer.filled().get(before..).filter(|new| !new.is_empty()) {
            self.activity.read(new);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
