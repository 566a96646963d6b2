//! Work queues in a folder: what a restart and a kill leave of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use arborgate_bus::local::{Config, LocalBus};
use arborgate_bus::{Added, Bus, Queue};
use arborgate_contracts::RequestId;
use arborgate_contracts::queue::QueueSpec;
use bytes::Bytes;

static WORK: QueueSpec = QueueSpec {
    name: "work",
    max_messages: 100_000,
    max_message: 64,
    ack_wait: Duration::from_secs(3600),
    max_deliver: 3,
};
const CHILD: &str = "LOCAL_QUEUE_CHILD";

fn open(folder: &Path) -> Bus {
    Bus::new(LocalBus::open(Config { data_dir: Some(folder.to_owned()), ..Config::default() }).unwrap())
}

async fn put(queue: &Queue, id: &str) -> Added {
    queue.publish(&id.parse::<RequestId>().unwrap(), Bytes::copy_from_slice(id.as_bytes())).await.unwrap()
}

#[tokio::test]
async fn a_restart_keeps_what_is_not_done_and_how_often_it_was_tried() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let queue = bus.create_queue(&WORK).await.unwrap();
    for id in ["done", "begun", "waits"] {
        put(&queue, id).await;
    }
    queue.next().await.unwrap().ack().await.unwrap();
    let begun = queue.next().await.unwrap();
    assert_eq!(begun.payload, "begun");
    std::mem::forget(begun);
    bus.close().await;
    drop((queue, bus));

    let bus = open(folder.path());
    let queue = bus.queue(&WORK).await.unwrap();
    assert_eq!(put(&queue, "begun").await, Added::AlreadyThere);
    assert_eq!(put(&queue, "done").await, Added::New);
    let mut taken = Vec::new();
    for _ in 0..3 {
        let delivery = queue.next().await.unwrap();
        taken.push((String::from_utf8(delivery.payload.to_vec()).unwrap(), delivery.attempt));
        delivery.ack().await.unwrap();
    }
    let expected = [("begun", 2), ("waits", 1), ("done", 1)].map(|(id, attempt)| (id.to_owned(), attempt));
    assert_eq!(taken, expected);
    assert_eq!(queue.length().await.unwrap(), 0);
}

/// Publishes and acknowledges every second message, saying each on standard output only once it is done.
async fn child(folder: &Path) {
    let queue = open(folder).create_queue(&WORK).await.unwrap();
    let mut said = std::io::stdout();
    for i in 0.. {
        put(&queue, &format!("m{i}")).await;
        writeln!(said, "+m{i}").unwrap();
        if i % 2 == 1 {
            let delivery = queue.next().await.unwrap();
            let id = String::from_utf8(delivery.payload.to_vec()).unwrap();
            delivery.ack().await.unwrap();
            writeln!(said, "-{id}").unwrap();
        }
    }
}

#[tokio::test]
async fn after_kill_9_what_was_said_is_so() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return child(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "after_kill_9_what_was_said_is_so", "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::collections::BTreeSet::new();
    let mut done = std::collections::BTreeSet::new();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut lines = lines.map(Result::unwrap).filter(|line| line.contains("+m") || line.contains("-m"));
    for line in lines.by_ref().take(200) {
        // The test harness may have written before the first on its line.
        if let Some((_, id)) = line.split_once('+') {
            said.insert(id.to_owned());
        } else if let Some((_, id)) = line.split_once('-') {
            done.insert(id.to_owned());
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(!done.is_empty() && said.len() > done.len());

    let queue = open(folder.path()).queue(&WORK).await.unwrap();
    let mut there = std::collections::BTreeSet::new();
    while queue.length().await.unwrap() > 0 {
        let delivery = queue.next().await.unwrap();
        assert!(there.insert(String::from_utf8(delivery.payload.to_vec()).unwrap()), "twice");
        delivery.ack().await.unwrap();
    }
    assert!(done.iter().all(|id| !there.contains(id)), "what was acknowledged came again");
    let lost: Vec<_> = said.iter().filter(|id| !done.contains(*id) && !there.contains(*id)).collect();
    // What was acknowledged after the last line that was read.
    assert!(lost.len() <= 110, "{lost:?}");
    let first_kept = there.iter().filter_map(|id| id[1..].parse::<u64>().ok()).min();
    let last_done = done.iter().filter_map(|id| id[1..].parse::<u64>().ok()).max();
    assert!(first_kept > last_done, "{first_kept:?} {last_done:?}");
}
