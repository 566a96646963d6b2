//! The development authority and server certificates in a folder: made where they are missing, and made again where they are
//! old, for the names they had and those that are wanted now.
//!
//! One process at a time: whoever calls holds the data folder ([`crate::files::DataDir`]), or is a tool run by hand.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
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
    /// For every name and address.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// For the names and no address, for clients that name a host. BoringSSL refuses an address in a certificate whose
    /// authority is constrained to addresses ("unsupported name constraint type"), and with it gRPC's C core.
    pub named_cert: PathBuf,
    pub named_key: PathBuf,
}

impl Paths {
    fn within(dir: &Path) -> Self {
        let file = |name: &str| dir.join(name);
        Self {
            ca_cert: file("ca.pem"),
            ca_key: file("ca.key"),
            cert: file("server.pem"),
            key: file("server.key"),
            named_cert: file("server-names.pem"),
            named_key: file("server-names.key"),
        }
    }
}

/// Sees to it that `dir` holds a development authority and server certificates for localhost, 127.0.0.1, ::1 and
/// `extra_names` that are valid for 14 days at least; names of an earlier call stay. The authority is made again, and has to
/// be trusted again, only where it has less than 30 days.
///
/// # Errors
/// [`Error::CaNames`] where the authority that is there may not sign for a name. Files that can not be read, written or
/// understood; they are never replaced.
pub fn ensure_dev_material(dir: &Path, extra_names: &[String]) -> Result<Paths, Error> {
    ensure_at(dir, extra_names, SystemTime::now())
}

fn ensure_at(dir: &Path, extra_names: &[String], now: SystemTime) -> Result<Paths, Error> {
    files::create_private_dir(dir)?;
    let paths = Paths::within(dir);
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    add(&mut names, extra_names);
    let ca = ensure_ca(&paths, &names, now)?;
    let before: Vec<String> = server_names(&paths).into_iter().filter(|name| ca.permits(name)).collect();
    add(&mut names, &before);
    ensure_server(&ca, &paths.ca_cert, (&paths.cert, &paths.key), &names, now)?;
    names.retain(|name| name.parse::<IpAddr>().is_err());
    ensure_server(&ca, &paths.ca_cert, (&paths.named_cert, &paths.named_key), &names, now)?;
    Ok(paths)
}

fn ensure_server(
    ca: &DevCa,
    ca_cert: &Path,
    (cert, key): (&Path, &Path),
    names: &[String],
    now: SystemTime,
) -> Result<(), Error> {
    if is_current(ca_cert, (cert, key), names, now)? {
        return Ok(());
    }
    let issued = ca.server_cert_at(names, now)?;
    // the key first: a certificate without its key would be the harder fault to find
    files::replace(key, issued.key_pem.as_bytes(), SECRET_MODE)?;
    files::replace(cert, issued.cert_pem.as_bytes(), PUBLIC_MODE)?;
    tracing::info!(cert = %cert.display(), ?names, "made a development server certificate");
    Ok(())
}

