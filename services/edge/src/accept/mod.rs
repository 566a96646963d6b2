//! The edge's own accept loop, for poem's arms no time limits: TLS, caps on connections, and each connection served
//! until it ends or the server drains.

mod activity;
mod body;
mod caps;
mod connection;
mod redirect;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arborgate_runtime::tls::Reloader;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use caps::Caps;
pub use redirect::redirect;
pub use unix::OperatorSocket;

use crate::config::Connections;
use crate::front::Front;
use crate::front::address::Peer;
use connection::Serving;

/// What connections share.
#[derive(Clone)]
pub struct Listener {
    /// Answers requests.
    pub front: Arc<Front>,
    /// Time limits and caps.
    pub config: Arc<Connections>,
    /// Ends accepting, and drains connections.
    pub stop: CancellationToken,
    /// Connections under way.
    pub tasks: TaskTracker,
}

/// TLS with the certificate of the moment: HTTP/2 and HTTP/1.1.
pub fn tls(reloader: &Reloader) -> Result<Arc<ServerConfig>, arborgate_runtime::Error> {
    reloader.server_config(&[b"h2", b"http/1.1"]).map(Arc::new)
}

/// Accepts until told to stop. Without TLS the connections are plain.
pub async fn serve(listener: TcpListener, tls: Option<Arc<ServerConfig>>, shared: Listener) {
    let acceptor = tls.map(TlsAcceptor::from);
    let caps = Caps::new(shared.config.most, shared.config.most_by_address);
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(permit) = caps.admit(address.ip()) else {
                    tracing::debug!(%address, "refused a connection: too many");
                    continue;
                };
                let (shared, acceptor) = (shared.clone(), acceptor.clone());
                let tasks = shared.tasks.clone();
                tasks.spawn(async move {
                    let _permit = permit;
                    connect(stream, address, acceptor, shared).await;
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Out of files or memory, accepting again at once would spin.
async fn pause_after(error: &io::Error) {
    let passing = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    );
    if !passing {
        tracing::warn!(%error, "accepting connections fails");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn connect(stream: tokio::net::TcpStream, address: SocketAddr, acceptor: Option<TlsAcceptor>, shared: Listener) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let serving = Serving { shared, peer: Peer::Address(address), secure: acceptor.is_some() };
    let Some(acceptor) = acceptor else { return serving.run(stream).await };
    let limit = *serving.shared.config.handshake_timeout;
    match tokio::time::timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serving.run(stream).await,
        Ok(Err(error)) => tracing::debug!(%address, %error, "a TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "a TLS handshake took too long"),
    }
}
