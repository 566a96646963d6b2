//! What is refused, and that nothing is left of it.

use arborgate_testkit::system::{Credential, GENEROUS, Kind, Options, System, eventually};
use reqwest::Method;
use serde_json::Value;

use super::{CSV, boosted, deployed, flowers, iris, made, make, over, result, scored, see};
use crate::support::{on_both_buses, on_both_kinds, private, problem, unique};

on_both_buses!(a_fault_fails_the_job_as_score_says_it, what_is_no_job_is_refused_at_once);
on_both_kinds!(limits_hold, what_is_over_goes);

async fn user(system: &System) -> Credential {
    system.new_user(&unique("jobs"), "predictor").await.unwrap()
}

/// It fails as `score` fails, and has no result.
async fn fails(system: &System, model: (&str, &std::path::Path), file: (&str, &str, Vec<u8>), who: &Credential) {
    let (content_type, name, bytes) = file;
    let told = scored(model.1, (name, &bytes), "out.csv", "proba", &[]).unwrap_err();
    let answer = make(system, 0, model.0, "?output=csv", (content_type, bytes), who).await;
    let id = made(&answer);
    let job = over(system, 0, &id, who).await;
    assert_eq!(job["state"], "failed", "{job} {told}");
    let reason = job["reason"].as_str().unwrap().trim_start_matches("the file ");
    // But for the way in which who asks gives an option.
    let same = reason.split(" (ignore_extra").next().unwrap().split(" (by_order").next().unwrap();
    assert!(told.contains(same), "{reason}: {told}");
    assert!(problem(&result(system, 0, &id, who).await, 409).contains("failed"));
}

async fn a_fault_fails_the_job_as_score_says_it(system: &System) {
    let ann = user(system).await;
    let name = deployed(system, &iris()).await;
    let model = (name.as_str(), iris());
    let model = (model.0, model.1.as_path());
    let csv = |text: &str| (CSV, "rows.csv", text.as_bytes().to_vec());
    let mut late = flowers(70_000);
    late.push_str("1,2,3\n");
    for text in
        ["a,b,c,d\n1,2,3,4\n1,2,x,4\n", "a,b,c\n1,2,3\n", "a,b,c,d\n1,2,3,4\n1,2,3\n", "a,b,c,d\n1,2,3,\"4\n", &late]
    {
        fails(system, model, csv(text), &ann).await;
    }
    // A row that only the model refuses, before and after one that the reader refuses.
    let mut refused = flowers(70_000);
    refused.push_str("1,2,1e39,4\n1,2,3,4\n1,2,3,1e39\n");
    fails(system, model, csv(&refused), &ann).await;
    let parquet = scored(&iris(), ("rows.csv", flowers(3000).as_bytes()), "out.parquet", "raw", &[]).unwrap();
    for cut in [0, 10, parquet.len() / 2, parquet.len() - 5] {
        if cut > 0 {
            fails(system, model, ("application/vnd.apache.parquet", "rows.parquet", parquet[..cut].to_vec()), &ann)
                .await;
        }
    }
    let npy = scored(&iris(), ("rows.csv", flowers(3000).as_bytes()), "out.npy", "raw", &[]).unwrap();
    fails(system, model, ("application/x-npy", "rows.npy", npy[..npy.len() - 8].to_vec()), &ann).await;
    let name = deployed(system, &boosted("lightgbm.txt")).await;
    let path = boosted("lightgbm.txt");
    for text in ["plan,city,income\nbasic,rome,1\n", "plan,city,income,age,x\nbasic,rome,1,2,3\n"] {
        fails(system, (name.as_str(), path.as_path()), csv(text), &ann).await;
    }
    // A stream of Arrow that ends in a batch is no stream.
    let answer = make(system, 0, "iris", "", ("application/vnd.apache.arrow.stream", vec![255; 40]), &ann).await;
    let job = over(system, 0, &made(&answer), &ann).await;
    assert!(job["reason"].as_str().unwrap().contains("no Arrow IPC stream"), "{job}");
}

async fn what_is_no_job_is_refused_at_once(system: &System) {
    let ann = user(system).await;
    let rows = || (CSV, flowers(3).into_bytes());
    assert!(problem(&make(system, 0, "nothing", "", rows(), &ann).await, 404).contains("no such model"));
    assert!(problem(&make(system, 0, "iris/versions/9", "", rows(), &ann).await, 404).contains("no such version"));
    for wrong in ["%2e%2e%2f", "*", "%3E", "a%20b"] {
        let path = format!("/v1/models/{wrong}/jobs");
        let request = system.request(0, Method::POST, &path).header("Content-Type", CSV).body("a\n1\n");
        assert_eq!(system.send(ann.apply(request)).await.unwrap().status, 404, "{wrong}");
    }
    for query in ["?kind=nonsense", "?output=arrow", "?by_order=maybe"] {
        let (name, _) = query.trim_start_matches('?').split_once('=').unwrap();
        let refused = make(system, 0, "iris", query, rows(), &ann).await;
        assert!(problem(&refused, 422).starts_with(name) && refused.pointers() == [name], "{}", refused.text());
    }
    problem(&make(system, 0, "iris", "?kinds=raw", rows(), &ann).await, 422);
    for content_type in ["application/json", "", "text/plain"] {
        let refused = make(system, 0, "iris", "", (content_type, vec![1]), &ann).await;
        assert!(problem(&refused, 415).contains("text/csv"));
    }
    assert!(problem(&make(system, 0, "iris", "", (CSV, Vec::new()), &ann).await, 400).contains("empty"));
    assert_eq!(system.get("/v1/jobs", &ann).await.unwrap().json(), Value::Array(Vec::new()));
}

