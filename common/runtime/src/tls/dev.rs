//! A development certificate authority: ECDSA P-256, constrained (RFC 5280, 4.2.1.10) to localhost, loopback addresses
//! and the names that it was made for, so that who trusts it trusts it for nothing else, even if its key is lost.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, DnsName};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::Error;

const DAY: Duration = Duration::from_secs(24 * 3600);
const CA_LIFE: Duration = DAY.saturating_mul(2 * 365);
const LEAF_LIFE: Duration = DAY.saturating_mul(90);
/// For the clocks of others.
const BACKDATED: Duration = Duration::from_secs(3600);

/// A certificate with its key, both in PEM form.
#[derive(Debug)]
pub struct Issued {
    pub cert_pem: String,
    pub key_pem: Zeroizing<String>,
}

/// See the module.
pub struct DevCa {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
    permitted: Vec<String>,
    not_after: SystemTime,
}

impl std::fmt::Debug for DevCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevCa").field("permitted", &self.permitted).finish_non_exhaustive()
    }
}

impl DevCa {
    /// A new authority for two years, for localhost, loopback addresses and `extra_names` (DNS names or addresses).
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Certificate`].
    pub fn create(extra_names: &[String]) -> Result<Self, Error> {
        Self::create_at(extra_names, SystemTime::now())
    }

    pub(super) fn create_at(extra_names: &[String], now: SystemTime) -> Result<Self, Error> {
        let mut permitted = vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv4Addr::LOCALHOST.into(), 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(Ipv6Addr::LOCALHOST.into(), 128)),
        ];
        let extra = |name: &&String| !["localhost", "127.0.0.1", "::1"].contains(&name.as_str());
        for name in extra_names.iter().filter(extra) {
            permitted.push(match Name::parse(name)? {
                Name::Dns(name) => GeneralSubtree::DnsName(name),
                Name::Ip(ip) => {
                    GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, if ip.is_ipv4() { 32 } else { 128 }))
                }
            });
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Arborgate development CA");
        params.distinguished_name.push(DnType::OrganizationName, "Arborgate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints =
            Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + CA_LIFE).into();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert_pem = params.self_signed(&key)?.pem();
        Self::load(&cert_pem, &key.serialize_pem())
    }

    /// An authority that was made before.
    ///
    /// # Errors
    /// [`Error::Certificate`] where either is not readable.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let unreadable = || Error::Certificate(rcgen::Error::CouldNotParseCertificate);
        let key = KeyPair::from_pem(key_pem)?;
        let der = CertificateDer::from_pem_slice(cert_pem.as_bytes()).map_err(|_| unreadable())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| unreadable())?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() || !parsed.is_ca() {
            return Err(unreadable());
        }
        Ok(Self {
            permitted: permitted(&parsed),
            not_after: super::not_after(&der).ok_or_else(unreadable)?,
            issuer: Issuer::from_ca_cert_der(&der, key)?,
            cert_pem: cert_pem.to_owned(),
        })
    }

    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The names and addresses that it was made for.
    pub(super) fn permitted(&self) -> &[String] {
        &self.permitted
    }

    /// Whether the authority may sign for a DNS name or address.
    pub fn permits(&self, name: &str) -> bool {
        match Name::parse(name) {
            Ok(Name::Ip(ip)) => ip.is_loopback() || self.permitted.iter().any(|permitted| *permitted == ip.to_string()),
            Ok(Name::Dns(name)) => self.permitted.iter().any(|permitted| {
                name.strip_suffix(permitted.as_str()).is_some_and(|left| left.is_empty() || left.ends_with('.'))
            }),
            Err(_) => false,
        }
    }

    /// A server's certificate for 90 days, or until the authority ends.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] for a name outside of the authority's constraints, [`Error::Name`].
    pub fn server_cert(&self, names: &[String]) -> Result<Issued, Error> {
        self.server_cert_at(names, SystemTime::now())
    }

    pub(super) fn server_cert_at(&self, names: &[String], now: SystemTime) -> Result<Issued, Error> {
        self.check(names)?;
        self.issue(names, "Arborgate development server", ExtendedKeyUsagePurpose::ServerAuth, now)
    }

    /// A client's certificate, whose common name and DNS name are `name`, for 90 days.
    ///
    /// # Errors
    /// As [`DevCa::server_cert`].
    pub fn client_cert(&self, name: &str) -> Result<Issued, Error> {
        let names = [name.to_owned()];
        self.check(&names)?;
        self.issue(&names, name, ExtendedKeyUsagePurpose::ClientAuth, SystemTime::now())
    }

    fn check(&self, names: &[String]) -> Result<(), Error> {
        for name in names {
            Name::parse(name)?;
            if !self.permits(name) {
                return Err(Error::NotPermitted { name: name.clone(), permitted: self.permitted.clone() });
            }
        }
        Ok(())
    }

    fn issue(
        &self,
        names: &[String],
        common: &str,
        usage: ExtendedKeyUsagePurpose,
        now: SystemTime,
    ) -> Result<Issued, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names =
            names.iter().map(|name| Name::parse(name)?.alternative()).collect::<Result<_, Error>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        params.not_before = (now - BACKDATED).into();
        params.not_after = (now + LEAF_LIFE).min(self.not_after).into();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let cert_pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Issued { cert_pem, key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

enum Name {
    Dns(String),
    Ip(IpAddr),
}

impl Name {
    fn parse(name: &str) -> Result<Self, Error> {
        if let Ok(ip) = name.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = name.to_ascii_lowercase();
        match DnsName::try_from(name.as_str()) {
            Ok(_) => Ok(Self::Dns(name)),
            Err(_) => Err(Error::Name { name }),
        }
    }

    fn alternative(self) -> Result<SanType, Error> {
        Ok(match self {
            Self::Ip(ip) => SanType::IpAddress(ip),
            Self::Dns(name) => SanType::DnsName(name.try_into()?),
        })
    }
}

/// The names of a certificate's constraints; addresses without their masks, which [`DevCa::permits`] knows.
fn permitted(certificate: &X509Certificate<'_>) -> Vec<String> {
    let constraints =
        certificate.name_constraints().ok().flatten().and_then(|found| found.value.permitted_subtrees.as_ref());
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(bytes) => address(bytes.split_at_checked(bytes.len() / 2)?.0),
        other => text(other),
    };
    constraints.into_iter().flatten().filter_map(|subtree| name(&subtree.base)).collect()
}

/// The names that a certificate is for; none where it can not be read.
pub(super) fn alternative_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = parsed.subject_alternative_name().ok().flatten().map(|found| &found.value.general_names);
    names.into_iter().flatten().filter_map(text).collect()
}

fn text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|v4| Ipv4Addr::from(v4).to_string()),
        _ => <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::client::{WebPkiServerVerifier, verify_server_name};
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
    use rustls::{CertificateError, RootCertStore};

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn der(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
    }

    fn roots(ca: &DevCa) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(der(ca.cert_pem())).unwrap();
        Arc::new(roots)
    }

    fn verify(ca: &DevCa, cert: &str, name: &str) -> Result<(), rustls::Error> {
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots(ca), super::super::provider()).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&der(cert), &[], &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn the_authority_is_constrained() {
        let ca = DevCa::create(&names(&["nats", "Edge", "10.1.2.3"])).unwrap();
        let der = der(ca.cert_pem());
        let (_, parsed) = X509Certificate::from_der(&der).unwrap();
        let constraints = parsed.name_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        let bases: Vec<_> =
            constraints.value.permitted_subtrees.as_ref().unwrap().iter().map(|s| s.base.clone()).collect();
        let mut loopback6 = Ipv6Addr::LOCALHOST.octets().to_vec();
        loopback6.extend([0xff; 16]);
        let wanted = [
            GeneralName::DNSName("localhost"),
            GeneralName::IPAddress(&[127, 0, 0, 1, 255, 0, 0, 0]),
            GeneralName::IPAddress(&loopback6),
            GeneralName::DNSName("nats"),
            GeneralName::DNSName("edge"),
            GeneralName::IPAddress(&[10, 1, 2, 3, 255, 255, 255, 255]),
        ];
        assert_eq!(bases, wanted);
        assert!(parsed.is_ca() && parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(parsed.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
        let life = parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp();
        assert_eq!(life, 2 * 365 * 86_400 + 3600);
    }

    #[test]
    fn names_within_are_signed_and_others_are_not() {
        let ca = DevCa::create(&names(&["nats"])).unwrap();
        let wanted = ["localhost", "127.0.0.1", "127.9.9.9", "::1", "nats", "edge.localhost"];
        let issued = ca.server_cert(&names(&wanted)).unwrap();
        for name in wanted {
            assert_eq!(verify(&ca, &issued.cert_pem, name), Ok(()), "{name}");
        }
        for name in ["evil.example", "notlocalhost", "8.8.8.8", "xnats", "::2"] {
            assert!(matches!(ca.server_cert(&names(&[name])), Err(Error::NotPermitted { .. })), "{name}");
        }
        for name in ["", "a b", "*", "a\nb"] {
            assert!(matches!(ca.server_cert(&names(&[name])), Err(Error::Name { .. })), "{name}");
        }
    }

    #[test]
    fn a_client_refuses_what_a_stolen_key_signs() {
        let ca = DevCa::create(&[]).unwrap();
        for name in ["evil.example", "8.8.8.8"] {
            let stolen =
                ca.issue(&names(&[name]), "evil", ExtendedKeyUsagePurpose::ServerAuth, SystemTime::now()).unwrap();
            // the name does match, so that it is the constraint that refuses
            let parsed = der(&stolen.cert_pem);
            let server_name = ServerName::try_from(name.to_owned()).unwrap();
            verify_server_name(&ParsedCertificate::try_from(&parsed).unwrap(), &server_name).unwrap();
            let error = verify(&ca, &stolen.cert_pem, name).unwrap_err();
            assert!(error.to_string().contains("NameConstraintViolation"), "{error}");
        }
    }

    #[test]
    fn an_authority_is_loaded_again() {
        let ca = DevCa::create(&names(&["nats"])).unwrap();
        let again = DevCa::load(ca.cert_pem(), &ca.key_pem()).unwrap();
        assert_eq!((&again.permitted, again.not_after), (&ca.permitted, ca.not_after));
        let issued = again.server_cert(&names(&["nats"])).unwrap();
        assert_eq!(verify(&ca, &issued.cert_pem, "nats"), Ok(()));
        let other = DevCa::create(&[]).unwrap();
        assert!(verify(&other, &issued.cert_pem, "nats").is_err());
        assert!(DevCa::load(ca.cert_pem(), &other.key_pem()).is_err());
        assert!(DevCa::load(&issued.cert_pem, &issued.key_pem).is_err());
        assert!(DevCa::load("", "").is_err());
        assert!(!format!("{ca:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_clients_certificate_is_for_clients() {
        let ca = DevCa::create(&names(&["edge"])).unwrap();
        let issued = ca.client_cert("edge").unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots(&ca), super::super::provider()).build().unwrap();
        verifier.verify_client_cert(&der(&issued.cert_pem), &[], UnixTime::now()).unwrap();
        assert!(verify(&ca, &issued.cert_pem, "edge").is_err());
        assert!(ca.client_cert("evil.example").is_err());
    }

    #[test]
    fn an_old_certificate_is_refused() {
        let ca = DevCa::create(&[]).unwrap();
        let old = ca.server_cert_at(&names(&["localhost"]), SystemTime::now() - DAY * 91).unwrap();
        let error = verify(&ca, &old.cert_pem, "localhost").unwrap_err();
        assert!(matches!(
            error,
            rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })
        ));
    }
}
