//! Connections: how long they may take, and requests that are refused before their body was read. (That HTTP/2 bears many
//! of those, `failure` shows: while NATS is away all are.)

use std::convert::Infallible;
use std::time::Duration;

use arborgate_testkit::process::Process;
use arborgate_testkit::system::{Credential, System};
use bytes::Bytes;
use reqwest::{Body, Certificate, Client, Method};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::lifecycle::{LIMIT, READY, folder, program};
use crate::support::{on_both_buses, problem, run};

on_both_buses!(who_still_sends_hears_the_refusal);

const UPLOAD: &str = "/v1/models/never/versions/1";

/// HTTP/1.1: the client writes all of its body before it reads.
async fn who_still_sends_hears_the_refusal(system: &System) {
    let ca = Certificate::from_pem(&std::fs::read(system.ca()).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([ca]).http1_only().build().unwrap();
    let large = Bytes::from(vec![b'x'; 24 << 20]);
    let admin = system.admin().await.unwrap();
    let wrong = Credential::Bearer("a.b.c".to_owned());
    for (who, path, content_type, status) in [
        (&wrong, UPLOAD, "application/octet-stream", 401),
        (&admin, UPLOAD, "text/plain", 415),
        (&admin, "/v1/models/iris/predict", "application/json", 413),
        (&admin, "/nothing/here", "application/octet-stream", 404),
    ] {
        let pieces = large.chunks(64 << 10).map(|piece| Ok::<_, Infallible>(large.slice_ref(piece)));
        let chunked = Body::wrap_stream(futures_util::stream::iter(pieces.collect::<Vec<_>>()));
        for body in [Body::from(large.clone()), chunked] {
            let method = if path == UPLOAD { Method::PUT } else { Method::POST };
            let request = client.request(method, format!("{}{path}", system.edge(0)));
            let request = who.apply(request.header("Content-Type", content_type)).body(body);
            problem(&system.send(request).await.unwrap(), status);
        }
    }
}

/// Without TLS, so that a test sees each byte.
struct Plain {
    address: String,
    _process: Process,
    _data: TempDir,
}

impl Plain {
    async fn start(header_timeout: &str, idle_timeout: &str) -> Self {
        let data = folder();
        let program =
            program().args(["up", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--data-dir"]).arg(data.path());
        let program = program
            .env("ARBORGATE__EDGE__TLS__ENABLED", "false")
            .env("ARBORGATE__EDGE__CONNECTIONS__HEADER_TIMEOUT", header_timeout)
            .env("ARBORGATE__EDGE__CONNECTIONS__IDLE_TIMEOUT", idle_timeout);
        let mut process = program.start().unwrap();
        let address = process.until_line(READY, LIMIT).await.unwrap().trim_start_matches("http://").to_owned();
        Self { address, _process: process, _data: data }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }
}

/// Asks on a connection that stays.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        let read = stream.read_buf(&mut seen);
        assert!(timeout(LIMIT, read).await.unwrap().unwrap() > 0, "closed: {}", String::from_utf8_lossy(&seen));
    }
    assert!(seen.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&seen));
}

/// Waits until the server closes a connection.
async fn closed(mut stream: TcpStream) {
    let read = timeout(LIMIT, stream.read_to_end(&mut Vec::new())).await.unwrap();
    assert!(!matches!(read, Ok(1..)), "an answer to no request");
}

#[test]
fn headers_that_do_not_come_end_a_connection_and_rest_does_not() {
    run(async {
        let server = Plain::start("500ms", "10m").await;
        let (silent, mut half, mut slow, mut second, mut resting) = (
            server.connect().await,
            server.connect().await,
            server.connect().await,
            server.connect().await,
            server.connect().await,
        );
        half.write_all(b"GET /livez HTTP/1.1\r\nHost: ").await.unwrap();
        ask(&mut second).await;
        second.write_all(b"GET /li").await.unwrap();
        ask(&mut resting).await;
        // A byte at a time, until it is not taken any more.
        let drip = async {
            while slow.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LIMIT, drip).await.unwrap();
        for stream in [silent, half, second] {
            closed(stream).await;
        }
        // Its rest was longer than the limit that ended the others.
        ask(&mut resting).await;
    });
}

#[test]
fn a_connection_that_rests_too_long_is_closed() {
    run(async {
        let server = Plain::start("10m", "500ms").await;
        let mut stream = server.connect().await;
        ask(&mut stream).await;
        closed(stream).await;
    });
}
