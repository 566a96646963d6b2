//! The edge's configuration. What each key means stands beside its default, in the binary's `default.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;

use arborgate_runtime::config::{ByteSize, HumanDuration};
use ipnet::IpNet;
use serde::Deserialize;

use crate::limits::Policy;

/// `[edge]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where a plain listener redirects to HTTPS; absent: there is none.
    pub redirect_listen: Option<SocketAddr>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Credentials and rate-limit accounts that are remembered.
    pub remember: usize,
    /// Whether `POST /token` takes passwords.
    pub password_grant: bool,
    /// `[edge.tls]`
    pub tls: Tls,
    /// `[edge.connections]`
    pub connections: Connections,
    /// `[edge.requests]`
    pub requests: Requests,
    /// `[edge.inference]`
    pub inference: Inference,
    /// `[edge.jobs]`
    pub jobs: Jobs,
    /// `[edge.flood]`
    pub flood: Flood,
    /// `[[edge.policies]]`
    pub policies: Vec<Policy>,
}

/// TLS of the clients' listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// False: plain HTTP, for a listener behind a proxy.
    pub enabled: bool,
    /// PEM chain; absent: the development certificate.
    pub cert: Option<PathBuf>,
    /// PEM key.
    pub key: Option<PathBuf>,
    /// Whether to send `Strict-Transport-Security`; never sent for `localhost` and with the development certificate.
    pub hsts: bool,
    /// How often the files are looked at.
    pub reload_every: HumanDuration,
}

/// What one connection, and all of them, may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connections {
    /// At once.
    pub most: usize,
    /// At once from one address.
    pub most_by_address: usize,
    /// HTTP/2 streams at once on one.
    pub streams: u32,
    /// For the TLS handshake.
    pub handshake_timeout: HumanDuration,
    /// For a request's headers.
    pub header_timeout: HumanDuration,
    /// Without a request.
    pub idle_timeout: HumanDuration,
}

/// What one request may take.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// From its headers to its answer.
    pub timeout: HumanDuration,
    /// For its body; of an upload: between two pieces of it.
    pub body_timeout: HumanDuration,
    /// Bytes of a body.
    pub max_body: ByteSize,
    /// Bytes of a prediction's body.
    pub max_predict_body: ByteSize,
    /// Bytes of a model's file or a backup.
    pub max_upload: ByteSize,
    /// For checking an upload.
    pub upload_timeout: HumanDuration,
}

/// Rows on their way to workers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// Rows in a request.
    pub max_rows: u32,
    /// Rows in a message to a worker.
    pub message_rows: usize,
    /// Rows that wait for a version.
    pub waiting_rows: usize,
    /// Messages under way for a version, or twice its workers if that is more.
    pub in_flight: usize,
    /// For one worker's answer, before another is asked.
    pub attempt_timeout: HumanDuration,
}

/// Large work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jobs {
    /// Bytes of a job's file.
    pub max_bytes: ByteSize,
    /// Jobs of one principal that are not over.
    pub at_once: usize,
    /// Jobs that are kept, of all principals, over or not.
    pub most: usize,
    /// How long a job may take, and how long it and its result are kept once it is over.
    pub retention: HumanDuration,
    /// Streams of events at once, through one edge.
    pub event_streams: usize,
}

/// The longest [`Jobs::retention`]: records older than that, and some days, are forgotten by the state itself.
const LONGEST_RETENTION: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// The edge's own guard, before anybody is known.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// Requests a second from one address; 0: no guard.
    pub per_second: u32,
    /// At once.
    pub burst: u32,
}

impl Config {
    /// Everything wrong with it, as key (below `edge`) and sentence.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, key: &str, text: &str| {
            if wrong {
                faults.push((key.to_owned(), text.to_owned()));
            }
        };
        let positive = "must be at least 1";
        fault(self.remember == 0, "remember", positive);
        fault(self.tls.cert.is_some() != self.tls.key.is_some(), "tls.cert", "must be given together with tls.key");
        fault(self.connections.most == 0, "connections.most", positive);
        fault(self.connections.most_by_address == 0, "connections.most_by_address", positive);
        fault(self.connections.streams == 0, "connections.streams", positive);
        fault(self.inference.max_rows == 0, "inference.max_rows", positive);
        fault(self.inference.message_rows == 0, "inference.message_rows", positive);
        fault(self.inference.in_flight == 0, "inference.in_flight", positive);
        fault(self.inference.attempt_timeout.is_zero(), "inference.attempt_timeout", "must be longer than 0s");
        fault(self.requests.timeout.is_zero(), "requests.timeout", "must be longer than 0s");
        fault(self.jobs.at_once == 0, "jobs.at_once", positive);
        fault(self.jobs.most == 0, "jobs.most", positive);
        let retained = !self.jobs.retention.is_zero() && *self.jobs.retention <= LONGEST_RETENTION;
        fault(!retained, "jobs.retention", "must be longer than 0s, and at most 30d");
        fault(self.flood.per_second > 0 && self.flood.burst == 0, "flood.burst", positive);
        for (index, policy) in self.policies.iter().enumerate() {
            for (key, text) in policy.faults() {
                faults.push((format!("policies.{index}.{key}"), text));
            }
            if self.policies.iter().take(index).any(|other| other.name == policy.name) {
                faults.push((format!("policies.{index}.name"), "is the name of another policy".to_owned()));
            }
        }
        faults
    }
}
