//! Who a process is to NATS, and TLS.

use std::path::{Path, PathBuf};

use arborgate_bus::BusError;
use arborgate_bus::nats::{Config, Credentials, Tls, connect};
use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use crate::support::{bus_by, config, echo, server_with, soon, subject, within};

async fn works(config: &Config) {
    let bus = bus_by(config).await;
    let _serving = bus.serve(&subject("echo"), None, 8, echo()).await.unwrap();
    within(bus.request(&subject("echo"), Bytes::new(), soon())).await.unwrap();
}

/// An error at once, in which no secret is.
async fn is_refused(config: &Config) -> String {
    let error = within(connect(config)).await.map(drop).unwrap_err();
    assert!(matches!(error, BusError::Transport { .. }), "{error:?}");
    let text = format!("{error:?}");
    assert!(!text.contains("wrong-secret"), "{text}");
    text
}

fn with(base: Config, credentials: Credentials) -> Config {
    Config { credentials, ..base }
}

#[tokio::test]
async fn by_user_and_password() {
    let server = server_with("authorization { user: ann, password: right-secret }\n").await;
    let by = |password: &str| {
        let credentials =
            Credentials { user: Some("ann".to_owned()), password: Some(password.into()), ..Credentials::default() };
        with(config(&server), credentials)
    };
    works(&by("right-secret")).await;
    is_refused(&by("wrong-secret")).await;
    is_refused(&config(&server)).await;
    assert!(!server.log().contains("right-secret"));
}

#[tokio::test]
async fn by_token() {
    let server = server_with("authorization { token: right-secret }\n").await;
    let by = |token: &str| with(config(&server), Credentials { token: Some(token.into()), ..Credentials::default() });
    works(&by("right-secret")).await;
    is_refused(&by("wrong-secret")).await;
}

#[tokio::test]
async fn by_nkey() {
    let pair = nkeys::KeyPair::new_user();
    let server = server_with(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", pair.public_key())).await;
    let by = |pair: &nkeys::KeyPair| {
        let file = server.folder().join(format!("{}.nk", pair.public_key()));
        std::fs::write(&file, pair.seed().unwrap() + "\n").unwrap();
        with(config(&server), Credentials { nkey_seed_file: Some(file), ..Credentials::default() })
    };
    works(&by(&pair)).await;
    is_refused(&by(&nkeys::KeyPair::new_user())).await;
}

/// A CA and what it signs, as PEM files in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn sign(&self, name: &str) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn tls(&self, client: Option<&str>) -> Tls {
        Tls {
            required: true,
            ca: Some(self.file("ca.pem")),
            cert: client.map(|name| self.file(&format!("{name}.pem"))),
            key: client.map(|name| self.file(&format!("{name}.key"))),
        }
    }
}

#[tokio::test]
async fn by_tls_on_both_sides() {
    // Of one process with other tests there may be one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    ours.sign("server");
    ours.sign("client");
    let file = |name: &str| ours.file(name).display().to_string();
    let server = server_with(&format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        file("server.pem"),
        file("server.key"),
        file("ca.pem"),
    ))
    .await;
    works(&Config { tls: ours.tls(Some("client")), ..config(&server) }).await;
    let by_scheme = Tls { required: false, ..ours.tls(Some("client")) };
    let url = server.url().replace("nats://", "tls://");
    works(&Config { tls: by_scheme, urls: vec![url], ..config(&server) }).await;

    // A server of another authority is not trusted, and a client without a certificate is not let in.
    for tls in [other.tls(None), ours.tls(None)] {
        let config = Config { tls, ..config(&server) };
        let connecting = tokio::time::timeout(std::time::Duration::from_secs(2), connect(&config)).await;
        assert!(connecting.is_err(), "it waits for a server that it can use");
    }
}

#[tokio::test]
async fn tls_that_is_demanded_is_not_done_without() {
    let server = server_with("").await;
    let config = Config { tls: Tls { required: true, ..Tls::default() }, ..config(&server) };
    let connecting = tokio::time::timeout(std::time::Duration::from_secs(2), connect(&config)).await;
    assert!(!matches!(connecting, Ok(Ok(_))));
}
