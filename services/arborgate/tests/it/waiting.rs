//! A process of a cluster that starts before what it needs: it waits, says so, and becomes ready by itself.

use arborgate_testkit::nats::{NatsOptions, NatsServer};
use arborgate_testkit::process::Program;
use arborgate_testkit::system::eventually;

use crate::lifecycle::{LIMIT, fails, fails_health, folder, operations, program, succeeds};
use crate::support::{PROGRAM, run};

#[test]
fn a_process_waits_for_nats_and_for_init() {
    run(async {
        let folder = folder();
        let certs = folder.path().join("certs");
        let key = certs.join("master.key");
        succeeds(program().arg("certs").arg(&certs)).await;
        let mut nats = NatsServer::start(NatsOptions::default()).await.unwrap();
        nats.stop().await.unwrap();
        let clustered = |command: &str| program().args([command, "--nats", &nats.url(), "--ops-listen", "127.0.0.1:0"]);
        let init = clustered("init").arg("--master-key-file").arg(&key);
        let other = folder.path().join("other");
        succeeds(program().arg("certs").arg(&other)).await;
        let stranger =
            clustered("serve").args(["--roles", "auth"]).arg("--master-key-file").arg(other.join("master.key"));
        let without = clustered("serve").args(["--roles", "crypto"]);
        let mut process = clustered("serve").args(["--roles", "limiter"]).start().unwrap();

        // Without NATS.
        let port = nats.port().to_string();
        nobody_is_let_in_before_there_is_an_answer(clustered("serve"), &port).await;
        let operations = operations(&process).await;
        let said = fails_health(&operations).await;
        assert!(said.contains("waiting for NATS"), "{said}");
        eventually("it says what it waits for", async || {
            Ok(process.stderr().lines().any(|line| line.contains("NATS") && line.contains(&port)))
        })
        .await
        .unwrap();
        let said = fails(without).await;
        assert!(said.contains("master key") && said.contains("--master-key-file"), "{said}");

        // Without `init`.
        nats.restart().await.unwrap();
        eventually("it says that init is missing", async || Ok(process.stderr().contains("run `arborgate init` once")))
            .await
            .unwrap();
        let said = fails_health(&operations).await;
        assert!(said.contains("waiting for `arborgate init`"), "{said}");
        assert_eq!(process.stdout(), "");

        // With both.
        let said = succeeds(init.clone()).await;
        assert!(said.contains("password"), "{said}");
        let said = succeeds(init).await;
        assert!(!said.contains("password") && said.contains("as it was"), "{said}");
        process.until_line("arborgate is ready", LIMIT).await.unwrap();
        let health = || Program::new(PROGRAM).args(["health", "--address", &operations]);
        succeeds(health()).await;
        let said = fails(stranger).await;
        assert!(said.contains("master key is not the one"), "{said}");

        // Ready only while NATS is there.
        nats.stop().await.unwrap();
        eventually("it is not ready without NATS", async || Ok(!ready(&operations).await)).await.unwrap();
        let said = fails_health(&operations).await;
        assert!(said.contains("NATS can not be reached"), "{said}");
        nats.restart().await.unwrap();
        eventually("it is ready again", async || Ok(ready(&operations).await)).await.unwrap();
        assert!(process.until_stopped(LIMIT).await.unwrap().success());
    });
}

/// An edge's clients are refused, and may try another, rather than left waiting.
async fn nobody_is_let_in_before_there_is_an_answer(serve: Program, nats: &str) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tls = folder();
    let serve = serve.args(["--roles", "edge", "--listen", &address.to_string(), "--tls-dir"]).arg(tls.path());
    let mut edge = serve.start().unwrap();
    eventually("the edge waits for NATS", async || {
        Ok(edge.stderr().lines().any(|line| line.contains("waiting for NATS") && line.contains(nats)))
    })
    .await
    .unwrap();
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    edge.kill().unwrap();
}

async fn ready(operations: &str) -> bool {
    reqwest::get(format!("http://{operations}/readyz")).await.is_ok_and(|answer| answer.status() == 200)
}
