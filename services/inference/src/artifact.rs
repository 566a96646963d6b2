//! From an object in the store to a model that computes: fetched within bounds, checked against what was announced, read,
//! compiled, tried. It knows neither the registry nor the bus's subjects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_bus::Objects;
use arborgate_contracts::ModelName;
use arborgate_contracts::inference::Register;
use arborgate_contracts::provenance::Provenance;
use arborgate_contracts::registry::{Manifest, Task};
use arborgate_forest::{Compiled, Model, Step, Test, Tree};
use aws_lc_rs::digest;
use bytes::Bytes;
use ndarray::{Array2, ArrayViewMut2};
use tokio::sync::Semaphore;

use crate::config::ArtifactLimits;
use crate::error::LoadError;
use crate::kernel::{Kernel, Refused};

/// Fetching an artifact takes at most this long.
const FETCH_AT_MOST: Duration = Duration::from_secs(300);

/// A model that computes.
pub(crate) struct Artifact {
    pub(crate) model: Model,
    pub(crate) compiled: Compiled,
    /// What one row took, in nanoseconds.
    pub(crate) trial_ns: u64,
}

/// What is announced of an object.
#[derive(Clone, Copy)]
pub(crate) struct Announced<'a> {
    pub(crate) model: &'a ModelName,
    pub(crate) object: &'a str,
    pub(crate) size: u64,
    pub(crate) digest: &'a str,
    pub(crate) provenance: Option<&'a Provenance>,
}

impl<'a> From<&'a Manifest> for Announced<'a> {
    fn from(of: &'a Manifest) -> Self {
        let Manifest { model, object, size, digest, provenance, .. } = of;
        Self { model, object, size: *size, digest, provenance: provenance.as_ref() }
    }
}

impl<'a> From<&'a Register> for Announced<'a> {
    fn from(of: &'a Register) -> Self {
        let Register { model, object, size, digest, provenance, .. } = of;
        Self { model, object, size: *size, digest, provenance: provenance.as_ref() }
    }
}

/// Reads artifacts, a few at a time: each may take much memory and a processor.
#[derive(Clone)]
pub(crate) struct Loader {
    objects: Objects,
    limits: Arc<ArtifactLimits>,
    at_once: Arc<Semaphore>,
}

impl Loader {
    pub(crate) fn new(objects: Objects, limits: ArtifactLimits, at_once: usize) -> Self {
        Self { objects, limits: Arc::new(limits), at_once: Arc::new(Semaphore::new(at_once)) }
    }

    /// Bytes that all models have together; 0: no bound.
    pub(crate) fn memory(&self) -> u64 {
        self.limits.memory
    }

    /// The model of an object that is as announced.
    pub(crate) async fn load(&self, announced: Announced<'_>) -> Result<Artifact, LoadError> {
        let limit = self.limits.max_artifact;
        if announced.size > limit {
            return Err(LoadError::TooLarge { size: announced.size, limit });
        }
        self.limits.provenance.verify(announced.digest, announced.model, announced.provenance)?;
        // The semaphore is never closed.
        let permit = Arc::clone(&self.at_once).acquire_owned().await.ok();
        let fetch = self.objects.get_all(announced.object, limit);
        let bytes = tokio::time::timeout(FETCH_AT_MOST, fetch).await.map_err(|_| LoadError::Slow(FETCH_AT_MOST))??;
        if bytes.len() as u64 != announced.size {
            return Err(LoadError::Size { found: bytes.len() as u64, expected: announced.size });
        }
        let (limits, expected) = (Arc::clone(&self.limits), announced.digest.to_owned());
        let reading = tokio::task::spawn_blocking(move || {
            // Given back when the work has ended, also when nobody waits for it any more.
            let _permit = permit;
            read(&bytes, &expected, &limits)
        });
        reading.await.map_err(|_| LoadError::Panicked)?
    }
}

fn read(bytes: &Bytes, expected: &str, limits: &ArtifactLimits) -> Result<Artifact, LoadError> {
    let found = hex::encode(digest::digest(&digest::SHA256, bytes));
    if found != expected {
        return Err(LoadError::Digest { found, expected: expected.to_owned() });
    }
    let model = Model::read(bytes, &limits.model.clone().into())?;
    let compiled = Compiled::new(&model)?;
    let (bytes, limit) = (compiled.bytes() as u64, limits.memory);
    if limit > 0 && bytes > limit {
        return Err(LoadError::OverBudget { bytes, limit });
    }
    let trial_ns = canary(&model, &compiled)?;
    Ok(Artifact { model, compiled, trial_ns })
}

