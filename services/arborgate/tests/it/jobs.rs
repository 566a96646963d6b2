//! Jobs: a file of rows in, the answers of a model out, as `arborgate score` writes them; by any edge, any worker, and
//! whoever dies on the way.

mod dying;
mod refusing;
mod serving;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use arborgate_testkit::system::{Answer, Credential, System};
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PROGRAM, put_model, unique};

const CSV: &str = "text/csv";

fn boosted(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/boosted").join(name)
}

fn iris() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/iris.joblib")
}

/// A model of a file, under a name of its own, called in nothing otherwise than in its file.
async fn deployed(system: &System, file: &Path) -> String {
    let name = unique("jobs");
    let put = put_model(system, &format!("/v1/models/{name}/versions/1"), std::fs::read(file).unwrap()).await;
    assert_eq!(put.status, 201, "{}", put.text());
    for edge in 0..system.edges() {
        let admin = system.admin().await.unwrap();
        let known = async || {
            let path = format!("/v1/models/{name}");
            Ok(system.send(admin.apply(system.request(edge, Method::GET, &path))).await?.status == 200)
        };
        arborgate_testkit::system::eventually("the edge knows the model", known).await.unwrap();
    }
    name
}

/// What `arborgate score` writes, or says.
fn scored(model: &Path, input: (&str, &[u8]), output: &str, kind: &str, more: &[&str]) -> Result<Vec<u8>, String> {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join(input.0), input.1).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["score", "--input", input.0, "--output", output, "--kind", kind, "--model"]).arg(model).args(more);
    let ran = command.current_dir(folder.path()).output().unwrap();
    if ran.status.success() {
        return Ok(std::fs::read(folder.path().join(output)).unwrap());
    }
    Err(String::from_utf8(ran.stderr).unwrap())
}

/// Flowers that are none, in the ranges of those that are; the same ones each time.
fn flowers(rows: usize) -> String {
    let mut text = String::from("sepal_length,sepal_width,petal_length,petal_width\n");
    let mut state = 1_u64;
    for _ in 0..rows {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 21)
        };
        writeln!(text, "{},{},{},{}", next(), next(), next(), next()).unwrap();
    }
    text
}

async fn make(
    system: &System,
    edge: usize,
    model: &str,
    query: &str,
    file: (&str, Vec<u8>),
    who: &Credential,
) -> Answer {
    let path = format!("/v1/models/{model}/jobs{query}");
    let request = system.request(edge, Method::POST, &path).header("Content-Type", file.0).body(file.1);
    system.send(who.apply(request)).await.unwrap()
}

/// The id of a job that was made.
#[track_caller]
fn made(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/v1/jobs/{id}"));
    id
}

async fn see(system: &System, edge: usize, id: &str, who: &Credential) -> Answer {
    system.send(who.apply(system.request(edge, Method::GET, &format!("/v1/jobs/{id}")))).await.unwrap()
}

/// The job once it is over. While the system is away it is asked again.
async fn over(system: &System, edge: usize, id: &str, who: &Credential) -> Value {
    let end = Instant::now() + Duration::from_secs(240);
    loop {
        let request = who.apply(system.request(edge, Method::GET, &format!("/v1/jobs/{id}")));
        let last = system.send(request).await.map(|answer| (answer.status, answer.json()));
        if let Ok((200, job)) = &last
            && !["queued", "running"].contains(&job["state"].as_str().unwrap())
        {
            return job.clone();
        }
        assert!(Instant::now() < end, "not over in time: {last:?}: {:#?}", system.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn result(system: &System, edge: usize, id: &str, who: &Credential) -> Answer {
    let path = format!("/v1/jobs/{id}/result");
    system.send(who.apply(system.request(edge, Method::GET, &path))).await.unwrap()
}

/// The result of a job that has to succeed.
async fn succeeded(system: &System, edge: usize, id: &str, who: &Credential) -> Vec<u8> {
    let job = over(system, edge, id, who).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!(job["rows_done"], job["rows_total"], "{job}");
    let answer = result(system, edge, id, who).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("etag"), format!("\"{}\"", job["result_digest"].as_str().unwrap()));
    answer.body
}
