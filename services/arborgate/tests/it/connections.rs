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

const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Refused with 401 before its body is read, and its body then read.
const PREDICT: &[u8] =
    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"sepal_length\": 5}";

/// Asks on a connection that stays.
async fn ask(stream: &mut TcpStream) {
    stream.write_all(LIVEZ).await.unwrap();
    answered(stream, 200).await;
}

/// Waits for an answer.
async fn answered(stream: &mut TcpStream, status: u16) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        let read = stream.read_buf(&mut seen);
        assert!(timeout(LIMIT, read).await.unwrap().unwrap() > 0, "closed: {}", String::from_utf8_lossy(&seen));
    }
    assert!(seen.starts_with(format!("HTTP/1.1 {status}").as_bytes()), "{}", String::from_utf8_lossy(&seen));
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
fn a_head_that_comes_with_the_request_before_has_its_time_as_well() {
    run(async {
        let server = Plain::start("500ms", "10m").await;
        let mut resting = server.connect().await;
        resting.write_all(PREDICT).await.unwrap();
        answered(&mut resting, 401).await;
        for (request, status) in [(LIVEZ, 200), (PREDICT, 401)] {
            let mut stream = server.connect().await;
            stream.write_all(&[request, b"GET /livez HT"].concat()).await.unwrap();
            answered(&mut stream, status).await;
            closed(stream).await;
        }
        ask(&mut resting).await;
    });
}

/// RFC 9112 section 2.2 asks servers to bear an empty line after a request; a pipelining client sends a part of the next.
#[test]
fn an_answer_does_not_wait_for_the_rest_of_what_comes_after_its_request() {
    run(async {
        let server = Plain::start("10m", "10m").await;
        for after in ["\r\n", "\n", "GET", "GET /livez HTTP/1.1\r\nHost: loc"] {
            for (request, status) in [(LIVEZ, 200), (PREDICT, 401)] {
                let mut stream = server.connect().await;
                stream.write_all(&[request, after.as_bytes()].concat()).await.unwrap();
                answered(&mut stream, status).await;
                let rest = LIVEZ.strip_prefix(after.as_bytes()).unwrap_or(LIVEZ);
                stream.write_all(rest).await.unwrap();
                answered(&mut stream, 200).await;
            }
        }
    });
}

#[test]
fn a_head_that_can_not_be_read_is_refused() {
    run(async {
        let server = Plain::start("10m", "10m").await;
        let long = "x".repeat(66 << 10);
        let many: String = (0..200).map(|i| format!("x-{i}: y\r\n")).collect();
        for (head, statuses) in [
            ("garbage\r\n\r\n".to_owned(), &[400][..]),
            ("\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), &[400]),
            ("GET /livez HTTP/1.1\r\nbad name: x\r\n\r\n".to_owned(), &[400]),
            ("GET /livez HTTP/1.1\r\nx: a\u{0}b\r\n\r\n".to_owned(), &[400]),
            ("GET /livez HTTP/9.9\r\n\r\n".to_owned(), &[400]),
            ("POST /token HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n".to_owned(), &[400]),
            (format!("GET /livez HTTP/1.1\r\nx: {long}\r\n\r\n"), &[431]),
            (format!("GET /{long} HTTP/1.1\r\n\r\n"), &[414, 431]),
            (format!("GET /livez HTTP/1.1\r\n{many}\r\n"), &[431]),
        ] {
            let mut stream = server.connect().await;
            // What is too long is not taken to its end.
            let _ = stream.write_all(head.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
            let head = head.get(..40).unwrap_or(&head);
            assert!(status.is_some_and(|status: u16| statuses.contains(&status)), "{head:?}: {answer:?}");
        }
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
