//! A server's certificate that follows its files: new connections get the new one, and files that are broken or half
//! written change nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{self, SHA256};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::Error;

/// What a look at the files found.
#[derive(Debug)]
pub enum Reload {
    Unchanged,
    Swapped,
    /// The files changed and can not be used; the certificate in use stays.
    Kept(Error),
}

/// See the module. Shared by its clones.
#[derive(Clone, Debug)]
pub struct Reloader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cert: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    /// What was looked at last, whether it could be used or not, so that a fault is told once.
    seen: Mutex<Option<[u8; 32]>>,
}

struct Current(ArcSwap<CertifiedKey>);

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Current")
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Reloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Files that can not be used: a server does not start without.
    pub fn open(cert: &Path, key: &Path) -> Result<Self, Error> {
        let (seen, identity) = look(cert, key);
        let current = Arc::new(Current(ArcSwap::from_pointee(identity()?)));
        let (cert, key) = (cert.to_owned(), key.to_owned());
        Ok(Self { inner: Arc::new(Inner { cert, key, current, seen: Mutex::new(seen) }) })
    }

    /// As [`super::server_config`], with the certificate that is current when a connection is made.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn server_config(&self, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
        super::with_resolver(self.resolver(), alpn)
    }

    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.inner.current) as Arc<dyn ResolvesServerCert>
    }

    /// When the current certificate's validity ends.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.inner.current.0.load().cert.first().and_then(super::not_after)
    }

    /// Looks at the files once. Blocking.
    pub fn poll(&self) -> Reload {
        let mut seen = self.inner.seen.lock();
        let (now, identity) = look(&self.inner.cert, &self.inner.key);
        if *seen == now {
            return Reload::Unchanged;
        }
        *seen = now;
        match identity() {
            Ok(identity) => {
                self.inner.current.0.store(Arc::new(identity));
                Reload::Swapped
            }
            Err(error) => Reload::Kept(error),
        }
    }

    /// Looks at the files every `every` until `stop`.
    pub async fn watch(self, every: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let reloader = self.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || reloader.poll()).await else { continue };
            let cert = self.inner.cert.display();
            match found {
                Reload::Unchanged => {}
                Reload::Swapped => tracing::info!(%cert, "a new certificate is in use"),
                Reload::Kept(error) => {
                    tracing::warn!(%cert, %error, "the certificate's files changed and can not be used: the old one stays in use");
                }
            }
        }
    }
}

/// A digest of what the files hold, none where one can not be read, and what they make.
fn look(cert: &Path, key: &Path) -> (Option<[u8; 32]>, impl FnOnce() -> Result<CertifiedKey, Error>) {
    let chain = crate::files::read_bounded(cert, super::CERTIFICATES_LIMIT);
    let secret = crate::files::read_secret(key);
    let seen = match (&chain, &secret) {
        (Ok(chain), Ok(secret)) => {
            let mut context = digest::Context::new(&SHA256);
            context.update(&(chain.len() as u64).to_le_bytes());
            context.update(chain);
            context.update(secret.expose());
            context.finish().as_ref().try_into().ok()
        }
        _ => None,
    };
    let (cert, key) = (cert.to_owned(), key.to_owned());
    let identity = move || {
        let chain = super::certificates_in(&chain?, &cert)?;
        let private = super::private_key_in(secret?.expose(), &key)?;
        CertifiedKey::from_der(chain, private, &super::provider()).map_err(|source| Error::Identity {
            cert,
            key,
            source,
        })
    };
    (seen, identity)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::{self, PUBLIC_MODE, SECRET_MODE};
    use crate::tls::{DevCa, Issued};

    fn write(dir: &Path, issued: &Issued) {
        files::replace(&dir.join("key"), issued.key_pem.as_bytes(), SECRET_MODE).unwrap();
        files::replace(&dir.join("cert"), issued.cert_pem.as_bytes(), PUBLIC_MODE).unwrap();
    }

    #[test]
    fn what_is_broken_changes_nothing_and_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let ca = DevCa::create(&[]).unwrap();
        let names = ["localhost".to_owned()];
        let (first, second) = (ca.server_cert(&names).unwrap(), ca.server_cert(&names).unwrap());
        assert!(Reloader::open(&dir.join("cert"), &dir.join("key")).is_err());
        write(dir, &first);
        let reloader = Reloader::open(&dir.join("cert"), &dir.join("key")).unwrap();
        let current = || reloader.inner.current.0.load().cert.clone();
        let before = current();
        assert!(reloader.not_after().unwrap() > SystemTime::now());
        assert!(matches!(reloader.poll(), Reload::Unchanged));

        files::replace(&dir.join("key"), second.key_pem.as_bytes(), SECRET_MODE).unwrap();
        assert!(matches!(reloader.poll(), Reload::Kept(Error::Identity { .. })));
        assert!(matches!(reloader.poll(), Reload::Unchanged));
        fs::write(dir.join("cert"), "rubbish").unwrap();
        assert!(matches!(reloader.poll(), Reload::Kept(Error::Pem { .. })));
        fs::remove_file(dir.join("cert")).unwrap();
        assert!(matches!(reloader.poll(), Reload::Kept(Error::Io { .. })));
        assert!(matches!(reloader.poll(), Reload::Unchanged));
        assert_eq!(current(), before);

        write(dir, &second);
        assert!(matches!(reloader.poll(), Reload::Swapped));
        assert_ne!(current(), before);
    }
}
