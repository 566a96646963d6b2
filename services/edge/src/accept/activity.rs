//! When a connection last did something, as seen from its requests and its bytes. hyper's own limit on headers runs
//! from the end of the request before, and so would end connections that only rest.
//!
//! A head may begin in the same read as the request before ended, and hyper does not tell what of a read it has not used.
//! So the last bytes read are held against those that the request ended with: when they are others, a head has begun.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
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
    /// The last eight bytes that were read.
    tail: AtomicU64,
    /// The last bytes of the body of the request under way, and how many: 0 where it ends with an empty line.
    end: AtomicU64,
    end_len: AtomicU32,
}

/// A request under way.
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let now = self.0.now();
        self.0.rested_at.store(now, Ordering::Relaxed);
        if self.0.is_begun() {
            self.0.head_at.store(now, Ordering::Relaxed);
        }
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
            tail: AtomicU64::new(0),
            end: AtomicU64::new(0),
            end_len: AtomicU32::new(0),
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
        self.end_len.store(0, Ordering::Relaxed);
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

    /// A piece of a body whose length was told; any other ends with an empty line.
    pub(super) fn body(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.end.store(last(0, bytes), Ordering::Relaxed);
            self.end_len.store(u32::try_from(bytes.len()).unwrap_or(8).min(8), Ordering::Relaxed);
        }
    }

    /// Whether a head begins in what was read with the request under way.
    fn is_begun(&self) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        let whole = match self.end_len.load(Ordering::Relaxed) {
            0 => tail & 0xff_ffff == 0x0a_0d_0a || tail & 0xffff == 0x0a_0a,
            len => (tail ^ self.end.load(Ordering::Relaxed)) << (64 - 8 * len.min(8)) == 0,
        };
        !whole && !self.http2.load(Ordering::Relaxed)
    }

    fn read(&self, bytes: &[u8]) {
        if self.http2.load(Ordering::Relaxed) {
            return;
        }
        self.tail.store(last(self.tail.load(Ordering::Relaxed), bytes), Ordering::Relaxed);
        if self.requests.load(Ordering::Relaxed) > 0 {
            return;
        }
        match self.head_at.load(Ordering::Relaxed) {
            NONE => self.head_at.store(self.now(), Ordering::Relaxed),
            0 if bytes.starts_with(PREFACE) => self.http2.store(true, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// The last eight bytes of `before` with `bytes` after it.
fn last(before: u64, bytes: &[u8]) -> u64 {
    match bytes.last_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => bytes.iter().fold(before, |tail, byte| tail << 8 | u64::from(*byte)),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a head is under way after `reads` brought a request whose body was `body`.
    fn begun(reads: &[&[u8]], body: Option<&[u8]>) -> bool {
        let activity = Activity::new();
        reads.iter().for_each(|bytes| activity.read(bytes));
        let under_way = activity.begin();
        body.into_iter().for_each(|bytes| activity.body(bytes));
        drop(under_way);
        activity.head_at.load(Ordering::Relaxed) != NONE
    }

    #[test]
    fn a_head_that_came_with_the_request_before_has_begun() {
        for whole in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET / HTTP/1.1\n\n", b"GET / HTTP/1.1\r\n\r\n\r\n"] {
            assert!(!begun(&[whole], None));
            assert!(begun(&[whole, b"G"], None));
        }
        assert!(begun(&[b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n"], None));
        let head = b"POST / HTTP/1.1\r\n\r\n";
        for body in [&b"{}"[..], b"longer than eight bytes", b"x"] {
            assert!(!begun(&[head, body], Some(body)));
            assert!(!begun(&[head.iter().chain(body).copied().collect::<Vec<_>>().as_slice()], Some(body)));
            assert!(begun(&[head, body, b"GET"], Some(body)));
        }
    }

    #[test]
    fn bytes_of_http2_begin_no_head() {
        assert!(!begun(&[PREFACE, b"0123"], Some(b"x")));
    }
}
