//! The load of `cargo xtask bench edge`: one request again and again over keep-alive connections with TLS, as cheap for
//! the client as can be. Prints one JSON line.
//!
//! `load CA ADDRESS CONNECTIONS SECONDS [TOKEN]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench's client, not a service"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const BODY: &str = r#"{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}"#;

struct Outcome {
    latencies: Vec<Duration>,
    failures: u64,
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (ca, address, connections) = (&args[1], args[2].clone(), args[3].parse::<usize>().unwrap());
    let length = Duration::from_secs_f64(args[4].parse().unwrap());
    let authorization = args.get(5).map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request: Arc<str> = format!(
        "POST /predict HTTP/1.1\r\nHost: localhost\r\n{authorization}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
    .into();
    arborgate_runtime::tls::install_provider().unwrap();
    let mut config = arborgate_runtime::tls::client_config(Path::new(ca)).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let (connector, address, request) = (connector.clone(), address.clone(), Arc::clone(&request));
            tokio::spawn(async move { connection(connector, &address, &request, begun + length).await })
        })
        .collect();
    let (mut latencies, mut failures) = (Vec::new(), 0);
    for task in tasks {
        let outcome = task.await.unwrap();
        latencies.extend(outcome.latencies);
        failures += outcome.failures;
    }
    latencies.sort();
    let at = |share: f64| {
        latencies.get(((latencies.len() as f64 - 1.0) * share) as usize).map_or(0.0, |l| l.as_secs_f64() * 1e6)
    };
    println!(
        "{{\"requests\":{},\"failures\":{failures},\"seconds\":{},\"p50_us\":{:.0},\"p99_us\":{:.0}}}",
        latencies.len(),
        begun.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99)
    );
}

async fn connection(connector: TlsConnector, address: &str, request: &str, end: Instant) -> Outcome {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let mut outcome = Outcome { latencies: Vec::new(), failures: 0 };
    let mut buffer = vec![0; 8192];
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server closed a connection");
            filled += read;
            if let Some(whole) = whole(&buffer[..filled]) {
                assert_eq!(whole, filled, "an answer was followed by more");
                break;
            }
        }
        outcome.latencies.push(sent.elapsed());
        if !buffer.starts_with(b"HTTP/1.1 200") {
            outcome.failures += 1;
        }
    }
    outcome
}

/// The length of the answer, when its headers are there and say it.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
    (bytes.len() >= head + length).then_some(head + length)
}
