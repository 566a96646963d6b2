//! How NATS is reached and with which credentials. It opens files, and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::error::BusError;

const PING_INTERVAL: Duration = Duration::from_secs(10);
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_secs(2);
const REPLICAS: [usize; 3] = [1, 3, 5];

/// How NATS is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `nats://HOST:PORT` or `tls://HOST:PORT` of one server or several of a cluster; credentials have no place in it.
    pub urls: Vec<String>,
    /// What the server's monitoring calls this connection.
    pub name: String,
    /// Off by default.
    pub tls: Tls,
    /// None by default.
    pub credentials: Credentials,
    /// How long the state may take to answer, and a request that says no deadline; milliseconds.
    pub request_timeout_ms: u64,
    /// On how many servers a bucket that is made now is kept: 1, 3 or 5.
    pub replicas: usize,
    /// Replies come to subjects below it. Servers that know permissions give each service a prefix of its own, with
    /// leave to publish and to subscribe below it.
    pub inbox_prefix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: vec!["nats://127.0.0.1:4222".to_owned()],
            name: "arborgate".to_owned(),
            tls: Tls::default(),
            credentials: Credentials::default(),
            request_timeout_ms: 5_000,
            replicas: 1,
            inbox_prefix: "_INBOX".to_owned(),
        }
    }
}

/// TLS to NATS, by PEM files.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Refuse a server without TLS. `tls://` and a server that demands it have the same effect.
    pub required: bool,
    /// Who may have signed the server's certificate; without it, whom the system trusts.
    pub ca: Option<PathBuf>,
    /// This client's certificate, for servers that ask for one; with `key`.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// Who this process is to NATS: one of the kinds, or none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// A file that holds an NKey seed.
    pub nkey_seed_file: Option<PathBuf>,
    /// A `.creds` file: a JWT and its seed.
    pub creds_file: Option<PathBuf>,
    /// With `password`.
    pub user: Option<String>,
    /// With `user`.
    pub password: Option<SecretString>,
    /// A bare token.
    pub token: Option<SecretString>,
}

impl Config {
    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// What to connect to; every fault is named with its key.
    pub(super) fn addresses(&self) -> Result<Vec<ServerAddr>, BusError> {
        if self.urls.is_empty() {
            return Err(wrong("urls", "is empty; give one like nats://127.0.0.1:4222"));
        }
        if self.request_timeout_ms == 0 {
            return Err(wrong("request_timeout_ms", "must be at least 1"));
        }
        if !REPLICAS.contains(&self.replicas) {
            return Err(wrong("replicas", "must be 1, 3 or 5"));
        }
        let token = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if !self.inbox_prefix.split('.').all(token) {
            return Err(wrong("inbox_prefix", "must be letters, digits, '_' and '-' in parts joined by '.'"));
        }
        self.urls.iter().enumerate().map(|(i, url)| address(&format!("urls[{i}]"), url)).collect()
    }

    pub(super) async fn options(&self) -> Result<ConnectOptions, BusError> {
        let mut options = ConnectOptions::new()
            .name(&self.name)
            .custom_inbox_prefix(&self.inbox_prefix)
            .request_timeout(Some(self.request_timeout()))
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(reconnect_delay)
            .require_tls(self.tls.required);
        if let Some(ca) = &self.tls.ca {
            read("tls.ca", ca).await?;
            options = options.add_root_certificates(ca.clone());
        }
        match (&self.tls.cert, &self.tls.key) {
            (Some(cert), Some(key)) => {
                read("tls.cert", cert).await?;
                read("tls.key", key).await?;
                options = options.add_client_certificate(cert.clone(), key.clone());
            }
            (None, None) => {}
            _ => return Err(wrong("tls", "needs both cert and key, or neither")),
        }
        self.credentials.apply(options).await
    }
}

impl Credentials {
    async fn apply(&self, options: ConnectOptions) -> Result<ConnectOptions, BusError> {
        let by_user = self.user.is_some() || self.password.is_some();
        let kinds = [self.nkey_seed_file.is_some(), self.creds_file.is_some(), by_user, self.token.is_some()];
        if kinds.iter().filter(|given| **given).count() > 1 {
            return Err(wrong("credentials", "holds more than one of nkey_seed_file, creds_file, user and token"));
        }
        if let Some(file) = &self.nkey_seed_file {
            let seed = read("credentials.nkey_seed_file", file).await?;
            return Ok(options.nkey(seed.expose_secret().trim().to_owned()));
        }
        if let Some(file) = &self.creds_file {
            let text = read("credentials.creds_file", file).await?;
            // Its error may quote the file.
            return options
                .credentials(text.expose_secret())
                .map_err(|_| wrong("credentials.creds_file", "is not a file of NATS credentials"));
        }
        if let Some(token) = &self.token {
            return Ok(options.token(token.expose_secret().to_owned()));
        }
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                Ok(options.user_and_password(user.clone(), password.expose_secret().to_owned()))
            }
            (None, None) => Ok(options),
            _ => Err(wrong("credentials", "needs both user and password, or neither")),
        }
    }
}