fn add(names: &mut Vec<String>, more: &[String]) {
    for name in more {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}

fn ensure_ca(paths: &Paths, names: &[String], now: SystemTime) -> Result<DevCa, Error> {
    let mut names = names.to_vec();
    if paths.ca_cert.exists() && paths.ca_key.exists() {
        let ca = load_ca(paths)?;
        if ca.not_after() >= now + CA_MARGIN {
            let refused = names.into_iter().find(|name| !ca.permits(name));
            return match refused {
                None => Ok(ca),
                Some(name) => {
                    Err(Error::CaNames { path: paths.ca_cert.clone(), name, permitted: ca.permitted().to_vec() })
                }
            };
        }
        add(&mut names, ca.permitted());
        tracing::warn!(ca = %paths.ca_cert.display(), "making the development CA again, for it is about to expire: clients have to trust the new one");
    }
    let ca = DevCa::create_at(&names, now)?;
    files::replace(&paths.ca_key, ca.key_pem().as_bytes(), SECRET_MODE)?;
    files::replace(&paths.ca_cert, ca.cert_pem().as_bytes(), PUBLIC_MODE)?;
    tracing::info!(ca = %paths.ca_cert.display(), "made a development CA");
    Ok(ca)
}

/// The names of the server certificate that is there; none where there is none, or it can not be read.
fn server_names(paths: &Paths) -> Vec<String> {
    let chain = tls::certificates(&paths.cert).unwrap_or_default();
    chain.first().map(super::dev::alternative_names).unwrap_or_default()
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

/// Sees to it that a client has a certificate of `name` from the authority of [`ensure_dev_material`], valid for 14 days at
/// least.
///
/// # Errors
/// As [`ensure_dev_material`].
pub fn ensure_dev_client(authority: &Paths, name: &str, cert: &Path, key: &Path) -> Result<(), Error> {
    let roots = tls::roots(&authority.ca_cert)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), tls::provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let later = since_epoch(SystemTime::now() + SERVER_MARGIN);
    let is_current = pair(cert, key)?.is_some_and(|identity| match identity.cert.split_first() {
        Some((leaf, chain)) => verifier.verify_client_cert(leaf, chain, later).is_ok(),
        None => false,
    });
    if is_current {
        return Ok(());
    }
    let issued = load_ca(authority)?.client_cert(name)?;
    files::replace(key, issued.key_pem.as_bytes(), SECRET_MODE)?;
    files::replace(cert, issued.cert_pem.as_bytes(), PUBLIC_MODE)
}

fn since_epoch(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

/// A certificate and the key that is its own; none where one is missing or is another's.
fn pair(cert: &Path, key: &Path) -> Result<Option<CertifiedKey>, Error> {
    if !cert.exists() || !key.exists() {
        return Ok(None);
    }
    match tls::identity(cert, key) {
        Ok(identity) => Ok(Some(identity)),
        // half of a pair was written when the process was killed
        Err(Error::Identity { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a client that trusts the authority would accept the certificate for every name when the margin is over, and
/// the key is the certificate's.
fn is_current(ca_cert: &Path, (cert, key): (&Path, &Path), names: &[String], now: SystemTime) -> Result<bool, Error> {
    let Some(identity) = pair(cert, key)? else { return Ok(false) };
    let later = since_epoch(now + SERVER_MARGIN);
    let roots = tls::roots(ca_cert)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), tls::provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let Some((leaf, chain)) = identity.cert.split_first() else { return Ok(false) };
    Ok(names.iter().all(|name| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| verifier.verify_server_cert(leaf, chain, &name, &[], later).is_ok())
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn read(paths: &Paths) -> [Vec<u8>; 6] {
        let Paths { ca_cert, ca_key, cert, key, named_cert, named_key } = paths;
        [ca_cert, ca_key, cert, key, named_cert, named_key].map(|path| fs::read(path).unwrap())
    }

    /// The names of the certificate without addresses.
    fn named(paths: &Paths) -> Vec<String> {
        super::super::dev::alternative_names(&tls::certificates(&paths.named_cert).unwrap()[0])
    }

    #[test]
    fn each_is_made_once_with_tight_modes() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("tls");
        let paths = ensure_dev_material(&dir, &["nats".to_owned()]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [&dir, &paths.ca_key, &paths.key, &paths.named_key].map(|path| mode(path)),
            [0o700, 0o600, 0o600, 0o600]
        );
        assert_eq!([&paths.ca_cert, &paths.cert, &paths.named_cert].map(|path| mode(path) & !0o044), [0o600; 3]);
        assert_eq!(named(&paths), ["localhost", "nats"]);
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
        assert!(second[..2] == first[..2] && (2..6).all(|at| second[at] != first[at]));
        ensure_at(dir.path(), &[], start + DAY * 701).unwrap();
        let third = read(&paths);
        assert!((0..6).all(|at| third[at] != second[at]));
    }

    #[test]
    fn other_names_are_signed_anew() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ensure_dev_material(dir.path(), &[]).unwrap();
        let first = read(&paths);
        // within the constraints: only the server's
        ensure_dev_material(dir.path(), &["edge.localhost".to_owned()]).unwrap();
        let second = read(&paths);
        assert!(second[0] == first[0] && second[2] != first[2] && second[4] != first[4]);
        // an address is not in the other
        ensure_dev_material(dir.path(), &["127.0.0.2".to_owned()]).unwrap();
        assert!(read(&paths)[2] != second[2] && read(&paths)[4..] == second[4..]);
        // what was signed for before stays
        ensure_dev_material(dir.path(), &["nats.localhost".to_owned()]).unwrap();
        let names = ["localhost", "127.0.0.1", "::1", "nats.localhost", "127.0.0.2", "edge.localhost"];
        assert_eq!(
            (server_names(&paths), named(&paths)),
            (names.map(str::to_owned).to_vec(), [names[0], names[3], names[5]].map(str::to_owned).to_vec())
        );
        let third = read(&paths);
        ensure_dev_material(dir.path(), &["edge.localhost".to_owned()]).unwrap();
        assert!(read(&paths) == third);
        // outside of them: nothing is replaced
        let error = ensure_dev_material(dir.path(), &["nats".to_owned()]).unwrap_err();
        assert!(matches!(&error, Error::CaNames { name, .. } if name == "nats"), "{error}");
        assert!(error.to_string().contains("ca.pem") && error.to_string().contains("remove"), "{error}");
        assert!(read(&paths) == third);
        let none = tempfile::tempdir().unwrap();
        assert!(matches!(ensure_dev_material(none.path(), &["a b".to_owned()]), Err(Error::Name { .. })));
    }

    #[test]
    fn an_authority_is_made_again_for_the_names_it_had() {
        let dir = tempfile::tempdir().unwrap();
        let start = SystemTime::now();
        let paths = ensure_at(dir.path(), &["nats".to_owned(), "10.1.2.3".to_owned()], start).unwrap();
        let first = read(&paths);
        ensure_at(dir.path(), &[], start + DAY * 701).unwrap();
        assert!(read(&paths)[0] != first[0]);
        assert_eq!(server_names(&paths), ["localhost", "127.0.0.1", "::1", "nats", "10.1.2.3"]);
        assert_eq!(named(&paths), ["localhost", "nats"]);
        assert!(load_ca(&paths).unwrap().permits("10.1.2.3"));
    }

    #[test]
    fn a_client_has_one_certificate_until_the_authority_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ensure_dev_material(dir.path(), &[]).unwrap();
        let (cert, key) = (dir.path().join("client.pem"), dir.path().join("client.key"));
        let ensured = || {
            ensure_dev_client(&paths, "edge.localhost", &cert, &key).unwrap();
            tls::identity(&cert, &key).unwrap();
            (fs::read(&cert).unwrap(), fs::read(&key).unwrap())
        };
        let first = ensured();
        assert!(ensured() == first);
        assert_eq!(super::super::dev::alternative_names(&tls::certificates(&cert).unwrap()[0]), ["edge.localhost"]);
        fs::remove_file(&key).unwrap();
        let second = ensured();
        assert!(second != first && ensured() == second);
        fs::remove_file(&paths.ca_cert).unwrap();
        fs::remove_file(&paths.ca_key).unwrap();
        ensure_dev_material(dir.path(), &[]).unwrap();
        assert!(ensured() != second);
    }

    #[test]
    fn half_of_a_pair_is_made_again_and_rubbish_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ensure_dev_material(dir.path(), &[]).unwrap();
        let first = read(&paths);
        files::replace(&paths.key, &first[1], SECRET_MODE).unwrap();
        ensure_dev_material(dir.path(), &[]).unwrap();
        tls::identity(&paths.cert, &paths.key).unwrap();
        // a folder of before there were two
        fs::remove_file(&paths.named_cert).unwrap();
        let before = read(&Paths { named_cert: paths.cert.clone(), ..paths.clone() });
        ensure_dev_material(dir.path(), &[]).unwrap();
        tls::identity(&paths.named_cert, &paths.named_key).unwrap();
        assert!(read(&paths)[..4] == before[..4]);
        fs::write(&paths.ca_cert, "rubbish").unwrap();
        let error = ensure_dev_material(dir.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("ca.pem") && error.contains("remove both"), "{error}");
        assert_eq!(fs::read(&paths.ca_cert).unwrap(), b"rubbish");
        fs::set_permissions(&paths.ca_key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ensure_dev_material(dir.path(), &[]), Err(Error::SecretExposed { .. })));
    }
}
