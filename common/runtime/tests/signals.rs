//! Signals, in processes of their own: the test starts itself again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use arborgate_runtime::files::DataDir;
use arborgate_runtime::shutdown::{Drained, Shutdown, signals};
use rustix::process::{Pid, Signal, kill_process};

const ROLE: &str = "RUNTIME_TEST_CHILD";

/// Is not left behind when the test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts this test again in another process.
fn child(test: &str, role: &str) -> (Process, impl FnMut(&str)) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, role)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wait_for = move |wanted: &str| {
        // the harness may have left its own text on the line
        assert!(lines.any(|line| line.unwrap().ends_with(wanted)), "{wanted}");
    };
    (Process(child), wait_for)
}

fn send(child: &Process, signal: Signal) {
    kill_process(Pid::from_child(&child.0), signal).unwrap();
}

fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The first signal begins a drain; with a straggler, the drain lasts as long as the test lets it.
async fn serve(grace: Duration, straggle: bool) -> Drained {
    let shutdown = Shutdown::new();
    let first = signals().unwrap();
    let token = shutdown.token();
    shutdown.spawn(async move {
        token.cancelled().await;
        if straggle {
            std::future::pending::<()>().await;
        }
    });
    println!("\nserving");
    println!("\n{} came", first.await);
    shutdown.drain(grace).await
}

#[tokio::test]
async fn the_first_signal_drains() {
    if role().is_some() {
        assert_eq!(serve(Duration::from_secs(60), false).await, Drained { stragglers: 0 });
        return;
    }
    for (signal, name) in [(Signal::TERM, "SIGTERM came"), (Signal::INT, "SIGINT came")] {
        let (mut child, mut wait_for) = child("the_first_signal_drains", "serve");
        wait_for("serving");
        send(&child, signal);
        wait_for(name);
        assert!(child.0.wait().unwrap().success());
    }
}

#[tokio::test]
async fn the_second_signal_ends_at_once() {
    if role().is_some() {
        serve(Duration::from_secs(3600), true).await;
        return;
    }
    let (mut child, mut wait_for) = child("the_second_signal_ends_at_once", "serve");
    wait_for("serving");
    send(&child, Signal::TERM);
    wait_for("SIGTERM came");
    send(&child, Signal::INT);
    assert_eq!(child.0.wait().unwrap().code(), Some(130));
}

#[test]
fn a_killed_process_leaves_its_folder_free() {
    if let Some(folder) = role() {
        let _held = DataDir::open(folder.as_ref()).unwrap();
        println!("\nheld");
        loop {
            std::thread::park();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut child, mut wait_for) = child("a_killed_process_leaves_its_folder_free", dir.path().to_str().unwrap());
    wait_for("held");
    let error = DataDir::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", child.0.id())), "{error}");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    DataDir::open(dir.path()).unwrap();
}
