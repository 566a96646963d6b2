//! Models that come, go, are replaced and are broken, and workers that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arborgate_bus::{Directory, RequestError, to_json};
use arborgate_contracts::registry::{Manifest, manifest_key};
use arborgate_contracts::{ErrorCode, Service, Subject};
use arborgate_inference::{Config, Error};
use prometheus_client::registry::Registry;

use crate::support::*;

#[tokio::test]
async fn a_model_added_while_it_runs_is_served_without_a_restart() {
    let system = System::new().await;
    let worker = system.worker("w1").await;
    assert!(worker.running.loaded().is_empty());
    system.add("iris", "1", IRIS).await;
    system.add("iris", "2", TINY).await;
    worker.holds(|holds| holds.len() == 2).await;
    for (number, file) in [("1", IRIS), ("2", TINY)] {
        let answer = system.predict("iris", number, &setosa()).await.unwrap();
        assert_eq!(bits(&answer.values), bits(&expected(file, setosa().view()).0));
    }
}

#[tokio::test]
async fn under_the_same_name_again_with_other_bytes_nothing_stale_answers() {
    let system = System::new().await;
    let worker = system.worker("w1").await;
    let rows = rows(50, 4, 9);
    let (iris, tiny) = (expected(IRIS, rows.view()).0, expected(TINY, rows.view()).0);
    assert_ne!(iris, tiny);
    for turn in 0..6 {
        let (file, values) = if turn % 2 == 0 { (IRIS, &iris) } else { (TINY, &tiny) };
        system.add("iris", "1", file).await;
        worker.holds(|holds| holds.iter().any(|held| held.digest == digest(file))).await;
        let answer = system.predict("iris", "1", &rows).await.unwrap();
        assert_eq!(bits(&answer.values), bits(values), "turn {turn}");
        system.remove("iris", "1").await.unwrap();
    }
    worker.holds(Vec::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_while_predictions_run_each_is_answered_or_refused_cleanly() {
    let system = Arc::new(System::new().await);
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    let (end, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (system, end, answered) = (Arc::clone(&system), Arc::clone(&end), Arc::clone(&answered));
            tokio::spawn(async move {
                let rows = rows(600, 4, caller);
                let values = expected(IRIS, rows.view()).0;
                let subject = Subject::predict(&name("iris"), &version("1"));
                while !end.load(Ordering::Relaxed) {
                    let message = Message::new("iris", "1", 4).rows(rows.as_slice().unwrap(), 600);
                    match system.ask(&subject, message).await {
                        Ok(reply) => match &reply.segments[0] {
                            Ok(answer) => {
                                assert!(bits(&answer.values) == bits(&values));
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => assert_eq!(error.code, ErrorCode::Unavailable),
                        },
                        Err(RequestError::NoResponders { .. }) => {}
                        Err(RequestError::Service(error)) => assert_eq!(error.code, ErrorCode::Unavailable),
                        Err(other) => panic!("{other:?}"),
                    }
                    // A refusal may have come without any waiting.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let before = answered.load(Ordering::Relaxed);
        let some = async {
            while answered.load(Ordering::Relaxed) < before + 20 {
                tokio::task::yield_now().await;
            }
        };
        soon(some).await;
        system.remove("iris", "1").await.unwrap();
        worker.holds(Vec::is_empty).await;
        system.add("iris", "1", IRIS).await;
        worker.holds(|holds| !holds.is_empty()).await;
    }
    end.store(true, Ordering::Relaxed);
    for caller in callers {
        soon(caller).await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_artifact_is_not_served_and_is_when_it_is_whole_again() {
    let system = System::new().await;
    let manifest = system.add("iris", "1", IRIS).await.manifest;
    system.add("tiny", "1", TINY).await;
    let mut broken = IRIS.to_vec();
    broken[IRIS.len() / 2] ^= 1;
    system.put(&manifest.object, &broken).await;
    let worker = system.worker("w1").await;
    // The start did not wait for ever, and the other model is served.
    assert_eq!(worker.running.loaded().len(), 1);
    assert!(worker.metric("inference_load_failures_total") >= 1.0);
    let nobody = system.ask(&Subject::predict(&name("iris"), &version("1")), Message::new("iris", "1", 4)).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })), "{nobody:?}");
    // It is tried again by itself.
    worker.metric_reaches("inference_load_failures_total", 2.0).await;
    system.put(&manifest.object, IRIS).await;
    worker.holds(|holds| holds.len() == 2).await;
    system.predict("iris", "1", &setosa()).await.unwrap();
}

#[tokio::test]
async fn a_manifest_that_lies_or_can_not_be_read_serves_nothing() {
    let system = System::new().await;
    let honest = system.add("iris", "1", IRIS).await.manifest;
    let put = async |number: &str, manifest: &Manifest| {
        let key = manifest_key(&manifest.model, &version(number));
        system.models.put(&key, to_json(manifest).unwrap()).await.unwrap();
    };
    let mut fewer = Manifest { version: version("2"), ..honest.clone() };
    fewer.features.pop();
    put("2", &fewer).await;
    put("3", &Manifest { version: version("3"), format: 99, ..honest.clone() }).await;
    put("4", &honest).await;
    let key = manifest_key(&name("iris"), &version("5"));
    system.models.put(&key, "not a manifest".into()).await.unwrap();
    let worker = system.worker("w1").await;
    let loaded = worker.running.loaded();
    assert_eq!((loaded.len(), loaded[0].version.as_str()), (1, "1"));
    assert!(worker.metric("inference_load_failures_total") >= 4.0);
    // Made right, it is served.
    put("2", &Manifest { version: version("2"), ..honest }).await;
    worker.holds(|holds| holds.len() == 2).await;
}

#[tokio::test]
async fn two_workers_announce_what_they_hold_and_share_the_work() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let (one, two) = (system.worker("w1").await, system.worker("w2").await);
    let directory = Directory::start(&system.bus, Service::Inference).await.unwrap();
    let mut changes = directory.changes();
    let both = |peers: &Arc<[arborgate_bus::Peer]>| {
        peers.len() == 2 && peers.iter().all(|peer| peer.holds.len() == 1 && peer.holds[0].digest == digest(IRIS))
    };
    soon(changes.wait_for(both)).await.unwrap();
    for _ in 0..40 {
        system.predict("iris", "1", &setosa()).await.unwrap();
    }
    let shares = [one.metric("inference_rows_total"), two.metric("inference_rows_total")];
    assert_eq!(shares[0] + shares[1], 40.0);
    assert!(shares.iter().all(|share| *share > 0.0), "{shares:?}");

    soon(one.running.drain(Duration::from_secs(30))).await;
    soon(changes.wait_for(|peers| peers.len() == 1 && peers[0].instance == two.instance)).await.unwrap();
    for _ in 0..10 {
        system.predict("iris", "1", &setosa()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_answers_what_is_under_way_and_then_nobody_does() {
    let system = Arc::new(System::new().await);
    system.add("iris", "1", IRIS).await;
    let worker = system.worker_with("w1", Config { threads: 1, ..Config::default() }).await;
    let rows = rows(30_000, 4, 5);
    let values = expected(IRIS, rows.view()).0;
    let direct = worker.direct();
    let subjects = [Subject::predict(&name("iris"), &version("1")), direct.clone()];
    let under_way: Vec<_> = subjects
        .into_iter()
        .map(|subject| {
            let (system, rows) = (Arc::clone(&system), rows.clone());
            tokio::spawn(async move {
                system.ask(&subject, Message::new("iris", "1", 4).rows(rows.as_slice().unwrap(), 30_000)).await
            })
        })
        .collect();
    worker.metric_reaches("inference_batches_total", 1.0).await;
    soon(worker.running.drain(Duration::from_secs(60))).await;
    let mut answered = 0;
    for request in under_way {
        match request.await.unwrap() {
            Ok(reply) => {
                assert!(bits(&reply.segments[0].as_ref().unwrap().values) == bits(&values));
                answered += 1;
            }
            // It was sent when the subject was gone already.
            Err(RequestError::NoResponders { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(answered >= 1);
    let late = system.ask(&direct, Message::new("iris", "1", 4).rows(&[0.0; 4], 1)).await;
    assert!(matches!(late, Err(RequestError::NoResponders { .. })), "{late:?}");
}

#[tokio::test]
async fn what_can_not_work_is_said_at_the_start() {
    let system = System::new().await;
    let config = Config { queue_rows: 0, ..Config::default() };
    let mut metrics = Registry::default();
    let started = arborgate_inference::start(config, system.bus.clone(), "w1".parse().unwrap(), &mut metrics).await;
    let error = started.err().unwrap();
    assert!(matches!(error, Error::Config { key: "queue_rows", .. }));
    assert_eq!(error.to_string(), "inference.queue_rows is 0; it must be at least 1");
}
