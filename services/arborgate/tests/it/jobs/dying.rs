//! Processes that die by kill -9 while a job is under way, each in turn: the job is done all the same, and its result is
//! what `arborgate score` writes.

use std::io::Write as _;
use std::time::{Duration, Instant};

use arborgate_testkit::process::{Process, Program};
use arborgate_testkit::system::{Credential, GENEROUS, Kind, Options, System};
use reqwest::Method;

use super::{CSV, deployed, flowers, iris, made, make, scored, succeeded};
use crate::support::{PROGRAM, private, run};

/// Enough that a debug build is at it for some seconds.
const ROWS: usize = 400_000;

async fn system(kind: Kind, replicas: usize) -> (System, Credential) {
    let config = format!("{GENEROUS}\n[inference.jobs]\nsweep_every = \"2s\"\n");
    let system = private(kind, Options { replicas, edges: 1, ..Options::with_config(config) }).await;
    system.settle().await.unwrap();
    let (key, _) = system.new_key("jobs", "predictor").await.unwrap();
    (system, key)
}

/// Waits until some rows of a job are answered, and not all.
async fn is_under_way(system: &System, id: &str, who: &Credential, least: u64) {
    let end = Instant::now() + Duration::from_secs(900);
    loop {
        let request = who.apply(system.request(0, Method::GET, &format!("/v1/jobs/{id}")));
        if let Ok(answer) = system.send(request).await {
            let job = answer.json();
            assert_ne!(job["state"], "failed", "{job}");
            assert_ne!(job["state"], "succeeded", "it was over before anybody died; give it more rows");
            if job["rows_done"].as_u64().is_some_and(|done| done >= least) {
                return;
            }
        }
        assert!(Instant::now() < end, "{least} rows are not answered in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_job_outlives_the_all_in_one() {
    run(async {
        let (mut system, key) = system(Kind::AllInOne, 1).await;
        let model = deployed(&system, &iris()).await;
        let rows = flowers(ROWS);
        let id = made(&make(&system, 0, &model, "?kind=raw", (CSV, rows.clone().into_bytes()), &key).await);
        for least in [1, 100_000] {
            is_under_way(&system, &id, &key, least).await;
            system.process("all-in-one", 0).unwrap().kill().unwrap();
            system.restart_all_in_one().await.unwrap();
        }
        let expected = scored(&iris(), ("rows.csv", rows.as_bytes()), "out.csv", "raw", &[]).unwrap();
        assert!(succeeded(&system, 0, &id, &key).await == expected);
    });
}

#[test]
fn a_job_outlives_each_process_of_a_cluster() {
    run(async {
        let (mut system, key) = system(Kind::Nats, 2).await;
        let model = deployed(&system, &iris()).await;
        let rows = flowers(ROWS);
        let id = made(&make(&system, 0, &model, "?kind=raw", (CSV, rows.clone().into_bytes()), &key).await);
        // Both workers, one after the other: one of them went on with the job.
        for worker in 0..2 {
            is_under_way(&system, &id, &key, 1 + 100_000 * worker as u64).await;
            system.process("inference", worker).unwrap().kill().unwrap();
            system.start_more("inference").await.unwrap();
        }
        is_under_way(&system, &id, &key, 200_000).await;
        let nats = system.nats().unwrap();
        nats.kill().unwrap();
        nats.restart().await.unwrap();
        system.process("edge", 0).unwrap().kill().unwrap();
        system.start_more("edge").await.unwrap();
        let expected = scored(&iris(), ("rows.csv", rows.as_bytes()), "out.csv", "raw", &[]).unwrap();
        assert!(succeeded(&system, 1, &id, &key).await == expected);
    });
}

#[test]
fn a_worker_that_stands_still_is_replaced() {
    run(async {
        let (mut system, key) = system(Kind::Nats, 2).await;
        let model = deployed(&system, &iris()).await;
        let rows = flowers(ROWS);
        let id = made(&make(&system, 0, &model, "", (CSV, rows.clone().into_bytes()), &key).await);
        is_under_way(&system, &id, &key, 1).await;
        system.process("inference", 0).unwrap().pause().unwrap();
        let expected = scored(&iris(), ("rows.csv", rows.as_bytes()), "out.csv", "proba", &[]).unwrap();
        let got = succeeded(&system, 0, &id, &key).await;
        assert!(got == expected);
        // It finds the job done, and changes nothing.
        system.process("inference", 0).unwrap().resume().unwrap();
        let next = made(&make(&system, 0, &model, "", (CSV, flowers(50_000).into_bytes()), &key).await);
        succeeded(&system, 0, &next, &key).await;
        assert!(succeeded(&system, 0, &id, &key).await == expected);
    });
}

/// Not in the usual run for its size: `cargo xtask show jobs`.
#[test]
#[ignore = "takes minutes, and gigabytes"]
fn millions_of_rows_outlive_a_worker_and_the_edge() {
    let rows = std::env::var("SHOW_JOBS_ROWS").map_or(5_000_000, |rows| rows.parse().unwrap());
    let mut told = std::io::stderr();
    let mut tell =
        |what: &str, since: Instant| writeln!(told, "{:>7.1} s  {what}", since.elapsed().as_secs_f64()).unwrap();
    run(async {
        let (mut system, key) = system(Kind::Nats, 2).await;
        let model = deployed(&system, &iris()).await;
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("rows.csv"), folder.path().join("job.csv"));
        std::fs::write(&input, flowers(rows)).unwrap();
        let size = std::fs::metadata(&input).unwrap().len();
        let began = Instant::now();
        tell(&format!("{rows} rows in {} MiB are sent", size >> 20), began);
        let Credential::Key(secret) = &key else { panic!() };
        let args = ["jobs", "run", input.to_str().unwrap(), "--model", &model, "--output", output.to_str().unwrap()];
        let mut command = Program::new(PROGRAM)
            .args(args)
            .args(["--server", system.edge(0), "--ca", system.ca().to_str().unwrap()])
            .env("ARBORGATE_API_KEY", secret)
            .start()
            .unwrap();
        let id = eventually_listed(&system, &key).await;
        tell("the job is made", began);
        let third = u64::try_from(rows / 3).unwrap();
        is_under_way(&system, &id, &key, third).await;
        system.process("inference", 0).unwrap().kill().unwrap();
        tell("a third of the rows is answered; a worker of two is killed", began);
        is_under_way(&system, &id, &key, 2 * third).await;
        // On its port again: the command goes on by itself.
        let port = system.edge(0).rsplit(':').next().unwrap().parse().unwrap();
        system.process("edge", 0).unwrap().kill().unwrap();
        tell("two thirds; the edge is killed", began);
        system.start_edge_at(port).await.unwrap();
        tell("the edge is there again", began);
        ends_well(&mut command).await;
        tell(&format!("the command has ended: {}", command.stdout().trim()), began);
        let began = Instant::now();
        let mut score = Program::new(PROGRAM)
            .args(["score", "--kind", "proba", "--model"])
            .arg(iris())
            .args(["--input", input.to_str().unwrap(), "--output"])
            .arg(folder.path().join("score.csv"))
            .start()
            .unwrap();
        ends_well(&mut score).await;
        tell(&format!("`arborgate score`: {}", score.stdout().trim()), began);
        let (job, score) = (std::fs::read(output).unwrap(), std::fs::read(folder.path().join("score.csv")).unwrap());
        assert_eq!(job.iter().filter(|byte| **byte == b'\n').count(), rows + 1);
        assert!(job == score, "the results differ");
        tell(&format!("equal: {} MiB, {} lines", job.len() >> 20, rows + 1), began);
    });
}

async fn ends_well(process: &mut Process) {
    let end = Instant::now() + Duration::from_secs(1800);
    loop {
        if let Some(status) = process.ended().unwrap() {
            return assert!(status.success(), "{}", process.stderr());
        }
        assert!(Instant::now() < end, "it does not end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The id of the caller's only job, once there is one.
async fn eventually_listed(system: &System, who: &Credential) -> String {
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        let list = system.get("/v1/jobs", who).await.unwrap().json();
        if let Some(id) = list[0]["id"].as_str() {
            return id.to_owned();
        }
        assert!(Instant::now() < end, "no job is made");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
