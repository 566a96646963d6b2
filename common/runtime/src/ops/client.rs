//! Asks an operations listener, for `arborgate health` and tests. Not a general client: one plain GET, a bounded answer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::Error;

const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// What a listener answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// Gets `path` from `addr`.
///
/// # Errors
/// [`Error::AskTimeout`] where all of it takes longer than `timeout`, else [`Error::Ask`].
pub async fn ask(addr: SocketAddr, path: &str, timeout: Duration) -> Result<Answer, Error> {
    match tokio::time::timeout(timeout, get(addr, path)).await {
        Ok(answer) => answer.map_err(|source| Error::Ask { addr, source }),
        Err(_) => Err(Error::AskTimeout { addr, timeout }),
    }
}

async fn get(addr: SocketAddr, path: &str) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::get(path).header(HOST, addr.to_string()).body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let content_type = response.headers().get(http::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), BODY_LIMIT).collect().await?.to_bytes();
        Ok(Answer { status, content_type, body })
    };
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // the connection may end with the answer already read
        _ = connection => exchange.await,
    }
}