fn wrong(key: &str, what: &str) -> BusError {
    BusError::Config(format!("nats.{key} {what}"))
}

fn address(key: &str, url: &str) -> Result<ServerAddr, BusError> {
    const RIGHT: &str = "is not like nats://HOST:PORT or tls://HOST:PORT";
    let address: ServerAddr = url.parse().map_err(|_| wrong(key, RIGHT))?;
    if address.has_user_pass() || address.password().is_some() {
        return Err(wrong(key, "holds credentials; they belong below nats.credentials, where nothing prints them"));
    }
    if !matches!(address.scheme(), "nats" | "tls") || address.host().is_empty() {
        return Err(wrong(key, RIGHT));
    }
    Ok(address)
}

async fn read(key: &str, path: &Path) -> Result<SecretString, BusError> {
    tokio::fs::read_to_string(path)
        .await
        .map(SecretString::from)
        .map_err(|error| wrong(key, &format!("can not be read from {}: {error}", path.display())))
}

fn reconnect_delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts).unwrap_or(u32::MAX).saturating_sub(1);
    Duration::from_millis(2_u64.saturating_pow(exponent)).min(LONGEST_RECONNECT_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_hold_no_credentials_and_no_other_scheme() {
        let with = |url: &str| Config { urls: vec![url.to_owned()], ..Config::default() }.addresses();
        assert_eq!(with("nats://127.0.0.1:4222").unwrap().len(), 1);
        assert_eq!(with("[::1]:4222").unwrap()[0].port(), 4222);
        assert_eq!(with("tls://nats.example.org").unwrap()[0].host(), "nats.example.org");
        for url in ["nats://ann:hunter2@host", "nats://hunter2@host", "http://host", "ws://host", "", "nats://"] {
            let error = with(url).unwrap_err().to_string();
            assert!(error.starts_with("nats.urls[0] "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Config { urls: vec![], ..Config::default() }.addresses().is_err());
        assert!(Config { replicas: 2, ..Config::default() }.addresses().is_err());
        for prefix in ["", "a b", "a.*", "a..b", ">"] {
            assert!(Config { inbox_prefix: prefix.to_owned(), ..Config::default() }.addresses().is_err(), "{prefix}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let config: Config =
            serde_json::from_str(r#"{"credentials":{"user":"ann","password":"hunter2"},"name":"edge"}"#).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(serde_json::from_str::<Config>(r#"{"url":"nats://x"}"#).unwrap_err().to_string().contains("`url`"));
    }

    #[tokio::test]
    async fn credentials_are_whole_and_of_one_kind() {
        let from = |json: &str| serde_json::from_str::<Config>(json).unwrap();
        let error = async |json: &str| from(json).options().await.map(drop).unwrap_err().to_string();
        assert!(error(r#"{"credentials":{"user":"ann"}}"#).await.contains("both user and password"));
        assert!(error(r#"{"credentials":{"token":"t","user":"ann","password":"p"}}"#).await.contains("more than one"));
        assert!(
            error(r#"{"credentials":{"creds_file":"/does/not/exist"}}"#).await.contains("nats.credentials.creds_file")
        );
        assert!(error(r#"{"tls":{"cert":"/x"}}"#).await.contains("both cert and key"));
        assert!(error(r#"{"tls":{"ca":"/does/not/exist"}}"#).await.contains("nats.tls.ca"));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "SEED-LIKE-SECRET").unwrap();
        let config = Config {
            credentials: Credentials { creds_file: Some(file.path().to_owned()), ..Credentials::default() },
            ..Config::default()
        };
        let error = config.options().await.map(drop).unwrap_err();
        assert!(!format!("{error:?}").contains("SEED-LIKE"));
    }

    #[test]
    fn reconnecting_waits_a_little_longer_each_time() {
        assert_eq!(reconnect_delay(1), Duration::from_millis(1));
        assert_eq!(reconnect_delay(6), Duration::from_millis(32));
        assert_eq!(reconnect_delay(usize::MAX), LONGEST_RECONNECT_DELAY);
    }
}
