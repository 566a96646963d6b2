//! One connection: HTTP/1.1 or HTTP/2, with time limits on headers and on idling, drained when the server stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::Addr;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Listener;
use super::body::Unread;
use crate::front::address::Peer;

/// A connection that is about to be served.
pub(super) struct Serving {
    /// What all share.
    pub shared: Listener,
    /// Who.
    pub peer: Peer,
    /// Whether over TLS.
    pub secure: bool,
}

/// When a connection last did something.
struct Activity {
    born: Instant,
    under_way: AtomicUsize,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Arc<Self> {
        Arc::new(Self { born: Instant::now(), under_way: AtomicUsize::new(0), last_ms: AtomicU64::new(0) })
    }

    fn touch(&self) {
        let ms = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    fn idle_for(&self) -> Duration {
        if self.under_way.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.born.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.touch();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Serving {
    /// Serves it to its end.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Self { shared, peer, secure } = self;
        let activity = Activity::new();
        let service = {
            let (shared, activity) = (shared.clone(), Arc::clone(&activity));
            service_fn(move |request: http::Request<Incoming>| {
                let (shared, under_way) = (shared.clone(), activity.begin());
                async move {
                    let _under_way = under_way;
                    let unread = Unread::default();
                    let request = convert(request, &unread, peer, secure, shared.sizes);
                    let response = shared.front.answer(request, &peer).await;
                    unread.discard().await;
                    Ok::<_, Infallible>(hyper::Response::from(response))
                }
            })
        };
        let builder = builder(&shared);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let idle_limit = *shared.config.idle_timeout;
        let mut look = tokio::time::interval((idle_limit / 4).max(Duration::from_millis(50)));
        let mut draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = shared.stop.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = look.tick(), if !draining => {
                    if activity.idle_for() >= idle_limit {
                        draining = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }
}

fn builder(shared: &Listener) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let headers = *shared.config.header_timeout;
    builder.http1().timer(TokioTimer::new()).header_read_timeout(headers).max_buf_size(64 << 10).pipeline_flush(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.config.streams)
        .max_header_list_size(32 << 10)
        .max_pending_accept_reset_streams(Some(32))
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(headers);
    builder
}

fn convert(
    request: http::Request<Incoming>,
    unread: &Unread,
    peer: Peer,
    secure: bool,
    sizes: crate::BodySizes,
) -> poem::Request {
    let socket = match peer {
        Peer::Address(address) => address,
        Peer::Operator => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let scheme = if secure { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
    let (local, remote) = (LocalAddr(Addr::SocketAddr(socket)), RemoteAddr(Addr::SocketAddr(socket)));
    let (parts, body) = request.into_parts();
    let body = unread.watch(body, parts.headers.contains_key(http::header::EXPECT));
    let mut request = poem::Request::from_parts((parts, local, remote, scheme).into(), body.into());
    request.extensions_mut().insert(sizes);
    request
}
