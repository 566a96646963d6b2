//! What a first start makes, each thing once: buckets and queues, the administrator, the encryption keyring, the demonstration
//! model, and last the record that says that the state is whole. What is there is left alone.

use std::time::Duration;

use arborgate_auth::Seeded;
use arborgate_bus::{Bus, StoreError, to_json};
use arborgate_contracts::ErrorCode;
use arborgate_contracts::auth::{Password, Principal};
use arborgate_contracts::bucket::{ALL, ARTIFACTS, JOB_FILES, META, Meta, STATE_FORMAT, meta_key};
use arborgate_contracts::inference::Register;
use arborgate_contracts::queue;
use arborgate_contracts::signature::{GivenFeature, GivenFeatures, GivenSignature};
use arborgate_runtime::master_key::MasterKey;
use bytes::Bytes;
use zeroize::Zeroize;

use crate::console;
use crate::error::Error;
use crate::settings::Settings;

const IRIS: &[u8] = include_bytes!("../models/iris.joblib");
const IRIS_FEATURES: [&str; 4] = ["sepal_length", "sepal_width", "petal_length", "petal_width"];
const IRIS_CLASSES: [&str; 3] = ["setosa", "versicolor", "virginica"];

/// The environment's way of choosing the administrator's password.
pub(crate) const ADMIN_PASSWORD: &str = "ARBORGATE_ADMIN_PASSWORD";

/// What became of the administrator.
pub(crate) enum Administrator {
    /// Made, and told.
    Made,
    /// There already.
    Existed,
}

/// Makes what is not there, and tells the administrator's password as soon as there is one: whatever fails after that, it
/// is not lost.
pub(crate) async fn prepare(bus: &Bus, settings: &Settings, master: &MasterKey) -> Result<Administrator, Error> {
    let meta = bus.create_bucket(&META).await?;
    let known = meta.get_json::<Meta>(&meta_key()).await?.map(|(meta, _)| meta);
    if let Some(meta) = &known {
        check(meta, Some(master))?;
    }
    for spec in ALL {
        bus.create_bucket(spec).await?;
    }
    for spec in queue::ALL {
        bus.create_queue(spec).await?;
    }
    bus.create_objects(JOB_FILES).await?;
    let objects = bus.create_objects(ARTIFACTS).await?;
    let administrator = administrator(bus, settings).await?;
    arborgate_crypto::seed(bus, master).await.map_err(Error::service("crypto"))?;
    if known.is_none() {
        demonstrate(bus, &objects, settings).await?;
        let record = Meta { format: STATE_FORMAT, master_key_check: master.check() };
        match meta.create(&meta_key(), to_json(&record)?).await {
            // Another process was first: what it wrote must be ours as well.
            Err(StoreError::Conflict { .. }) => await_prepared(bus, Some(master)).await?,
            written => drop(written?),
        }
    }
    Ok(administrator)
}

async fn administrator(bus: &Bus, settings: &Settings) -> Result<Administrator, Error> {
    let given = std::env::var(ADMIN_PASSWORD).ok().filter(|password| !password.is_empty()).map(Password);
    let was_given = given.is_some();
    let seeded = arborgate_auth::seed(bus, &settings.auth, given).await.map_err(|error| match error {
        source @ arborgate_auth::Error::Refused(_) if was_given => {
            Error::AdminPassword { variable: ADMIN_PASSWORD, source }
        }
        other => Error::service("auth")(other),
    })?;
    match seeded {
        Seeded::Existed => {
            if was_given {
                tracing::warn!("{ADMIN_PASSWORD} is ignored: the administrator was made by an earlier start");
            }
            Ok(Administrator::Existed)
        }
        Seeded::Created { generated } => {
            tell(generated)?;
            Ok(Administrator::Made)
        }
    }
}

/// The demonstration model: a random forest on Fisher's iris data.
async fn demonstrate(bus: &Bus, objects: &arborgate_bus::Objects, settings: &Settings) -> Result<(), Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::Demonstration(error.to_string());
    let model = "iris".parse().map_err(|e| wrong(&e))?;
    let version = "1".parse().map_err(|e| wrong(&e))?;
    let object = format!("iris/1/{:032x}", rand::random::<u128>());
    let stored = objects.put(&object, Box::pin(futures_util::stream::iter([Ok(Bytes::from_static(IRIS))]))).await?;
    let request = Register {
        model,
        version,
        object,
        digest: stored.digest,
        size: stored.size,
        signature: iris(),
        provenance: None,
        held_back: false,
        default: true,
        created_by: Principal::Operator.to_string(),
    };
    let limits = settings.inference.artifact_limits();
    match arborgate_inference::register(bus, &limits, request).await {
        Ok(_) => Ok(()),
        Err(error) if error.code == ErrorCode::Forbidden => {
            tracing::warn!(%error, "the demonstration model is left out");
            Ok(())
        }
        Err(error) => Err(wrong(&error)),
    }
}

fn iris() -> GivenSignature {
    let feature =
        |name: &str| GivenFeature { name: Some(name.to_owned()), unit: "cm".to_owned(), ..GivenFeature::default() };
    GivenSignature {
        description: "Fisher's irises: the species by the measures of a flower".to_owned(),
        features: GivenFeatures::All(IRIS_FEATURES.iter().map(|name| feature(name)).collect()),
        classes: IRIS_CLASSES.map(str::to_owned).into(),
        ..GivenSignature::default()
    }
}

/// Whether this binary and this key can use the state.
fn check(meta: &Meta, master: Option<&MasterKey>) -> Result<(), Error> {
    if meta.format > STATE_FORMAT {
        return Err(Error::NewerState { found: meta.format, known: STATE_FORMAT });
    }
    match master {
        Some(master) if master.check() != meta.master_key_check => Err(Error::OtherMasterKey),
        _ => Ok(()),
    }
}

/// Waits until `arborgate init` has prepared the cluster, and says so meanwhile.
pub(crate) async fn await_prepared(bus: &Bus, master: Option<&MasterKey>) -> Result<(), Error> {
    let mut told = 0u32;
    loop {
        let found = match bus.bucket(&META).await {
            Ok(bucket) => bucket.get_json::<Meta>(&meta_key()).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(Some((meta, _))) => return check(&meta, master),
            Ok(None) | Err(StoreError::NoBucket { .. }) => {
                if told.is_multiple_of(10) {
                    tracing::warn!("the cluster is not prepared yet: run `arborgate init` once; waiting");
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the state can not be read; waiting")
            }
        }
        told = told.wrapping_add(1);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Tells a person who the administrator is; a password that was made is told now and never again.
fn tell(generated: Option<Password>) -> Result<(), Error> {
    let Some(mut password) = generated else {
        return console::print(&format!("The administrator:\n  user      admin\n  password  as in {ADMIN_PASSWORD}\n"));
    };
    let mut text = format!("The administrator:\n  user      admin\n  password  {}   (shown this once)\n", password.0);
    password.0.zeroize();
    let told = console::print(&text);
    text.zeroize();
    told
}
