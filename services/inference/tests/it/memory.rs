//! Models within a budget of memory, and models that a worker is told to hold.

use arborgate_contracts::ErrorCode;
use arborgate_contracts::inference::{Change, ChangeRollout};
use arborgate_contracts::presence::Held;
use arborgate_contracts::wire::Asked;
use arborgate_forest::{Compiled, Explainer, Model, Options};
use arborgate_inference::Config;
use arborgate_runtime::config::ByteSize;

use crate::support::*;

fn bytes_of(file: &[u8]) -> u64 {
    Compiled::new(&Model::read(file, &Options::default()).unwrap()).unwrap().bytes() as u64
}

fn within(memory: u64) -> Config {
    Config { threads: 1, memory: ByteSize(memory), ..Config::default() }
}

#[tokio::test]
async fn the_least_recently_asked_rests_and_is_loaded_when_it_is_asked() {
    let system = System::new().await;
    for number in ["1", "2", "3"] {
        system.add("iris", number, IRIS).await;
    }
    let worker = system.worker_with("w1", within(2 * bytes_of(IRIS) + 10)).await;
    // All are announced; two are in memory.
    assert_eq!(worker.running.loaded().len(), 3);
    let in_memory = || worker.metric("inference_model_bytes") as u64 / bytes_of(IRIS);
    assert_eq!((in_memory(), worker.metric("inference_evictions_total")), (2, 1.0));
    let expected = expected(IRIS, setosa().view()).0;
    for number in ["1", "2", "3", "1", "1", "2", "3"] {
        let answer = soon(system.predict("iris", number, &setosa())).await.unwrap();
        assert_eq!(bits(&answer.values), bits(&expected), "{number}");
        assert_eq!(in_memory(), 2);
    }
    let evictions = worker.metric("inference_evictions_total");
    // 3 and 2 were asked last.
    for number in ["2", "3", "2", "3"] {
        soon(system.predict("iris", number, &setosa())).await.unwrap();
    }
    assert_eq!(worker.metric("inference_evictions_total"), evictions);
    // Many at once wake one that rests once.
    let row = setosa();
    let asked = (0..20).map(|_| system.predict("iris", "1", &row));
    for answer in soon(futures_util::future::join_all(asked)).await {
        answer.unwrap();
    }
    assert_eq!(worker.metric("inference_evictions_total"), evictions + 1.0);
}

#[tokio::test]
async fn what_explains_a_model_takes_its_share_of_the_memory() {
    let explainer = Explainer::new(&Model::read(IRIS, &Options::default()).unwrap()).unwrap().bytes() as u64;
    let (model, system) = (bytes_of(IRIS), System::new().await);
    for number in ["1", "2"] {
        system.add("iris", number, IRIS).await;
    }
    let worker = system.worker_with("w1", within(2 * model + explainer - 1)).await;
    assert_eq!(worker.metric("inference_evictions_total"), 0.0);
    let row = setosa();
    let explain = || soon(system.predict_asking("iris", "1", Asked::CONTRIBUTIONS, &row));
    explain().await.unwrap();
    // The other one rests.
    let at_work = (worker.metric("inference_evictions_total"), worker.metric("inference_model_bytes") as u64);
    assert_eq!(at_work, (1.0, model + explainer));
    drop(worker);
    let _small = system.worker_with("w2", within(2 * model)).await;
    let refused = explain().await.unwrap_err();
    assert!(
        refused.detail.contains("can not be explained") && refused.detail.contains("inference.memory"),
        "{refused}"
    );
    soon(system.predict("iris", "1", &setosa())).await.unwrap();
}

#[tokio::test]
async fn a_model_larger_than_the_budget_is_refused_and_set_aside_with_the_reason() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    system.add("tiny", "1", TINY).await;
    let worker = system.worker_with("w1", within(bytes_of(TINY) + 10)).await;
    let aside = worker.aside(|aside| !aside.is_empty()).await;
    assert_eq!((aside.len(), aside[0].version.model.as_str()), (1, "iris"));
    assert!(aside[0].reason.contains("inference.memory"), "{}", aside[0].reason);
    // The others go on.
    soon(system.predict("tiny", "1", &rows(1, 4, 0))).await.unwrap();
    let request = system.request("iris", "2", IRIS).await;
    let client = system.client().await;
    let meta = arborgate_bus::Meta::within(std::time::Duration::from_secs(30));
    let refused = client.call(&request, None, meta).await.unwrap_err().into_service_error();
    assert_eq!(refused.code, ErrorCode::TooLarge);
    assert!(refused.detail.contains("bytes of memory"), "{refused}");
}

#[tokio::test]
async fn a_model_that_rests_and_can_not_be_read_says_so() {
    let system = System::new().await;
    let first = system.add("iris", "1", IRIS).await.manifest;
    let worker = system.worker_with("w1", within(bytes_of(IRIS) + 10)).await;
    system.add("iris", "2", IRIS).await;
    worker.holds(|holds| holds.len() == 2).await;
    worker.metric_reaches("inference_evictions_total", 1.0).await;
    system.objects.delete(&first.object).await.unwrap();
    let refused = soon(system.predict("iris", "1", &setosa())).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unavailable);
    assert!(refused.detail.contains("iris version 1 can not be loaded"), "{refused}");
    // It is tried again, and answers when it is there.
    system.put(&first.object, IRIS).await;
    let answers = async {
        while system.predict("iris", "1", &setosa()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    soon(answers).await;
}

#[tokio::test]
async fn a_worker_holds_models_of_its_labels() {
    let system = System::new().await;
    for (number, team) in [("1", "fraud"), ("2", "risk")] {
        let mut request = system.request("iris", number, IRIS).await;
        request.signature.labels.insert("team".into(), team.into());
        system.register(request).await.unwrap();
    }
    system.add("iris", "3", IRIS).await;
    let told = Config { hold: vec!["team=risk".into(), "tier=gold".into()], ..Config::default() };
    let (some, all) = (system.worker_with("w1", told).await, system.worker("w2").await);
    let versions = |held: &[Held]| held.iter().map(|held| held.version.to_string()).collect::<Vec<_>>();
    assert_eq!(versions(&some.running.loaded()), ["2"]);
    assert_eq!(versions(&all.running.loaded()), ["1", "2", "3"]);
}

#[tokio::test]
async fn what_an_operator_unloads_is_let_go_and_held_again_when_it_is_loaded() {
    let system = System::new().await;
    system.add("iris", "1", IRIS).await;
    let worker = system.worker("w1").await;
    system.add("iris", "2", IRIS).await;
    worker.holds(|holds| holds.len() == 2).await;
    let client = system.client().await;
    let change = async |change| {
        let request = ChangeRollout { model: name("iris"), change, changed_by: "user:ann".into() };
        client.call(&request, None, arborgate_bus::Meta::within(std::time::Duration::from_secs(30))).await
    };
    let unloaded = change(Change::Unload(version("1"), "old".into())).await.unwrap();
    let why = &unloaded.unloaded[&version("1")];
    assert_eq!((why.reason.as_str(), why.by.as_str()), ("old", "user:ann"));
    worker.holds(|holds| holds.len() == 1).await;
    // So does a worker that starts.
    assert_eq!(system.worker("w2").await.running.loaded().len(), 1);
    change(Change::Load(version("1"))).await.unwrap();
    worker.holds(|holds| holds.len() == 2).await;
}