/// Announces more than it sends before it goes away.
async fn cut_off(system: &System, who: &Credential, bytes: &'static [u8]) {
    let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let pieces = futures_util::stream::iter([Ok(bytes), Err(broken)]);
    let request = system.request(0, Method::POST, "/v1/models/iris/jobs").header("Content-Type", CSV);
    let request = request.header("Content-Length", "900").body(reqwest::Body::wrap_stream(pieces));
    assert!(who.apply(request).send().await.is_err());
}

/// Of which nobody goes on with a job, so that each stays as it is.
async fn idle(kind: Kind, jobs: &str) -> System {
    let config = format!(
        "{GENEROUS}\n[edge.requests]\nbody_timeout = \"2s\"\n[edge.jobs]\n{jobs}\n\
         [inference.jobs]\nat_once = 0\nsweep_every = \"1s\"\n"
    );
    let system = private(kind, Options { replicas: 1, edges: 1, ..Options::with_config(config) }).await;
    system.settle().await.unwrap();
    system
}

async fn limits_hold(kind: Kind) {
    let system = idle(kind, "at_once = 2\nmost = 3\nmax_bytes = \"1KiB\"\nevent_streams = 1").await;
    let (ann, ben) = (user(&system).await, user(&system).await);
    let rows = || (CSV, flowers(3).into_bytes());

    // Too large, as announced and as it comes; a part that is cut off.
    let large = vec![b'1'; 1025];
    assert!(problem(&make(&system, 0, "iris", "", (CSV, large.clone()), &ann).await, 413).contains("1024"));
    let pieces = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![b'1'; 100])));
    let request = system.request(0, Method::POST, "/v1/models/iris/jobs").header("Content-Type", CSV);
    let refused = system.send(ann.apply(request).body(reqwest::Body::wrap_stream(pieces))).await.unwrap();
    problem(&refused, 413);
    cut_off(&system, &ann, b"a,b\n1,2\n").await;
    cut_off(&system, &ann, b"").await;

    // What was refused or cut off takes no place.
    let mut ids = Vec::new();
    eventually("two jobs are let in", async || {
        let answer = make(&system, 0, "iris", "", rows(), &ann).await;
        if answer.status == 202 {
            ids.push(made(&answer));
        }
        Ok(ids.len() == 2)
    })
    .await
    .unwrap();
    let refused = make(&system, 0, "iris", "", rows(), &ann).await;
    assert!(problem(&refused, 429).contains("2 of your jobs"), "{}", refused.text());
    assert!(!refused.header("retry-after").is_empty());
    let third = made(&make(&system, 0, "iris", "", rows(), &ben).await);
    assert!(problem(&make(&system, 0, "iris", "", rows(), &ben).await, 503).contains("too many jobs"));

    // One stream, and no more.
    let follow = || ann.apply(system.request(0, Method::GET, &format!("/v1/jobs/{}/events", ids[0])));
    let stream = follow().send().await.unwrap();
    assert_eq!(stream.status(), 200);
    assert!(problem(&system.send(follow()).await.unwrap(), 503).contains("too many follow"));
    drop(stream);

    // Cancelled, it makes room at once; removed, it is gone.
    let delete = async |id: &str| system.delete(&format!("/v1/jobs/{id}"), &ann).await.unwrap();
    let cancelled = delete(&ids[0]).await;
    assert_eq!((cancelled.status, cancelled.json()["state"].as_str()), (200, Some("cancelled")));
    assert!(problem(&result(&system, 0, &ids[0], &ann).await, 409).contains("cancelled"));
    assert_eq!(delete(&ids[0]).await.status, 204);
    problem(&delete(&ids[0]).await, 404);
    made(&make(&system, 0, "iris", "", rows(), &ann).await);
    assert_eq!(see(&system, 0, &third, &ben).await.status, 200);
}

async fn what_is_over_goes(kind: Kind) {
    let system = idle(kind, "most = 3\nretention = \"5s\"").await;
    let ann = user(&system).await;
    let rows = || (CSV, flowers(3).into_bytes());
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(made(&make(&system, 0, "iris", "", rows(), &ann).await));
    }
    // Each expires, whatever became of it, with its file.
    for id in &ids {
        eventually("the job expires", async || Ok(see(&system, 0, id, &ann).await.status == 404)).await.unwrap();
    }
    eventually("there is room for others", async || Ok(make(&system, 0, "iris", "", rows(), &ann).await.status == 202))
        .await
        .unwrap();
    if kind == Kind::AllInOne {
        let folder = system.data_dir().join("job-files");
        eventually("no file is left but that one's", async || Ok(folder.read_dir()?.count() <= 1)).await.unwrap();
    }
}
