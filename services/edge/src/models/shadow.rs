//! A version that is asked as well: its answers are compared with those that callers got, counted, and dropped. No caller
//! waits for it, and what it costs is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arborgate_bus::Meta;
use arborgate_contracts::rollout::{Shadow, WHOLE};
use arborgate_contracts::wire::{Answer, Asked};
use arborgate_contracts::{ModelName, Version};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::catalog::Served;
use super::rows::Rows;

/// Requests that are asked again at once, of one shadow; others are skipped.
const AT_ONCE: usize = 16;
/// How long a shadow may take.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    model: String,
    version: String,
    outcome: &'static str,
}

/// What all shadows count, below `edge_shadow_rows`.
#[derive(Clone, Default)]
pub struct Metrics {
    rows: Family<Labels, Counter>,
    /// So that a change of a shadow's share goes on counting.
    counts: Arc<Mutex<Vec<Arc<Counts>>>>,
}

impl Metrics {
    /// In a registry.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register("edge_shadow_rows", "rows asked of a shadow, by what became of them", metrics.rows.clone());
        metrics
    }

    fn of(&self, model: &ModelName, version: &Version) -> Arc<Counts> {
        let mut all = self.counts.lock();
        if let Some(counts) = all.iter().find(|counts| counts.model == *model && counts.version == *version) {
            return Arc::clone(counts);
        }
        let count = |outcome| {
            let labels = Labels { model: model.to_string(), version: version.to_string(), outcome };
            self.rows.get_or_create(&labels).clone()
        };
        let counts = Arc::new(Counts {
            model: model.clone(),
            version: version.clone(),
            agreed: count("agreed"),
            differed: count("differed"),
            failed: count("failed"),
            skipped: count("skipped"),
            greatest: AtomicU64::new(0),
        });
        all.push(Arc::clone(&counts));
        counts
    }

    /// What was found of a version so far, as a shadow.
    pub fn found(&self, model: &ModelName, version: &Version) -> Found {
        self.of(model, version).found()
    }
}

/// What was found of one shadow by this edge, in rows.
#[derive(Debug)]
pub struct Counts {
    model: ModelName,
    version: Version,
    agreed: Counter,
    differed: Counter,
    failed: Counter,
    skipped: Counter,
    /// The bits of a number that is not negative, which are in the numbers' order.
    greatest: AtomicU64,
}

/// [`Counts`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Found {
    /// Rows with the same answer.
    pub agreed: u64,
    /// Rows with another one.
    pub differed: u64,
    /// Rows without an answer.
    pub failed: u64,
    /// Rows that were not asked: too much was under way.
    pub skipped: u64,
    /// Between two values of the same row, at most.
    pub greatest_difference: f64,
}

/// A shadow of a model.
pub struct Shadowing {
    served: Arc<Served>,
    settings: Shadow,
    counts: Arc<Counts>,
    room: Arc<Semaphore>,
}

impl Shadowing {
    /// Of a version.
    pub fn new(served: Arc<Served>, settings: Shadow, metrics: &Metrics) -> Self {
        let counts = metrics.of(&served.manifest.model, &served.manifest.version);
        Self { served, settings, counts, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// A copy of rows that are to be compared, if these are, before the version `asked` takes them.
    pub fn sample(self: &Arc<Self>, rows: &Rows, asked: &Served) -> Option<Sample> {
        let compared = [Asked::DEFAULT, Asked::VALUES, Asked::LABELS].contains(&rows.ask.asked);
        let is_itself = self.served.manifest.version == asked.manifest.version;
        if !compared || is_itself || rand::random_range(0..WHOLE) >= self.settings.basis_points {
            return None;
        }
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            self.counts.skipped.inc_by(u64::from(rows.count));
            return None;
        };
        Some(Sample { shadow: Arc::clone(self), rows: rows.clone(), _room: room })
    }
}

/// Rows to be compared.
pub struct Sample {
    shadow: Arc<Shadowing>,
    rows: Rows,
    _room: OwnedSemaphorePermit,
}

impl Sample {
    /// Asks the shadow, in a task of its own, and compares with what the caller got.
    pub fn compare(self, got: &Answer, grant: &Arc<str>) {
        let (got, grant) = (got.clone(), Arc::clone(grant));
        tokio::spawn(async move {
            let Self { shadow, rows, _room: room } = self;
            let count = u64::from(rows.count);
            match shadow.served.lane.predict(rows, Meta::within(PATIENCE), &grant).await {
                Ok(answer) => shadow.counts.compare(&got, &answer, shadow.settings.tolerance),
                Err(_) => drop(shadow.counts.failed.inc_by(count)),
            }
            drop(room);
        });
    }
}

/// Between two values: none between those that are equal or both no number, endless where one is no number or endless.
fn difference(one: f64, two: f64) -> f64 {
    let same = one == two || (one.is_nan() && two.is_nan());
    let between = if same { 0.0 } else { (one - two).abs() };
    if between.is_nan() { f64::INFINITY } else { between }
}

impl Counts {
    fn found(&self) -> Found {
        Found {
            agreed: self.agreed.get(),
            differed: self.differed.get(),
            failed: self.failed.get(),
            skipped: self.skipped.get(),
            greatest_difference: f64::from_bits(self.greatest.load(Ordering::Relaxed)),
        }
    }

