//! A bus with an empty registry, workers on it, and what the edge does: upload, register, predict.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_bus::local::{Config as LocalConfig, LocalBus};
use arborgate_bus::{Bucket, Bus, Client, Directory, Meta, Objects, RequestError};
use arborgate_contracts::bucket::{ARTIFACTS, JOB_FILES, JOBS, MODELS};
use arborgate_contracts::inference::{PREDICT, Register, Registered, Remove};
use arborgate_contracts::presence::{Aside, Held};
use arborgate_contracts::queue;
use arborgate_contracts::signature::GivenSignature;
use arborgate_contracts::wire::{Answer, Asked, BatchHeader, Reply, RequestWriter};
use arborgate_contracts::{Deadline, InstanceId, ModelName, Service, ServiceError, Subject, Version};
use arborgate_forest::{Compiled, Model, Options, Output};
use arborgate_inference::{ArtifactLimits, Config, Running, register, start};
use aws_lc_rs::digest;
use bytes::Bytes;
use ndarray::{Array2, ArrayView2};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub(crate) const IRIS: &[u8] = include_bytes!("../../../arborgate/models/iris.joblib");
/// Ten features to one number.
pub(crate) const DIABETES: &[u8] =
    include_bytes!("../../../../common/forest/tests/fixtures/sklearn/1.9.1/rf_diabetes.z");
/// Iris with two outputs: the species, and another of two classes.
pub(crate) const PAIR: &[u8] =
    include_bytes!("../../../../common/forest/tests/fixtures/sklearn/1.9.1/rf_iris_pair.joblib");
/// Iris where NaN is a value.
pub(crate) const MISSING: &[u8] =
    include_bytes!("../../../../common/forest/tests/fixtures/sklearn/1.9.1/rf_iris_missing.z");
/// Iris of a version that takes no NaN.
pub(crate) const OLD: &[u8] = include_bytes!("../../../../common/forest/tests/fixtures/sklearn/1.1.3/rf_iris.joblib");
/// Iris with names of its own, of two trees.
pub(crate) const TINY: &[u8] = include_bytes!("../../../../common/forest/tests/fixtures/sklearn/1.9.1/tiny.j3.joblib");

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}

pub(crate) fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

pub(crate) fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Waits for what must come, bounded.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it did not happen")
}

pub(crate) struct System {
    pub(crate) bus: Bus,
    pub(crate) models: Bucket,
    pub(crate) objects: Objects,
    uploads: AtomicUsize,
}

impl System {
    pub(crate) async fn new() -> Self {
        Self::with(LocalConfig::default()).await
    }

    pub(crate) async fn with(config: LocalConfig) -> Self {
        Self::on(Bus::new(LocalBus::open(config).unwrap())).await
    }

    pub(crate) async fn on(bus: Bus) -> Self {
        let models = bus.create_bucket(&MODELS).await.unwrap();
        let objects = bus.create_objects(ARTIFACTS).await.unwrap();
        bus.create_bucket(&JOBS).await.unwrap();
        bus.create_objects(JOB_FILES).await.unwrap();
        for spec in queue::ALL {
            bus.create_queue(spec).await.unwrap();
        }
        Self { bus, models, objects, uploads: AtomicUsize::new(0) }
    }

    /// Stores bytes under a name of their own, as the edge does.
    pub(crate) async fn upload(&self, bytes: &[u8]) -> String {
        let object = format!("uploads/{}", self.uploads.fetch_add(1, Ordering::Relaxed));
        self.put(&object, bytes).await;
        object
    }

    pub(crate) async fn put(&self, object: &str, bytes: &[u8]) {
        let chunks: Vec<_> = bytes.chunks(4096).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        self.objects.put(object, Box::pin(futures_util::stream::iter(chunks))).await.unwrap();
    }

    /// A registration of these bytes, uploaded.
    pub(crate) async fn request(&self, model: &str, number: &str, bytes: &[u8]) -> Register {
        Register {
            model: name(model),
            version: version(number),
            object: self.upload(bytes).await,
            digest: digest(bytes),
            size: bytes.len() as u64,
            signature: GivenSignature::default(),
            provenance: None,
            held_back: false,
            default: false,
            created_by: "user:ann".into(),
        }
    }

    pub(crate) async fn register(&self, request: Register) -> Result<Registered, ServiceError> {
        soon(register(&self.bus, &ArtifactLimits::default(), request)).await
    }

    /// Registers without a worker.
    pub(crate) async fn add(&self, model: &str, number: &str, bytes: &[u8]) -> Registered {
        self.register(self.request(model, number, bytes).await).await.unwrap()
    }

    pub(crate) async fn object_names(&self) -> Vec<String> {
        self.objects.list().await.unwrap().into_iter().map(|object| object.name).collect()
    }

    pub(crate) async fn worker(&self, instance: &str) -> Worker {
        self.worker_with(instance, Config { threads: 2, ..Config::default() }).await
    }

