//! A rustls client that trusts the development CA alone, over real connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arborgate_runtime::tls::{self, DevCa, Reloader};
use arborgate_runtime::{Error, files};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(30);

async fn server(config: ServerConfig) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.write_all(b"hello").await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    addr
}

async fn connect(addr: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    let mut text = String::new();
    tokio::time::timeout(LONG, stream.read_to_string(&mut text)).await.unwrap()?;
    assert_eq!(text, "hello");
    Ok(stream)
}

fn presented(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_connects_by_every_name() {
    tls::install_provider().unwrap();
    tls::install_provider().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let paths = tls::ensure_dev_material(dir.path(), &["nats".to_owned()]).unwrap();
    let addr = server(tls::server_config(&paths.cert, &paths.key, &[b"h2", b"http/1.1"]).unwrap()).await;
    let mut config = tls::client_config(&paths.ca_cert).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    for name in ["localhost", "127.0.0.1", "::1", "nats"] {
        let stream = connect(addr, &config, name).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
        assert_eq!(session.alpn_protocol(), Some(b"http/1.1".as_slice()));
    }
    let again = connect(addr, &config, "localhost").await.unwrap();
    assert_eq!(again.get_ref().1.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(connect(addr, &config, "other.example").await.is_err());
}

#[tokio::test]
async fn another_authority_is_not_trusted() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let paths = tls::ensure_dev_material(ours.path(), &[]).unwrap();
    let others = tls::ensure_dev_material(theirs.path(), &[]).unwrap();
    let addr = server(tls::server_config(&paths.cert, &paths.key, &[]).unwrap()).await;
    let error = connect(addr, &Arc::new(tls::client_config(&others.ca_cert).unwrap()), "localhost").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // a key of another certificate, a file that is none, an exposed key
    assert!(matches!(tls::server_config(&paths.cert, &others.key, &[]), Err(Error::Identity { .. })));
    assert!(matches!(tls::server_config(&paths.key, &paths.key, &[]), Err(Error::Pem { .. })));
    assert!(matches!(tls::client_config(&paths.key), Err(Error::Pem { .. })));
    let exposed = ours.path().join("exposed.key");
    files::write_new(&exposed, &std::fs::read(&paths.key).unwrap(), 0o644).unwrap();
    assert!(matches!(tls::server_config(&paths.cert, &exposed, &[]), Err(Error::SecretExposed { .. })));
}

#[tokio::test]
async fn who_names_a_host_gets_a_certificate_without_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let paths = tls::ensure_dev_material(dir.path(), &["nats".to_owned()]).unwrap();
    let reloader = Reloader::open_dev(&paths).unwrap();
    let addr = server(reloader.server_config(&[]).unwrap()).await;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(reloader.watch(Duration::from_millis(10), stop.clone()));
    let client = || Arc::new(tls::client_config(&paths.ca_cert).unwrap());
    let given = async |name: &str| presented(&connect(addr, &client(), name).await.unwrap());
    let of = |path: &Path| CertificateDer::from_pem_file(path).unwrap();
    for name in ["localhost", "nats"] {
        assert_eq!(given(name).await, of(&paths.named_cert), "{name}");
    }
    for name in ["127.0.0.1", "::1"] {
        assert_eq!(given(name).await, of(&paths.cert), "{name}");
    }
    // each follows its files
    let before = (of(&paths.cert), of(&paths.named_cert));
    tls::ensure_dev_material(dir.path(), &["edge.localhost".to_owned()]).unwrap();
    let swapped = async {
        while given("localhost").await == before.1 || given("127.0.0.1").await == before.0 {}
        assert_eq!(given("edge.localhost").await, of(&paths.named_cert));
    };
    tokio::time::timeout(LONG, swapped).await.unwrap();
    stop.cancel();
    tokio::time::timeout(LONG, watching).await.unwrap().unwrap();
}

fn put(dir: &Path, ca: &DevCa) {
    let issued = ca.server_cert(&["localhost".to_owned()]).unwrap();
    files::replace(&dir.join("key"), issued.key_pem.as_bytes(), 0o600).unwrap();
    files::replace(&dir.join("cert"), issued.cert_pem.as_bytes(), 0o644).unwrap();
}

#[tokio::test]
async fn new_connections_get_the_new_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let ca = DevCa::create(&[]).unwrap();
    files::write_new(&dir.path().join("ca"), ca.cert_pem().as_bytes(), 0o644).unwrap();
    put(dir.path(), &ca);
    let reloader = Reloader::open(&dir.path().join("cert"), &dir.path().join("key")).unwrap();
    let addr = server(reloader.server_config(&[]).unwrap()).await;
    let stop = CancellationToken::new();
    let watching = tokio::spawn(reloader.watch(Duration::from_millis(10), stop.clone()));
    // a new configuration each time, for a resumed session presents nothing
    let client = || Arc::new(tls::client_config(&dir.path().join("ca")).unwrap());
    let first = presented(&connect(addr, &client(), "localhost").await.unwrap());

    files::replace(&dir.path().join("cert"), b"rubbish", 0o644).unwrap();
    assert_eq!(presented(&connect(addr, &client(), "localhost").await.unwrap()), first);
    put(dir.path(), &ca);
    let swapped = async { while presented(&connect(addr, &client(), "localhost").await.unwrap()) == first {} };
    tokio::time::timeout(LONG, swapped).await.unwrap();
    stop.cancel();
    tokio::time::timeout(LONG, watching).await.unwrap().unwrap();
}
