//! One connection: HTTP/1.1 or HTTP/2, with time limits on headers and on idling, drained when the server stops.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use poem::Addr;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Listener;
use super::activity::{Activity, Observed};
use super::body::Unread;
use crate::front::address::Peer;

/// Time limits are looked at no more often than this.
const LOOK: Duration = Duration::from_millis(50);

/// A connection that is about to be served.
pub(super) struct Serving {
    /// What all share.
    pub shared: Listener,
    /// Who.
    pub peer: Peer,
    /// Whether over TLS.
    pub secure: bool,
}

impl Serving {
    /// Serves it to its end.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Self { shared, peer, secure } = self;
        let activity = Activity::new();
        let service = {
            let (shared, activity) = (shared.clone(), Arc::clone(&activity));
            service_fn(move |request: http::Request<Incoming>| {
                let (shared, under_way, unread) = (shared.clone(), activity.begin(), Unread::default());
                let request = convert(request, &unread, &activity, peer, secure);
                async move {
                    let _under_way = under_way;
                    let response = shared.front.answer(request, &peer).await;
                    unread.discard().await;
                    Ok::<_, Infallible>(hyper::Response::from(response))
                }
            })
        };
        let builder = builder(&shared);
        let stream = TokioIo::new(Observed { stream, activity: Arc::clone(&activity) });
        let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
        let (head_limit, idle_limit) = (*shared.config.header_timeout, *shared.config.idle_timeout);
        let mut look = tokio::time::interval((idle_limit.min(head_limit) / 4).max(LOOK));
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
                _ = look.tick() => {
                    if activity.head_for() >= head_limit {
                        tracing::debug!("a request's headers took too long");
                        return;
                    }
                    if !draining && activity.idle_for() >= idle_limit {
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
    // No timer: hyper has limits of its own only with one. Ours are in `activity`. Answers are small: one write is cheaper
    // than one of several pieces. Not `pipeline_flush`: with it no answer is sent while anything of a next request is read.
    // A head that can not be read hyper answers by itself (400, 414, 431), with no body and no header of ours, and closes.
    builder.http1().max_buf_size(64 << 10).writev(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.config.streams)
        .max_header_list_size(32 << 10)
        .max_pending_accept_reset_streams(Some(32))
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(*shared.config.header_timeout);
    builder
}

fn convert(
    request: http::Request<Incoming>,
    unread: &Unread,
    activity: &Arc<Activity>,
    peer: Peer,
    secure: bool,
) -> poem::Request {
    let socket = match peer {
        Peer::Address(address) => address,
        Peer::Operator => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let scheme = if secure { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
    let (local, remote) = (LocalAddr(Addr::SocketAddr(socket)), RemoteAddr(Addr::SocketAddr(socket)));
    let (parts, body) = request.into_parts();
    let body = unread.watch(body, parts.headers.contains_key(http::header::EXPECT), activity);
    poem::Request::from_parts((parts, local, remote, scheme).into(), body.into())
}
