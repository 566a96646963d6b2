//! The registry's changes: what becomes a version, what does not, and what stays behind.

use std::time::Duration;

use arborgate_bus::{CallError, Meta, to_json};
use arborgate_contracts::ErrorCode;
use arborgate_contracts::inference::{Change, ChangeRollout};
use arborgate_contracts::registry::{DefaultModel, Manifest, Task, default_key, manifest_key};
use arborgate_contracts::rollout::{Rollout, Unloaded, rollout_key};
use arborgate_contracts::signature::{GivenFeatures, GivenSignature};
use arborgate_inference::{ArtifactLimits, register};

use crate::support::*;

async fn default_model(system: &System) -> Option<String> {
    let found = system.models.get_json::<DefaultModel>(&default_key()).await.unwrap();
    found.map(|(default, _)| default.model.to_string())
}

fn feature_names(manifest: &Manifest) -> Vec<&str> {
    manifest.features.iter().map(|feature| feature.name.as_str()).collect()
}

#[tokio::test]
async fn the_demonstration_model_before_any_service_runs() {
    let system = System::new().await;
    let mut request = system.request("iris", "1", IRIS).await;
    request.signature.classes = ["setosa", "versicolor", "virginica"].map(String::from).into();
    request.default = true;
    let registered = system.register(request.clone()).await.unwrap();
    assert!(registered.created);
    let manifest = registered.manifest;
    assert_eq!(feature_names(&manifest), ["sepal_length", "sepal_width", "petal_length", "petal_width"]);
    let labels: Vec<_> = manifest.classes[0].iter().map(|c| (c.value.clone(), c.label.as_str())).collect();
    assert_eq!(labels, [(0.into(), "setosa"), (1.into(), "versicolor"), (2.into(), "virginica")]);
    assert_eq!((manifest.task, manifest.outputs, manifest.trees, manifest.width()), (Task::Classification, 1, 100, 3));
    assert_eq!(manifest.source, "scikit-learn 1.9.1 RandomForestClassifier");
    assert_eq!((manifest.digest.as_str(), manifest.size), (request.digest.as_str(), IRIS.len() as u64));
    assert!(manifest.created_at.parse::<jiff::Timestamp>().is_ok());
    let key = manifest_key(&request.model, &request.version);
    assert_eq!(system.models.get_json::<Manifest>(&key).await.unwrap().unwrap().0, manifest);
    assert_eq!(default_model(&system).await.as_deref(), Some("iris"));

    // The same request again, as a client repeats it: the same, and the artifact stays.
    let again = system.register(request.clone()).await.unwrap();
    assert!(!again.created);
    assert_eq!(again.manifest, manifest);
    assert_eq!(system.object_names().await, [request.object]);
}

#[tokio::test]
async fn the_same_bytes_again_are_no_second_version_and_no_second_artifact() {
    let system = System::new().await;
    let first = system.add("iris", "1", IRIS).await;
    let mut request = system.request("iris", "1", IRIS).await;
    request.default = true;
    system.add("other", "1", TINY).await;
    let again = system.register(request).await.unwrap();
    assert!(!again.created);
    assert_eq!(again.manifest, first.manifest);
    assert_eq!(system.object_names().await.len(), 2);
}

#[tokio::test]
async fn other_bytes_under_a_version_are_a_conflict() {
    let system = System::new().await;
    let first = system.add("iris", "1", IRIS).await.manifest;
    let error = system.register(system.request("iris", "1", TINY).await).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict);
    assert!(error.detail.contains("iris version 1") && error.detail.contains(&first.digest), "{error}");
    assert_eq!(system.object_names().await, [first.object]);
}

