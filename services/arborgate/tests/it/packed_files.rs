//! Files that come packed, of models and of rows: unpacked on their way, within the same limits, and whole or not at all.

use arborgate_testkit::system::{Answer, Credential, GENEROUS, Kind, Options, System, eventually};
use reqwest::Method;
use serde_json::Value;

use crate::support::{model_files, on_both_buses, on_both_kinds, pack, private, problem, unique};

on_both_buses!(packed_files_are_unpacked_on_their_way, what_is_not_packed_as_it_says_is_refused);
on_both_kinds!(the_limit_is_that_of_what_is_unpacked);

const CODINGS: [&str; 3] = ["gzip", "zstd", "deflate"];
const JOBS: &str = "/v1/models/iris/jobs";
const CSV: &str = "sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n6.7,3.0,5.2,2.3\n";

async fn send(
    system: &System,
    (method, path): (Method, &str),
    (kind, coding): (&str, &str),
    body: Vec<u8>,
    who: &Credential,
) -> Answer {
    let request = system.request(0, method, path).header("Content-Type", kind).header("Content-Encoding", coding);
    system.send(who.apply(request.body(body))).await.unwrap()
}

async fn job(system: &System, coding: &str, body: Vec<u8>, who: &Credential) -> Answer {
    send(system, (Method::POST, JOBS), ("text/csv", coding), body, who).await
}

async fn nothing_is_left(system: &System, who: &Credential) {
    assert_eq!(system.get("/v1/jobs", who).await.unwrap().json(), Value::Array(Vec::new()));
}

async fn packed_files_are_unpacked_on_their_way(system: &System) {
    let admin = system.admin().await.unwrap();
    let who = system.new_user(&unique("packed"), "predictor").await.unwrap();
    let rows = CSV.to_owned() + &"4.9,3.0,1.4,0.2\n".repeat(50_000);
    for coding in CODINGS {
        let answer = job(system, coding, pack(coding, rows.as_bytes()), &who).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let path = format!("/v1/jobs/{}", answer.json()["id"].as_str().unwrap());
        eventually("the job is done", async || {
            let seen = system.get(&path, &who).await?.json();
            assert_ne!(seen["state"], "failed", "{seen}");
            Ok(seen["state"] == "succeeded" && seen["rows_total"] == 50_002 && seen["bytes"] == rows.len())
        })
        .await
        .unwrap();
    }
    let iris = std::fs::read(model_files().join("iris.joblib")).unwrap();
    let path = format!("/v1/models/{}/versions/1", unique("packed"));
    let binary = "application/octet-stream";
    let mut status = 201;
    for coding in CODINGS.into_iter().chain(["identity"]) {
        let body = if coding == "identity" { iris.clone() } else { pack(coding, &iris) };
        let answer = send(system, (Method::PUT, &path), (binary, coding), body, &admin).await;
        // The same bytes again are no change.
        assert_eq!((answer.status, &answer.json()["size"]), (status, &iris.len().into()), "{}", answer.text());
        status = 200;
    }
}

async fn what_is_not_packed_as_it_says_is_refused(system: &System) {
    let who = system.new_user(&unique("packed"), "predictor").await.unwrap();
    for coding in CODINGS {
        let packed = pack(coding, CSV.as_bytes());
        let told = format!("no {coding}, or is cut off");
        assert!(problem(&job(system, coding, CSV.into(), &who).await, 400).contains(&told));
        for end in [1, packed.len() / 2, packed.len() - 1] {
            let cut = job(system, coding, packed[..end].to_vec(), &who).await;
            assert!(problem(&cut, 400).contains(&told), "{coding} {end}: {}", cut.text());
        }
        problem(&job(system, coding, [&packed[..], b"more"].concat(), &who).await, 400);
        assert!(problem(&job(system, coding, pack(coding, b""), &who).await, 400).contains("empty"));
    }
    for coding in ["br", "gzip, gzip"] {
        assert!(problem(&job(system, coding, CSV.into(), &who).await, 415).contains("zstd"));
    }
    nothing_is_left(system, &who).await;
}

async fn the_limit_is_that_of_what_is_unpacked(kind: Kind) {
    let config = format!("{GENEROUS}\n[edge.jobs]\nmax_bytes = \"1MiB\"\n");
    let system = private(kind, Options::with_config(config)).await;
    let who = system.new_user(&unique("packed"), "predictor").await.unwrap();
    for coding in CODINGS {
        let bomb = pack(coding, &vec![b'1'; 256 << 20]);
        assert!(bomb.len() < 1 << 20, "{coding}: {}", bomb.len());
        assert!(problem(&job(&system, coding, bomb, &who).await, 413).contains("1048576"));
    }
    nothing_is_left(&system, &who).await;
}
