//! TLS 1.2 and 1.3 by rustls and aws-lc-rs, with X25519MLKEM768 preferred: configurations from PEM files, certificates
//! reloaded when their files change, and a development CA for those who have none.
//!
//! Certificates for the public come from elsewhere; this never asks an ACME server.

mod dev;
mod material;
mod reload;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, NamedGroup, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{Error, files};

pub use dev::{DevCa, Issued};
pub use material::{Paths, ensure_dev_client, ensure_dev_material};
pub use reload::Reloader;

const CERTIFICATES_LIMIT: u64 = 1024 * 1024;

/// Makes aws-lc-rs the process's provider of cryptography. Once is enough; more often does no harm.
///
/// # Errors
/// [`Error::Provider`] where another one was installed.
pub fn install_provider() -> Result<(), Error> {
    if CryptoProvider::get_default().is_none() && aws_lc_rs::default_provider().install_default().is_ok() {
        return Ok(());
    }
    // another thread may have been faster; of rustls's own providers only aws-lc-rs has this group
    let ours = |provider: &Arc<CryptoProvider>| {
        provider.kx_groups.iter().any(|group| group.name() == NamedGroup::X25519MLKEM768)
    };
    if CryptoProvider::get_default().is_some_and(ours) { Ok(()) } else { Err(Error::Provider) }
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A server's configuration with a certificate chain and its key from PEM files, session tickets, and the protocols
/// `alpn` in order of preference. To follow changes of the files, use [`Reloader`].
///
/// # Errors
/// Files that can not be read or do not belong together.
pub fn server_config(cert: &Path, key: &Path, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
    let identity = identity(cert, key)?;
    with_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)), alpn)
}

fn with_resolver(resolver: Arc<dyn ResolvesServerCert>, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// A client's configuration that trusts the certificates in `ca` and nothing else.
///
/// # Errors
/// A file that can not be read, or that holds no certificate of an authority.
pub fn client_config(ca: &Path) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth())
}

fn roots(ca: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn identity(cert: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let (chain, private) = (certificates(cert)?, private_key(key)?);
    CertifiedKey::from_der(chain, private, &provider()).map_err(|source| Error::Identity {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    certificates_in(&files::read_bounded(path, CERTIFICATES_LIMIT)?, path)
}

fn certificates_in(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let error = |reason: String| Error::Pem { what: "certificate", path: path.to_owned(), reason };
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| error(e.to_string()))?;
    if chain.is_empty() { Err(error("there is none in it".to_owned())) } else { Ok(chain) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    private_key_in(files::read_secret(path)?.expose(), path)
}

fn private_key_in(pem: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| Error::Pem {
        what: "private key",
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// When a certificate's validity ends; none where it can not be read.
fn not_after(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