    pub(crate) async fn worker_with(&self, instance: &str, config: Config) -> Worker {
        let mut metrics = Registry::default();
        let instance: InstanceId = instance.parse().unwrap();
        let running = soon(start(config, self.bus.clone(), instance.clone(), &mut metrics)).await.unwrap();
        Worker { running, instance, metrics }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.bus.clone(), Directory::start(&self.bus, Service::Inference).await.unwrap())
    }

    pub(crate) async fn remove(&self, model: &str, number: &str) -> Result<(), ServiceError> {
        let request = Remove { model: name(model), version: version(number) };
        let outcome = self.client().await.call(&request, None, Meta::within(Duration::from_secs(30))).await;
        outcome.map_err(|error| error.into_service_error())
    }

    pub(crate) async fn ask(&self, subject: &Subject, message: Message) -> Result<Reply, RequestError> {
        let reply = self.bus.request(subject, message.finish(), Meta::within(Duration::from_secs(30))).await?;
        Ok(Reply::read(&reply).unwrap())
    }

    /// One caller's rows, of whatever worker holds the version.
    pub(crate) async fn predict(&self, model: &str, number: &str, rows: &Array2<f64>) -> Result<Answer, ServiceError> {
        self.predict_asking(model, number, Asked::DEFAULT, rows).await
    }

    pub(crate) async fn predict_asking(
        &self,
        model: &str,
        number: &str,
        asked: Asked,
        rows: &Array2<f64>,
    ) -> Result<Answer, ServiceError> {
        let subject = Subject::predict(&name(model), &version(number));
        let message = Message::asking(model, number, rows.ncols(), asked);
        let message = message.rows(rows.as_slice().unwrap(), rows.nrows());
        match self.ask(&subject, message).await {
            Ok(mut reply) => reply.segments.remove(0),
            Err(RequestError::Service(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }
}

pub(crate) struct Worker {
    pub(crate) running: Running,
    pub(crate) instance: InstanceId,
    metrics: Registry,
}

impl Worker {
    pub(crate) fn direct(&self) -> Subject {
        Subject::direct(Service::Inference, PREDICT, &self.instance)
    }

    /// The value of each metric, by name and labels.
    pub(crate) fn metrics(&self) -> HashMap<String, f64> {
        let mut written = String::new();
        text::encode(&mut written, &self.metrics).unwrap();
        let lines = written.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.rsplit_once(' ')).map(|(k, v)| (k.to_owned(), v.parse().unwrap())).collect()
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metrics().get(name).copied().unwrap_or_default()
    }

    /// Waits until what is held is as wished.
    pub(crate) async fn holds(&self, mut wished: impl FnMut(&Vec<Held>) -> bool) -> Vec<Held> {
        soon(self.running.holding().wait_for(|holding| wished(&holding.holds))).await.unwrap().holds.clone()
    }

    /// Waits until what is set aside is as wished.
    pub(crate) async fn aside(&self, mut wished: impl FnMut(&Vec<Aside>) -> bool) -> Vec<Aside> {
        soon(self.running.holding().wait_for(|holding| wished(&holding.aside))).await.unwrap().aside.clone()
    }

    pub(crate) async fn metric_reaches(&self, name: &str, least: f64) {
        let reached = async {
            while self.metric(name) < least {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(reached).await;
    }
}

/// A prediction message.
pub(crate) struct Message(RequestWriter);

impl Message {
    pub(crate) fn new(model: &str, number: &str, columns: usize) -> Self {
        Self::asking(model, number, columns, Asked::DEFAULT)
    }

    pub(crate) fn asking(model: &str, number: &str, columns: usize, asked: Asked) -> Self {
        let header = BatchHeader { model: name(model), version: version(number), columns: columns as u32 };
        Self(RequestWriter::asking(&header, asked, 0))
    }

    pub(crate) fn rows(self, values: &[f64], rows: usize) -> Self {
        self.segment(values, rows, Duration::from_secs(30), "role:predictor")
    }

    pub(crate) fn segment(mut self, values: &[f64], rows: usize, left: Duration, grant: &str) -> Self {
        self.0.push(Deadline::after(left), None, grant, rows as u32, values);
        self
    }

    pub(crate) fn finish(self) -> Bytes {
        self.0.finish()
    }
}

/// What the file's model says, computed here.
pub(crate) fn expected(file: &[u8], rows: ArrayView2<'_, f64>) -> (Vec<f64>, Vec<u32>) {
    let compiled = Compiled::new(&Model::read(file, &Options::default()).unwrap()).unwrap();
    let mut values = Array2::zeros((rows.nrows(), compiled.values_width()));
    let mut labels = Array2::zeros((rows.nrows(), compiled.labels_width()));
    compiled.predict(rows, &mut Output { values: values.view_mut(), labels: labels.view_mut() }).unwrap();
    (values.into_raw_vec_and_offset().0, labels.into_raw_vec_and_offset().0)
}

/// Rows that differ, of about the size of petals.
pub(crate) fn rows(count: usize, columns: usize, seed: usize) -> Array2<f64> {
    Array2::from_shape_fn((count, columns), |(i, j)| ((i * 31 + j * 17 + seed * 7) % 80) as f64 / 10.0)
}

/// The first iris of the data set, a setosa.
pub(crate) fn setosa() -> Array2<f64> {
    Array2::from_shape_vec((1, 4), vec![5.1, 3.5, 1.4, 0.2]).unwrap()
}

pub(crate) fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}