/// Predicts rows that every model takes, together and alone: the answers must be numbers, name classes that there are,
/// and not depend on what is predicted together. Gives the nanoseconds of one row.
fn canary(model: &Model, kernel: &dyn Kernel) -> Result<u64, LoadError> {
    let rows = canary_rows(model);
    let (values, labels) = trial(kernel, &rows)?;
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        return Err(LoadError::Canary(format!("value {at} of its answer is not a finite number")));
    }
    for row in labels.outer_iter() {
        let illegal = row.iter().zip(model.classes()).position(|(label, classes)| *label as usize >= classes.len());
        if let Some(output) = illegal {
            return Err(LoadError::Canary(format!("the label of output {output} is no class")));
        }
    }
    let mut least = u64::MAX;
    for (i, row) in rows.outer_iter().enumerate() {
        let alone = row.to_owned().insert_axis(ndarray::Axis(0));
        let began = Instant::now();
        let (alone_values, alone_labels) = trial(kernel, &alone)?;
        least = least.min(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
        let same = values.row(i).iter().zip(&alone_values).all(|(a, b)| a.to_bits() == b.to_bits());
        if !same || !labels.row(i).iter().eq(&alone_labels) {
            return Err(LoadError::Canary("its answer depends on what is predicted together".into()));
        }
    }
    Ok(least)
}

/// Zeros, and the threshold of each feature's first split; where an encoder takes only its categories, the first of them.
pub(crate) fn canary_rows(model: &Model) -> Array2<f64> {
    let columns = model.n_features();
    let (mut zeros, mut thresholds) = (vec![0.0; columns], vec![None; columns]);
    for (column, step) in model.columns().iter().flat_map(|column| column.steps.iter().map(move |step| (column, step)))
    {
        if let Step::Encode(encoding) = step
            && let (Some(category), Some(zero)) = (encoding.categories.first(), zeros.get_mut(column.feature as usize))
            && let Some(threshold) = thresholds.get_mut(column.feature as usize)
        {
            (*zero, *threshold) = (*category, Some(*category));
        }
    }
    for split in model.trees().iter().flat_map(Tree::splits) {
        let feature = model.columns().get(split.column as usize).map_or(split.column, |column| column.feature);
        if let Test::AtMost(threshold) = split.test
            && let Some(slot @ None) = thresholds.get_mut(feature as usize)
            && threshold.abs() <= f64::from(f32::MAX)
        {
            *slot = Some(threshold);
        }
    }
    let values: Vec<f64> = zeros.into_iter().chain(thresholds.into_iter().map(Option::unwrap_or_default)).collect();
    Array2::from_shape_vec((2, columns), values).unwrap_or_default()
}

pub(crate) fn trial(kernel: &dyn Kernel, rows: &Array2<f64>) -> Result<(Array2<f64>, Array2<u32>), LoadError> {
    let mut values = Array2::zeros((rows.nrows(), kernel.width()));
    let mut labels = Array2::zeros((rows.nrows(), kernel.labels()));
    let (values_view, labels_view): (ArrayViewMut2<'_, f64>, _) = (values.view_mut(), labels.view_mut());
    kernel.predict(rows.view(), values_view, labels_view).map_err(|refused| match refused {
        Refused::Row { row, column, problem } => LoadError::Canary(format!("row {row}, column {column} {problem}")),
        Refused::Call(problem) => LoadError::Canary(problem),
    })?;
    Ok((values, labels))
}

/// What a model does, as the registry says it.
pub(crate) fn task(model: &Model) -> Task {
    match model.task() {
        arborgate_forest::Task::Classification => Task::Classification,
        arborgate_forest::Task::Regression => Task::Regression,
        arborgate_forest::Task::OutlierDetection => Task::OutlierDetection,
    }
}

/// That an artifact is the one which its manifest describes: the edge validates and answers by the manifest.
pub(crate) fn check(manifest: &Manifest, artifact: &Artifact) -> Result<(), LoadError> {
    let (model, compiled) = (&artifact.model, &artifact.compiled);
    let task = task(model);
    let wrong = |what: &str, found: usize, said: usize| {
        Err(LoadError::Manifest(format!("it has {found} {what}, its manifest says {said}")))
    };
    if task != manifest.task {
        return Err(LoadError::Manifest("it does another task than its manifest says".into()));
    }
    if compiled.n_features() != manifest.features.len() {
        return wrong("features", compiled.n_features(), manifest.features.len());
    }
    if compiled.values_width() != manifest.width() {
        return wrong("values a row", compiled.values_width(), manifest.width());
    }
    if model.n_outputs() != manifest.outputs as usize {
        return wrong("outputs", model.n_outputs(), manifest.outputs as usize);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
