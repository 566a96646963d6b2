//! The whole configuration: the documented defaults compiled in, then the user's file, the environment and the flags.

use std::path::{Path, PathBuf};

use arborgate_runtime::config::{ConfigError, HumanDuration, Report, load_validated, process_env};
use arborgate_runtime::{ops, telemetry};
use serde::Deserialize;

use crate::cli::{ClusterOptions, ConfigOptions};

const DEFAULTS: &str = include_str!("default.toml");

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub telemetry: telemetry::Config,
    pub ops: ops::Config,
    pub shutdown: Shutdown,
    pub cluster: Cluster,
    pub nats: arborgate_bus::nats::Config,
    pub edge: arborgate_edge::Config,
    pub auth: arborgate_auth::Config,
    pub limiter: arborgate_limiter::Config,
    pub crypto: arborgate_crypto::Config,
    pub inference: arborgate_inference::Config,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// For what is under way when the process is told to end.
    pub grace: HumanDuration,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// The cluster's master key.
    pub master_key_file: Option<PathBuf>,
}

impl Settings {
    /// Of a process that is all in one.
    pub(crate) fn of(options: &ConfigOptions) -> Result<Self, ConfigError> {
        Self::load(options.config.as_deref(), &flags(options))
    }

    /// Of a process of a cluster.
    pub(crate) fn of_cluster(options: &ClusterOptions) -> Result<Self, ConfigError> {
        let mut flags = flags(&options.config);
        if let Some(urls) = &options.nats {
            flags.push(("nats.urls".to_owned(), urls.clone()));
        }
        if let Some(path) = &options.master_key_file {
            flags.push(("cluster.master_key_file".to_owned(), path.display().to_string()));
        }
        Self::load(options.config.config.as_deref(), &flags)
    }

    fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        load_validated(DEFAULTS, file, process_env()?, flags, Self::validate)
    }

    fn validate(&self, report: &mut Report<'_>) {
        let mut add = |section: &str, faults: Vec<(String, String)>| {
            for (key, text) in faults {
                report.add(&format!("{section}.{key}"), text);
            }
        };
        let owned = |faults: Vec<(&'static str, String)>| faults.into_iter().map(|(k, t)| (k.to_owned(), t)).collect();
        add("edge", self.edge.faults());
        add("auth", owned(self.auth.faults()));
        add("limiter", owned(self.limiter.problems()));
        add("crypto", owned(self.crypto.problems()));
        add("inference", owned(self.inference.problems()));
    }
}

fn flags(options: &ConfigOptions) -> Vec<(String, String)> {
    let listen = options.listen.map(|address| ("edge.listen".to_owned(), address.to_string()));
    let ops = options.ops_listen.clone().map(|address| ("ops.listen".to_owned(), address));
    listen.into_iter().chain(ops).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        load_validated(DEFAULTS, None, env, &[], Settings::validate)
    }

    #[test]
    fn the_defaults_hold() {
        let settings = load(&[]).unwrap();
        assert_eq!(settings.edge.listen.to_string(), "127.0.0.1:8443");
        let token = settings.edge.policies.iter().find(|p| p.name == "token").unwrap();
        assert_eq!((token.permits, *token.window), (5, std::time::Duration::from_secs(60)));
    }

    #[test]
    fn what_is_written_in_the_file_is_what_the_services_would_take_by_themselves() {
        let settings = load(&[]).unwrap();
        assert_eq!(format!("{:?}", settings.auth), format!("{:?}", arborgate_auth::Config::default()));
        assert_eq!(format!("{:?}", settings.limiter), format!("{:?}", arborgate_limiter::Config::default()));
        assert_eq!(format!("{:?}", settings.crypto), format!("{:?}", arborgate_crypto::Config::default()));
        assert_eq!(format!("{:?}", settings.inference), format!("{:?}", arborgate_inference::Config::default()));
        assert_eq!(format!("{:?}", settings.nats), format!("{:?}", arborgate_bus::nats::Config::default()));
    }

    #[test]
    fn every_fault_is_named_with_its_key() {
        let error = load(&[
            ("ARBORGATE__EDGE__REMEMBER", "0"),
            ("ARBORGATE__AUTH__TOKEN_LIFE", "1s"),
            ("ARBORGATE__EDGE__TLS__CERT", "/x"),
        ])
        .unwrap_err()
        .to_string();
        for key in ["edge.remember", "auth.token_life", "edge.tls.cert"] {
            assert!(error.contains(key), "{error}");
        }
    }
}