#[tokio::test]
async fn other_names_for_the_same_bytes_are_a_conflict() {
    let system = System::new().await;
    let mut request = system.request("iris", "1", IRIS).await;
    request.signature.classes = ["setosa", "versicolor", "virginica"].map(String::from).into();
    let first = system.register(request).await.unwrap().manifest;
    let given = |features: &[&str], classes: &[&str]| {
        [features, classes].map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    let own: Vec<&str> = feature_names(&first);
    for (names, taken) in [
        (given(&[], &["a", "b", "c"]), false),
        (given(&["a", "b", "c", "d"], &[]), false),
        (given(&[], &[]), true),
        (given(&own, &[]), true),
        (given(&own, &["setosa", "versicolor", "virginica"]), true),
    ] {
        let mut request = system.request("iris", "1", IRIS).await;
        let [features, classes] = names;
        request.signature =
            GivenSignature { features: GivenFeatures::named(features), classes, ..GivenSignature::default() };
        match system.register(request).await {
            Ok(again) => assert!(taken && !again.created && again.manifest == first),
            Err(error) => {
                assert!(!taken && error.code == ErrorCode::Conflict, "{error}");
                assert!(error.detail.contains("iris version 1") && error.detail.contains("other names"), "{error}");
            }
        }
    }
    assert_eq!(system.object_names().await, [first.object]);
}

#[tokio::test]
async fn the_first_model_is_the_default_and_later_ones_only_when_asked() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    assert_eq!(default_model(&system).await.as_deref(), Some("iris"));
    system.add("tiny", "1", TINY).await;
    assert_eq!(default_model(&system).await.as_deref(), Some("iris"));
    let mut request = system.request("diabetes", "1", DIABETES).await;
    request.default = true;
    let manifest = system.register(request).await.unwrap().manifest;
    assert_eq!(default_model(&system).await.as_deref(), Some("diabetes"));
    assert_eq!((manifest.task, manifest.classes.len(), manifest.width()), (Task::Regression, 0, 1));
    assert_eq!(feature_names(&manifest)[..2], ["x0", "x1"]);
}

