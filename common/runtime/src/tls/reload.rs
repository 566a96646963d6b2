//! A server's certificate that follows its files: new connections get the new one, and files that are broken or half
//! written change nothing. A second one may be for clients that name a host (RFC 6066, 3).

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

use super::Paths;
use crate::Error;

/// What a look at the files found.
#[derive(Debug)]
enum Reload {
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
    plain: Followed,
    /// For clients that name a host.
    named: Option<Followed>,
}

/// A certificate and its key.
struct Followed {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    /// What was looked at last, whether it could be used or not, so that a fault is told once.
    seen: Mutex<Option<[u8; 32]>>,
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Followed {
    fn open(cert: &Path, key: &Path) -> Result<Self, Error> {
        let (seen, identity) = look(cert, key);
        let current = ArcSwap::from_pointee(identity()?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current, seen: Mutex::new(seen) })
    }

    /// Looks at the files once. Blocking.
    fn poll(&self) -> Reload {
        let mut seen = self.seen.lock();
        let (now, identity) = look(&self.cert, &self.key);
        if *seen == now {
            return Reload::Unchanged;
        }
        *seen = now;
        match identity() {
            Ok(identity) => {
                self.current.store(Arc::new(identity));
                Reload::Swapped
            }
            Err(error) => Reload::Kept(error),
        }
    }
}

impl Inner {
    fn each(&self) -> impl Iterator<Item = &Followed> {
        std::iter::once(&self.plain).chain(&self.named)
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.named.as_ref().filter(|_| hello.server_name().is_some());
        Some(named.unwrap_or(&self.plain).current.load_full())
    }
}

impl Reloader {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Files that can not be used: a server does not start without.
    pub fn open(cert: &Path, key: &Path) -> Result<Self, Error> {
        Ok(Self { inner: Arc::new(Inner { plain: Followed::open(cert, key)?, named: None }) })
    }

    /// Reads the files of [`super::ensure_dev_material`] for the first time, of both certificates.
    ///
    /// # Errors
    /// As [`Reloader::open`].
    pub fn open_dev(paths: &Paths) -> Result<Self, Error> {
        let plain = Followed::open(&paths.cert, &paths.key)?;
        let named = Some(Followed::open(&paths.named_cert, &paths.named_key)?);
        Ok(Self { inner: Arc::new(Inner { plain, named }) })
    }

    /// As [`super::server_config`], with the certificate that is current when a connection is made.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn server_config(&self, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
        super::with_resolver(self.resolver(), alpn)
    }

    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.inner) as Arc<dyn ResolvesServerCert>
    }

    /// When the validity of the current certificates ends, of the first that does.
    pub fn not_after(&self) -> Option<SystemTime> {
        self.inner.each().filter_map(|of| of.current.load().cert.first().and_then(super::not_after)).min()
    }

    /// Looks at the files once and says what was found. Blocking.
    fn poll(&self) {
        for followed in self.inner.each() {
            let cert = followed.cert.display();
            match followed.poll() {
                Reload::Unchanged => {}
                Reload::Swapped => tracing::info!(%cert, "a new certificate is in use"),
                Reload::Kept(error) => {
                    tracing::warn!(%cert, %error, "the certificate's files changed and can not be used: the old one stays in use");
                }
            }
        }
    }

    /// Looks at the files every `every` until `stop`.
    pub async fn watch(self, every: Duration, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let reloader = self.clone();
            // a panic in it was told, and the next look is another
            let _ = tokio::task::spawn_blocking(move || reloader.poll()).await;
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
        assert!(reloader.not_after().unwrap() > SystemTime::now());
        let reloader = &reloader.inner.plain;
        let current = || reloader.current.load().cert.clone();
        let before = current();
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
