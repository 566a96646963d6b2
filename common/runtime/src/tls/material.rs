//! The development authority and server certificate in a folder: made where they are missing, made again where they are
//! old or are not for the names that are wanted.
//!
//! One process at a time: whoever calls holds the data folder ([`crate::files::DataDir`]), or is a tool run by hand.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::{ServerName, UnixTime};

use super::dev::DevCa;
use crate::files::{self, PUBLIC_MODE, SECRET_MODE};
use crate::{Error, tls};

/// Left of a certificate's life when it is made again.
const SERVER_MARGIN: Duration = Duration::from_secs(14 * 24 * 3600);
const CA_MARGIN: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where the material is, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What clients are told to trust.
    pub ca_cert: PathBuf,
    pub ca_key: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Paths {
    fn within(dir: &Path) -> Self {
        let file = |name: &str| dir.join(name);
        Self { ca_cert: file("ca.pem"), ca_key: file("ca.key"), cert: file("server.pem"), key: file("server.key") }
    }
}

/// Sees to it that `dir` holds a development authority and a server certificate for localhost, 127.0.0.1, ::1 and
/// `extra_names` that is valid for 14 days at least. The authority is made again, and has to be trusted again, only
/// where it has less than 30 days or may not sign for the names.
///
/// # Errors
/// Files that can not be read, written or understood; they are never replaced.
pub fn ensure_dev_material(dir: &Path, extra_names: &[String]) -> Result<Paths, Error> {
    ensure_at(dir, extra_names, SystemTime::now())
}

fn ensure_at(dir: &Path, extra_names: &[String], now: SystemTime) -> Result<Paths, Error> {
    files::create_private_dir(dir)?;
    let paths = Paths::within(dir);
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names
        .extend(extra_names.iter().filter(|name| !["localhost", "127.0.0.1", "::1"].contains(&name.as_str())).cloned());
    let ca = ensure_ca(&paths, &names, extra_names, now)?;
    if !is_current(&paths, &names, now)? {
        let issued = ca.server_cert_at(&names, now)?;
        // the key first: a certificate without its key would be the harder fault to find
        files::replace(&paths.key, issued.key_pem.as_bytes(), SECRET_MODE)?;
        files::replace(&paths.cert, issued.cert_pem.as_bytes(), PUBLIC_MODE)?;
        tracing::info!(cert = %paths.cert.display(), ?names, "made a development server certificate");
    }
    Ok(paths)
}

fn ensure_ca(paths: &Paths, names: &[String], extra_names: &[String], now: SystemTime) -> Result<DevCa, Error> {
    if paths.ca_cert.exists() && paths.ca_key.exists() {
        let ca = load_ca(paths)?;
        let old = ca.not_after() < now + CA_MARGIN;
        if !old && names.iter().all(|name| ca.permits(name)) {
            return Ok(ca);
        }
        let reason = if old { "it is about to expire" } else { "it may not sign for the names that are wanted now" };
        tracing::warn!(ca = %paths.ca_cert.display(), reason, "making the development CA again: clients have to trust the new one");
    }
    let ca = DevCa::create_at(extra_names, now)?;
    files::replace(&paths.ca_key, ca.key_pem().as_bytes(), SECRET_MODE)?;
    files::replace(&paths.ca_cert, ca.cert_pem().as_bytes(), PUBLIC_MODE)?;
    tracing::info!(ca = %paths.ca_cert.display(), "made a development CA");
    Ok(ca)
}

fn load_ca(paths: &Paths) -> Result<DevCa, Error> {
    let broken = |reason: String| Error::Pem {
        what: "development CA with the key beside it",
        path: paths.ca_cert.clone(),
        reason: format!("{reason}; remove both for new ones to be made"),
    };
    let cert = files::read_bounded(&paths.ca_cert, tls::CERTIFICATES_LIMIT)?;
    let key = files::read_secret(&paths.ca_key)?;
    match (std::str::from_utf8(&cert), key.as_text()) {
        (Ok(cert), Some(key)) => DevCa::load(cert, key.expose()).map_err(|error| broken(error.to_string())),
        _ => Err(broken("not text".to_owned())),
    }
}

