//! The load of `cargo xtask bench edge` and `bench serve`: one request again and again over keep-alive connections, as cheap
//! for the client as can be. Prints one JSON line.
//!
//! `load ADDRESS CONNECTIONS SECONDS [--ca FILE] [--token TOKEN] [--path PATH] [--header 'NAME: VALUE']… [--body FILE]`;
//! without `--ca` in the open.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench's client, not a service"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const BODY: &[u8] = br#"{"sepal_length":5.1,"sepal_width":3.5,"petal_length":1.4,"petal_width":0.2}"#;
const JSON: &str = "Content-Type: application/json";

/// One answer.
struct Answer {
    ended: Instant,
    took: Duration,
    /// Milliseconds that the server says it computed, where it says so.
    computed: f64,
}

#[derive(Default)]
struct Outcome {
    answers: Vec<Answer>,
    failures: u64,
}

struct Options {
    address: String,
    connections: usize,
    length: Duration,
    ca: Option<PathBuf>,
    request: Arc<[u8]>,
}

impl Options {
    fn read() -> Self {
        let mut args = std::env::args().skip(1);
        let (address, connections, seconds) = (args.next().unwrap(), args.next().unwrap(), args.next().unwrap());
        let (mut ca, mut path, mut headers, mut body) = (None, "/predict".to_owned(), Vec::new(), BODY.to_vec());
        while let Some(name) = args.next() {
            let value = args.next().unwrap();
            match name.as_str() {
                "--ca" => ca = Some(value.into()),
                "--token" => headers.push(format!("Authorization: Bearer {value}")),
                "--path" => path = value,
                "--header" => headers.push(value),
                "--body" => body = std::fs::read(value).unwrap(),
                other => panic!("{other} is no option"),
            }
        }
        if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-type:")) {
            headers.push(JSON.to_owned());
        }
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Length: {length}\r\n\r\n",
            headers.join("\r\n")
        );
        let request = [head.as_bytes(), &body].concat().into();
        let length = Duration::from_secs_f64(seconds.parse().unwrap());
        Self { address, connections: connections.parse().unwrap(), length, ca, request }
    }
}

#[tokio::main]
async fn main() {
    let options = Options::read();
    let connector = options.ca.as_ref().map(|ca| {
        arborgate_runtime::tls::install_provider().unwrap();
        let mut config = arborgate_runtime::tls::client_config(ca).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    });
    let begun = Instant::now();
    let end = begun + options.length;
    let tasks: Vec<_> = (0..options.connections)
        .map(|_| {
            let (connector, address, request) =
                (connector.clone(), options.address.clone(), Arc::clone(&options.request));
            tokio::spawn(async move {
                let stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                match connector {
                    None => connection(stream, &request, end).await,
                    Some(connector) => {
                        let name = ServerName::try_from("localhost").unwrap();
                        connection(connector.connect(name, stream).await.unwrap(), &request, end).await
                    }
                }
            })
        })
        .collect();
    let mut all = Outcome::default();
    for task in tasks {
        let outcome = task.await.unwrap();
        all.answers.extend(outcome.answers);
        all.failures += outcome.failures;
    }
    print(&all, begun, options.length);
}

fn print(all: &Outcome, begun: Instant, length: Duration) {
    let of = |answers: &mut dyn Iterator<Item = &Answer>, share: f64| {
        let mut took: Vec<f64> = answers.map(|answer| answer.took.as_secs_f64() * 1e6).collect();
        took.sort_by(f64::total_cmp);
        took.get(((took.len() as f64 - 1.0) * share) as usize).copied().unwrap_or_default()
    };
    let second = |answer: &Answer| answer.ended.duration_since(begun).as_secs();
    let by_second: Vec<String> = (0..length.as_secs())
        .map(|at| format!("{:.0}", of(&mut all.answers.iter().filter(|answer| second(answer) == at), 0.99)))
        .collect();
    let computed: f64 = all.answers.iter().map(|answer| answer.computed).sum();
    println!(
        "{{\"requests\":{},\"failures\":{},\"seconds\":{},\"p50_us\":{:.0},\"p99_us\":{:.0},\"computed_us\":{:.2},\"p99_us_by_second\":[{}]}}",
        all.answers.len(),
        all.failures,
        begun.elapsed().as_secs_f64(),
        of(&mut all.answers.iter(), 0.5),
        of(&mut all.answers.iter(), 0.99),
        computed * 1000.0 / all.answers.len().max(1) as f64,
        by_second.join(",")
    );
}

async fn connection(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &[u8], end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut buffer = vec![0; 64 << 10];
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(request).await.unwrap();
        stream.flush().await.unwrap();
        let mut filled = 0;
        let mut wanted = None;
        while wanted.is_none_or(|wanted| filled < wanted) {
            if filled == buffer.len() {
                buffer.resize(buffer.len() * 2, 0);
            }
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server closed a connection");
            filled += read;
            wanted = wanted.or_else(|| whole(&buffer[..filled]));
        }
        assert_eq!(wanted, Some(filled), "an answer was followed by more");
        let ended = Instant::now();
        outcome.answers.push(Answer { ended, took: ended - sent, computed: computed(&buffer[..filled]) });
        if !buffer.starts_with(b"HTTP/1.1 200") {
            outcome.failures += 1;
        }
    }
    outcome
}

fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// The length of the answer, when its headers are there and say it.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = head(bytes)?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())?;
    Some(head + length)
}

/// Milliseconds of `inference` in `Server-Timing`.
fn computed(bytes: &[u8]) -> f64 {
    const NAME: &[u8] = b"inference;dur=";
    let head = &bytes[..head(bytes).unwrap_or_default()];
    let Some(at) = head.windows(NAME.len()).position(|window| window == NAME) else { return 0.0 };
    let digits = head[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.');
    let text: String = digits.map(|byte| char::from(*byte)).collect();
    text.parse().unwrap_or_default()
}
