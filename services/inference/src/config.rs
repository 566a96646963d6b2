//! What an operator may set for this service, and what values can work.

use arborgate_forest::Limits;
use arborgate_runtime::config::{ByteSize, HumanDuration};
use serde::Deserialize;

use crate::provenance::Policy;

/// The section `inference` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Threads that compute; 0: as many as this process has processors.
    pub threads: usize,
    /// Rows that may wait for one model version; more are refused as overloaded.
    pub queue_rows: usize,
    /// Rows that one thread takes at once, at most.
    pub batch_rows: usize,
    /// Rows below which the rows of one caller are not divided between threads.
    pub split_rows: usize,
    /// Messages with predictions under way at once on each subject; more are refused.
    pub capacity: usize,
    /// Bytes of a model's file.
    pub max_artifact: ByteSize,
    /// Pauses between tries to load a model that failed grow up to this.
    pub retry_at_most: HumanDuration,
    /// Labels, `name=value` each: models with one of them are held here; empty: all models.
    pub hold: Vec<String>,
    /// Bytes of all models that are loaded; those least recently used make room; 0: no bound.
    pub memory: ByteSize,
    /// Whose models are run.
    pub provenance: Provenance,
    /// What a model's file may hold.
    pub model: ModelLimits,
    /// Work that nobody waits for.
    pub jobs: Jobs,
}

/// Jobs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jobs {
    /// Jobs that this worker goes on with at once; 0: none, and it predicts rows of jobs all the same.
    pub at_once: usize,
    /// Where their files are kept while they are read and written; absent: where the system keeps such files.
    pub scratch: Option<std::path::PathBuf>,
    /// How often what is over is removed.
    pub sweep_every: HumanDuration,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { at_once: 2, scratch: None, sweep_every: HumanDuration(std::time::Duration::from_secs(30)) }
    }
}

/// Whose models are run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provenance {
    /// Whether a model must be signed by one of the keys.
    pub required: bool,
    /// Ed25519 public keys in hex, as `arborgate models sign` prints them.
    pub keys: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 0,
            queue_rows: 65_536,
            batch_rows: 4_096,
            split_rows: 512,
            capacity: 1_024,
            max_artifact: ByteSize(512 << 20),
            retry_at_most: HumanDuration(std::time::Duration::from_secs(60)),
            hold: Vec::new(),
            memory: ByteSize(0),
            provenance: Provenance::default(),
            model: ModelLimits::default(),
            jobs: Jobs::default(),
        }
    }
}

/// What a model's file may hold: the bounds of [`Limits`] that an operator may want to move.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelLimits {
    /// Bytes of the file once decompressed.
    pub max_decompressed: ByteSize,
    /// Trees of an ensemble.
    pub max_trees: usize,
    /// Nodes of all trees together.
    pub max_nodes: usize,
    /// Splits between a root and its deepest leaf.
    pub max_depth: usize,
    /// Classes of one output.
    pub max_classes: usize,
    /// Outputs of a model.
    pub max_outputs: usize,
    /// Columns of the input.
    pub max_features: usize,
}

impl Default for ModelLimits {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            // Of a container's memory, beside the model that is made of it.
            max_decompressed: ByteSize(512 << 20),
            max_trees: limits.max_trees,
            max_nodes: limits.max_nodes,
            max_depth: limits.max_depth,
            max_classes: limits.max_classes,
            max_outputs: limits.max_outputs,
            max_features: limits.max_features,
        }
    }
}

impl ModelLimits {
    fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.max_decompressed.as_usize(),
            max_trees: self.max_trees,
            max_nodes: self.max_nodes,
            max_depth: self.max_depth,
            max_classes: self.max_classes,
            max_outputs: self.max_outputs,
            max_features: self.max_features,
            ..Limits::default()
        }
    }
}

/// What reading an artifact may cost, and whose is read.
#[derive(Clone, Debug)]
pub struct ArtifactLimits {
    /// Bytes of the file as stored.
    pub max_artifact: u64,
    /// Bytes of the model as it computes; 0: no bound.
    pub memory: u64,
    /// Who must have signed it.
    pub provenance: Policy,
    /// What it may hold.
    pub model: Limits,
}

impl Default for ArtifactLimits {
    fn default() -> Self {
        Config::default().artifact_limits()
    }
}

impl Config {
    /// What reading an artifact may cost under this configuration, and whose is read.
    pub fn artifact_limits(&self) -> ArtifactLimits {
        let Provenance { required, keys } = &self.provenance;
        ArtifactLimits {
            max_artifact: self.max_artifact.bytes(),
            memory: self.memory.bytes(),
            // Keys that are none were told by `problems`; here they let nothing in.
            provenance: Policy::new(*required, keys).unwrap_or_else(|_| Policy::nobody()),
            model: self.model.limits(),
        }
    }

    /// What is wrong: each key below `inference`, and why.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut at_least = |key, value: usize, least: usize| {
            if value < least {
                problems.push((key, format!("is {value}; it must be at least {least}")));
            }
        };
        at_least("queue_rows", self.queue_rows, 1);
        at_least("split_rows", self.split_rows, 1);
        at_least("batch_rows", self.batch_rows, self.split_rows);
        at_least("capacity", self.capacity, 1);
        at_least("max_artifact", self.max_artifact.as_usize(), 1);
        let unlike = |label: &&String| label.split_once('=').is_none_or(|(name, _)| name.is_empty());
        if let Some(label) = self.hold.iter().find(unlike) {
            problems.push(("hold", format!("has {label:?}; a label is given as name=value")));
        }
        if let Err(problem) = Policy::new(self.provenance.required, &self.provenance.keys) {
            problems.push(("provenance.keys", problem));
        }
        if self.jobs.sweep_every.is_zero() {
            problems.push(("jobs.sweep_every", "must be longer than 0s".to_owned()));
        }
        if self.threads > MOST_THREADS {
            problems.push(("threads", format!("is {}; it must be at most {MOST_THREADS}", self.threads)));
        }
        problems
    }

    pub(crate) fn thread_count(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_THREADS),
            threads => threads,
        }
    }
}

const MOST_THREADS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_work_and_nonsense_is_named() {
        assert!(Config::default().problems().is_empty());
        let config: Config =
            serde_json::from_str(r#"{"batch_rows": 8, "split_rows": 9, "capacity": 0, "threads": 5000}"#).unwrap();
        let keys: Vec<_> = config.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["batch_rows", "capacity", "threads"]);
        assert!(serde_json::from_str::<Config>(r#"{"thread": 1}"#).is_err());
    }
}