/// Whether a client that trusts the authority would accept the certificate for every name when the margin is over, and
/// the key is the certificate's.
fn is_current(paths: &Paths, names: &[String], now: SystemTime) -> Result<bool, Error> {
    if !paths.cert.exists() || !paths.key.exists() {
        return Ok(false);
    }
    let identity = match tls::identity(&paths.cert, &paths.key) {
        Ok(identity) => identity,
        // half of a pair was written when the process was killed
        Err(Error::Identity { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let later = (now + SERVER_MARGIN).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let roots = tls::roots(&paths.ca_cert)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), tls::provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let Some((leaf, chain)) = identity.cert.split_first() else { return Ok(false) };
    Ok(names.iter().all(|name| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| {
            verifier.verify_server_cert(leaf, chain, &name, &[], UnixTime::since_unix_epoch(later)).is_ok()
        })
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn read(paths: &Paths) -> [Vec<u8>; 4] {
        [&paths.ca_cert, &paths.ca_key, &paths.cert, &paths.key].map(|path| fs::read(path).unwrap())
    }

    #[test]
    fn each_is_made_once_with_tight_modes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("tls");
        let paths = ensure_dev_material(&dir, &["nats".to_owned()]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!([&dir, &paths.ca_key, &paths.key].map(|path| mode(path)), [0o700, 0o600, 0o600]);
        assert_eq!([&paths.ca_cert, &paths.cert].map(|path| mode(path) & !0o044), [0o600, 0o600]);
        let made = read(&paths);
        assert_eq!(ensure_dev_material(&dir, &["nats".to_owned()]).unwrap(), paths);
        assert!(read(&paths) == made);
        // fewer names are covered by what there is
        ensure_dev_material(&dir, &[]).unwrap();
        assert!(read(&paths) == made);
    }

    #[test]
    fn what_is_about_to_expire_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let paths = ensure_at(dir.path(), &[], start).unwrap();
        let first = read(&paths);
        ensure_at(dir.path(), &[], start + DAY * 75).unwrap();
        assert!(read(&paths) == first);
        ensure_at(dir.path(), &[], start + DAY * 77).unwrap();
        let second = read(&paths);
        assert!(second[..2] == first[..2] && second[2] != first[2] && second[3] != first[3]);
        ensure_at(dir.path(), &[], start + DAY * 701).unwrap();
        let third = read(&paths);
        assert!(third[0] != first[0] && third[1] != first[1] && third[2] != second[2]);
    }

    #[test]
    fn other_names_are_signed_anew() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ensure_dev_material(dir.path(), &[]).unwrap();
        let first = read(&paths);
        // within the constraints: only the server's
        ensure_dev_material(dir.path(), &["edge.localhost".to_owned()]).unwrap();
        let second = read(&paths);
        assert!(second[0] == first[0] && second[2] != first[2]);
        ensure_dev_material(dir.path(), &["nats".to_owned()]).unwrap();
        assert!(read(&paths)[0] != first[0]);
        assert!(matches!(ensure_dev_material(dir.path(), &["a b".to_owned()]), Err(Error::Name { .. })));
    }

    #[test]
    fn half_of_a_pair_is_made_again_and_rubbish_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ensure_dev_material(dir.path(), &[]).unwrap();
        let first = read(&paths);
        files::replace(&paths.key, &first[1], SECRET_MODE).unwrap();
        ensure_dev_material(dir.path(), &[]).unwrap();
        tls::identity(&paths.cert, &paths.key).unwrap();
        fs::write(&paths.ca_cert, "rubbish").unwrap();
        let error = ensure_dev_material(dir.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("ca.pem") && error.contains("remove both"), "{error}");
        assert_eq!(fs::read(&paths.ca_cert).unwrap(), b"rubbish");
        fs::set_permissions(&paths.ca_key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ensure_dev_material(dir.path(), &[]), Err(Error::SecretExposed { .. })));
    }
}
