//! The plain listener, which only redirects to HTTPS.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::{Caps, Listener, pause_after};
use crate::front::security;

/// A connection is for one redirect; none lives longer.
const LONGEST: Duration = Duration::from_secs(10);

/// Accepts until told to stop; redirects to the same host at `port`.
pub async fn redirect(listener: TcpListener, port: u16, shared: Listener) {
    let caps = Caps::new(shared.config.most, shared.config.most_by_address);
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Some(permit) = caps.admit(address.ip()) else { continue };
        shared.tasks.spawn(async move {
            let _permit = permit;
            let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request, port)) });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(LONGEST).keep_alive(false);
            // Whatever becomes of it, nothing is lost.
            let _ = tokio::time::timeout(LONGEST, builder.serve_connection(TokioIo::new(stream), service)).await;
        });
    }
}

fn answer<B>(request: &Request<B>, port: u16) -> Response<Empty<Bytes>> {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let target = host.and_then(|host| location(host, request.uri().path_and_query().map_or("/", |p| p.as_str()), port));
    let mut response = Response::new(Empty::new());
    match target {
        Some(target) => {
            // 308 keeps the method; a client that sent a secret in the open is told nothing else.
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(header::LOCATION, target);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    // Over plain HTTP browsers ignore HSTS.
    security::write(response.headers_mut(), false);
    response
}

fn location(host: &str, path: &str, port: u16) -> Option<HeaderValue> {
    let authority: http::uri::Authority = host.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{}{port}{path}", authority.host())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_answers_have_security_headers() {
        for (host, status) in [("example.org", StatusCode::PERMANENT_REDIRECT), ("a b", StatusCode::BAD_REQUEST)] {
            let response = answer(&Request::builder().header(header::HOST, host).body(()).unwrap(), 443);
            assert_eq!(response.status(), status);
            for name in ["x-content-type-options", "x-frame-options", "content-security-policy", "cache-control"] {
                assert!(response.headers().contains_key(name), "{name}");
            }
            assert!(!response.headers().contains_key(header::STRICT_TRANSPORT_SECURITY));
        }
    }

    #[test]
    fn it_goes_to_the_same_host_and_path() {
        let to = |host, path, port| location(host, path, port).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(to("example.org:80", "/a?b=c", 443).unwrap(), "https://example.org/a?b=c");
        assert_eq!(to("[::1]", "/", 8443).unwrap(), "https://[::1]:8443/");
        assert!(to("user@evil.example", "/", 443).is_none());
        assert!(to("a b", "/", 443).is_none());
    }
}