#[tokio::test]
async fn what_is_not_a_model_leaves_nothing() {
    let system = System::new().await;
    let evil = b"cos\nsystem\n(S'true'\ntR.";
    let files: [(&[u8], &str); 5] = [
        (b"", "an empty file"),
        (b"{\"learner\": {}}", ""),
        (evil, "os.system"),
        (&IRIS[..IRIS.len() / 2], ""),
        (&IRIS[..IRIS.len() - 1], ""),
    ];
    for (bytes, says) in files {
        let error = system.register(system.request("bad", "1", bytes).await).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{error}");
        assert!(error.detail.contains(says), "{error}");
    }
    assert!(system.object_names().await.is_empty());
    assert!(system.models.list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_that_is_not_what_was_announced_is_refused() {
    let system = System::new().await;
    let mut wrong_digest = system.request("iris", "1", IRIS).await;
    wrong_digest.digest = digest(TINY);
    let error = system.register(wrong_digest).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    assert!(error.detail.contains(&digest(IRIS)) && error.detail.contains(&digest(TINY)), "{error}");

    let mut wrong_size = system.request("iris", "1", IRIS).await;
    wrong_size.size += 1;
    let error = system.register(wrong_size).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);

    let mut gone = system.request("iris", "1", IRIS).await;
    gone.object = "uploads/gone".into();
    assert_eq!(system.register(gone).await.unwrap_err().code, ErrorCode::Unavailable);

    let limits = ArtifactLimits { max_artifact: 100, ..ArtifactLimits::default() };
    let request = system.request("iris", "1", IRIS).await;
    let error = register(&system.bus, &limits, request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(system.models.list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn names_are_checked_all_at_once() {
    let system = System::new().await;
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut request = system.request("iris", "1", IRIS).await;
    request.signature.features = GivenFeatures::named(texts(&["a", "a", "", "c\n", "e"]));
    request.signature.classes = texts(&["one", "two"]);
    let error = system.register(request).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Invalid);
    let faults: Vec<_> = error.faults.iter().map(|f| (f.pointer.as_str(), f.detail.as_str())).collect();
    let expected = [
        ("features", "there are 5 names; the model has 4 features"),
        ("features", "number 2, \"a\", was there before; each differs from the others"),
        ("features", "number 3 has 0 characters; a name has 1 to 128"),
        ("features", "number 4 has a control character"),
        ("classes", "there are 2 labels; the model has 3 classes"),
    ];
    assert_eq!(faults, expected);

    let mut request = system.request("diabetes", "1", DIABETES).await;
    request.signature.classes = texts(&["one"]);
    let error = system.register(request).await.unwrap_err();
    assert!(error.detail.contains("a regressor"), "{error}");

    // Labels of all outputs, one output after another; equal ones of different outputs are no fault.
    let mut request = system.request("pair", "1", PAIR).await;
    request.signature.features = GivenFeatures::named(texts(&["a", "b", "c", "d"]));
    request.signature.classes = texts(&["x", "y", "z", "x", "y"]);
    let manifest = system.register(request).await.unwrap().manifest;
    assert_eq!(feature_names(&manifest), ["a", "b", "c", "d"]);
    let labels: Vec<Vec<&str>> =
        manifest.classes.iter().map(|output| output.iter().map(|class| class.label.as_str()).collect()).collect();
    assert_eq!(labels, [vec!["x", "y", "z"], vec!["x", "y"]]);
}

#[tokio::test]
async fn through_the_service_and_removed_again() {
    let system = System::new().await;
    let worker = system.worker("w1").await;
    let client = system.client().await;
    let request = system.request("iris", "1", IRIS).await;
    let meta = Meta::within(Duration::from_secs(30));
    let registered = client.call(&request, None, meta).await.unwrap();
    assert!(registered.created);
    let held = worker.holds(|holds| !holds.is_empty()).await;
    assert_eq!((held[0].model.as_str(), held[0].digest.as_str()), ("iris", digest(IRIS).as_str()));
    system.predict("iris", "1", &setosa()).await.unwrap();

    let bad = system.request("bad", "1", b"not a model").await;
    match client.call(&bad, None, meta).await {
        Err(CallError::Service(error)) => assert_eq!(error.code, ErrorCode::Invalid),
        other => panic!("{other:?}"),
    }

    system.remove("iris", "1").await.unwrap();
    assert_eq!(default_model(&system).await, None);
    assert!(system.object_names().await.is_empty());
    worker.holds(Vec::is_empty).await;
    assert_eq!(system.remove("iris", "1").await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn the_default_stays_while_a_version_is_left() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    system.add("iris", "2", TINY).await;
    let _worker = system.worker("w1").await;
    // What answers stays while others are there, also where nobody promoted it.
    let refused = system.remove("iris", "2").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.detail.contains("it is the current version"), "{refused}");
    system.remove("iris", "1").await.unwrap();
    assert_eq!(default_model(&system).await.as_deref(), Some("iris"));
    system.models.put(&default_key(), to_json(&DefaultModel { model: name("other") }).unwrap()).await.unwrap();
    system.remove("iris", "2").await.unwrap();
    assert_eq!(default_model(&system).await.as_deref(), Some("other"));
}

#[tokio::test]
async fn a_version_that_is_removed_is_promoted_by_nobody_and_added_again_begins_anew() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let _worker = system.worker("w1").await;
    let client = system.client().await;
    let promote = async |version: &str| {
        let change = Change::Promote(version.parse().unwrap());
        let request = ChangeRollout { model: name("iris"), change, changed_by: "user:ann".into() };
        client.call(&request, None, Meta::within(Duration::from_secs(30))).await
    };
    for _ in 0..10 {
        promote("1").await.unwrap();
        system.add("iris", "2", TINY).await;
        let (removed, promoted) = soon(async { tokio::join!(system.remove("iris", "2"), promote("2")) }).await;
        // One of both is done, and what answers is there.
        assert!(removed.is_ok() != promoted.is_ok(), "{removed:?} {promoted:?}");
        let there = system.models.get(&manifest_key(&name("iris"), &version("2"))).await.unwrap();
        let rollout = system.models.get_json::<Rollout>(&rollout_key(&name("iris"))).await.unwrap().unwrap().0;
        assert_eq!((there.is_some(), rollout.names(&version("2")).is_some()), (promoted.is_ok(), promoted.is_ok()));
        assert!(rollout.unloaded.is_empty(), "{rollout:?}");
        if promoted.is_ok() {
            promote("1").await.unwrap();
            system.remove("iris", "2").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished_or_undone() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    system.add("iris", "2", TINY).await;
    let _worker = system.worker("w1").await;
    system.remove("iris", "1").await.unwrap();
    // As if the worker had died before the last step.
    let unloaded = Unloaded { reason: "it is being removed".into(), at: String::new(), by: "registry".into() };
    let cut_off = Rollout {
        format: 1,
        model: name("iris"),
        current: None,
        history: Vec::new(),
        split: None,
        shadow: None,
        unloaded: [(version("1"), unloaded)].into(),
        changed_at: String::new(),
        changed_by: "registry".into(),
    };
    system.models.put(&rollout_key(&name("iris")), to_json(&cut_off).unwrap()).await.unwrap();
    assert!(system.add("iris", "1", IRIS).await.created);
    assert!(system.models.get(&rollout_key(&name("iris"))).await.unwrap().is_none());
}