    fn compare(&self, one: &Answer, two: &Answer, tolerance: f64) {
        let rows = one.rows as usize;
        let per_row = |of: usize| of.checked_div(rows).unwrap_or(0).max(1);
        let (width, labels) = (per_row(one.values.len()), per_row(one.labels.len()));
        let same_shape = (one.values.len(), one.labels.len()) == (two.values.len(), two.labels.len());
        let mut agreed = 0;
        for row in 0..rows {
            let mut near = true;
            for (a, b) in slice(&one.values, row, width).iter().zip(slice(&two.values, row, width)) {
                let difference = difference(*a, *b);
                // JSON has no number for what is endless.
                self.greatest.fetch_max(difference.min(f64::MAX).to_bits(), Ordering::Relaxed);
                let allowed = tolerance * a.abs().max(1.0);
                near &= difference == 0.0 || (difference.is_finite() && difference <= allowed);
            }
            let same_labels = slice(&one.labels, row, labels) == slice(&two.labels, row, labels);
            agreed += u64::from(same_shape && near && same_labels);
        }
        self.agreed.inc_by(agreed);
        self.differed.inc_by(rows as u64 - agreed);
    }
}

/// A row of `width` each.
fn slice<T>(all: &[T], row: usize, width: usize) -> &[T] {
    all.get(row * width..(row + 1) * width).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(values: &[f64], labels: &[u32], rows: u32) -> Answer {
        Answer { rows, values: values.to_vec(), labels: labels.to_vec(), queued_us: 0, computed_us: 0 }
    }

    #[test]
    fn rows_agree_by_label_and_by_value() {
        let counts = Metrics::default().of(&"m".parse().unwrap(), &"2".parse().unwrap());
        let one = answer(&[0.25, 0.75, 0.5, 0.5, 1.0, 0.0], &[1, 0, 0], 3);
        let two = answer(&[0.25, 0.75, 0.5, 0.5, 0.5, 0.5], &[1, 1, 0], 3);
        counts.compare(&one, &two, 0.0);
        assert_eq!((counts.agreed.get(), counts.differed.get()), (1, 2));
        assert_eq!(counts.found().greatest_difference, 0.5);
        // Relative to the value, from 1 on.
        counts.compare(&answer(&[100.0, 0.0], &[], 2), &answer(&[100.09, 0.0009], &[], 2), 1e-3);
        assert_eq!((counts.agreed.get(), counts.differed.get()), (3, 2));
        // What is no number, or endless, differs from all but itself.
        let endless = answer(&[f64::INFINITY, f64::NAN, f64::NEG_INFINITY], &[], 3);
        counts.compare(&endless, &endless, 0.0);
        assert_eq!((counts.found().agreed, counts.found().greatest_difference), (6, 0.5));
        counts.compare(&endless, &answer(&[f64::NAN, 1.0, f64::INFINITY], &[], 3), 1.0);
        assert_eq!((counts.found().agreed, counts.found().greatest_difference), (6, f64::MAX));
        // Another number of values is another answer.
        counts.compare(&answer(&[1.0], &[0], 1), &answer(&[1.0, 1.0], &[0], 1), 1.0);
        assert_eq!(counts.differed.get(), 6);
    }
}
