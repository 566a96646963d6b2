//! An all-in-one from its first start to its end: what it makes, what it refuses to start on, and how it ends.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use arborgate_testkit::process::{Process, Program};
use arborgate_testkit::system::eventually;
use reqwest::{Client, ClientBuilder, StatusCode, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{PROGRAM, run, setosa};

pub(crate) const LIMIT: Duration = Duration::from_secs(90);
pub(crate) const READY: &str = "arborgate is ready at ";
const ANY: &str = "127.0.0.1:0";
const OPERATIONS: &str = "operations are answered address=";

/// A folder in which a test's processes keep what they make.
pub(crate) fn folder() -> TempDir {
    tempfile::Builder::new().prefix("arborgate-lifecycle-").tempdir().unwrap()
}

/// The binary, with passwords that cost little.
pub(crate) fn program() -> Program {
    Program::new(PROGRAM)
        .env("ARBORGATE__AUTH__ARGON2__MEMORY", "64KiB")
        .env("ARBORGATE__AUTH__ARGON2__PASSES", "1")
        .env("ARBORGATE__SHUTDOWN__GRACE", "20s")
}

pub(crate) fn up(data: &Path) -> Program {
    up_at(data, ANY, ANY)
}

fn up_at(data: &Path, listen: &str, operations: &str) -> Program {
    program().args(["up", "--listen", listen, "--ops-listen", operations, "--data-dir"]).arg(data)
}

pub(crate) async fn ready(process: &mut Process) -> String {
    process.until_line(READY, LIMIT).await.unwrap()
}

/// Waits for the end of what ends by itself.
pub(crate) async fn ended(process: &mut Process) -> ExitStatus {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(status) = process.ended().unwrap() {
            return status;
        }
        assert!(Instant::now() < end, "does not end: {}", process.stderr());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Runs a program that has to fail; its words.
pub(crate) async fn fails(program: Program) -> String {
    let mut process = program.start().unwrap();
    let status = ended(&mut process).await;
    assert_eq!(status.code(), Some(1), "{}", process.stderr());
    assert_eq!(process.stdout(), "", "nothing is promised before");
    process.stderr()
}

/// Runs a program that has to succeed; what it printed.
pub(crate) async fn succeeds(program: Program) -> String {
    let mut process = program.start().unwrap();
    let status = ended(&mut process).await;
    assert!(status.success(), "{status}: {}", process.stderr());
    process.stdout()
}

/// Where a process answers probes.
pub(crate) async fn operations(process: &Process) -> String {
    let mut found = None;
    eventually("the operations listener is told", async || {
        found = process.stderr().lines().find_map(|line| Some(line.split_once(OPERATIONS)?.1.trim().to_owned()));
        Ok(found.is_some())
    })
    .await
    .unwrap();
    found.unwrap()
}

pub(crate) fn trusting(data: &Path) -> ClientBuilder {
    let ca = std::fs::read(data.join("tls/ca.pem")).unwrap();
    let ca = reqwest::Certificate::from_pem_bundle(&ca).unwrap();
    Client::builder().tls_certs_only(ca).timeout(LIMIT).redirect(reqwest::redirect::Policy::none())
}

pub(crate) async fn sign_in(client: &Client, url: &str, password: &str) -> Result<String, StatusCode> {
    let form = [("username", "admin"), ("password", password)];
    let answer = client.post(format!("{url}/token")).form(&form).send().await.unwrap();
    match answer.status() {
        StatusCode::OK => {
            let token: Value = answer.json().await.unwrap();
            Ok(token["access_token"].as_str().unwrap().to_owned())
        }
        refused => Err(refused),
    }
}

async fn predicts(client: &Client, url: &str, token: &str) {
    let request = client.post(format!("{url}/predict")).bearer_auth(token).json(&setosa());
    let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    assert_eq!(answer["label"], "setosa");
}

pub(crate) fn password_of(stdout: &str) -> Option<String> {
    let line = stdout.lines().find(|line| line.trim_start().starts_with("password  "))?;
    line.split_whitespace().nth(1).map(str::to_owned)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_first_start_makes_what_it_lacks_and_later_ones_change_nothing() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut first = up(&data).start().unwrap();
        let url = ready(&mut first).await;
        let password = password_of(&first.stdout()).unwrap();
        assert!(first.stdout().contains("shown this once") && password.len() >= 16, "{}", first.stdout());
        assert!(!first.stderr().contains(&password));
        assert_eq!(mode(&data), 0o700);
        for path in files(&data) {
            // Certificates are for everybody, in a folder that is not.
            let wanted = if path.extension().is_some_and(|e| e == "pem") { 0o644 } else { 0o600 };
            assert_eq!(mode(&path) | 0o600, wanted, "{}", path.display());
        }
        assert_eq!(mode(&data.join("master.key")), 0o600);
        let client = trusting(&data).build().unwrap();
        let token = sign_in(&client, &url, &password).await.unwrap();
        predicts(&client, &url, &token).await;
        let key = std::fs::read(data.join("master.key")).unwrap();
        first.kill().unwrap();

        let began = Instant::now();
        let mut second = up(&data).env("ARBORGATE_ADMIN_PASSWORD", "another one altogether").start().unwrap();
        let url = ready(&mut second).await;
        tell(&format!("the second start, after kill -9, was ready after {:?} (debug build)", began.elapsed()));
        assert_eq!(password_of(&second.stdout()), None);
        let log = second.stderr();
        assert!(log.contains("ARBORGATE_ADMIN_PASSWORD is ignored") && !log.contains("another one"), "{log}");
        assert_eq!(std::fs::read(data.join("master.key")).unwrap(), key);
        let client = trusting(&data).build().unwrap();
        predicts(&client, &url, &token).await;
        let refused = sign_in(&client, &url, "another one altogether").await;
        assert_eq!(refused, Err(StatusCode::UNAUTHORIZED));
        sign_in(&client, &url, &password).await.unwrap();
        assert!(second.until_stopped(LIMIT).await.unwrap().success());
    });
}

#[allow(clippy::print_stderr)]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[test]
fn a_folder_and_a_port_are_held_by_one() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut first = up(&data).start().unwrap();
        let url = ready(&mut first).await;
        let pid = first.pid().to_string();
        let said = fails(up(&data)).await;
        assert!(said.contains(&data.display().to_string()) && said.contains(&pid), "{said}");

        let reset = program().args(["users", "reset-password", "admin", "--data-dir"]).arg(&data);
        let said = fails(reset).await;
        assert!(said.contains(&data.display().to_string()) && said.contains(&pid), "{said}");

        let address = url.trim_start_matches("https://");
        let other = folder.path().join("other");
        let said = fails(up_at(&other, address, ANY)).await;
        assert!(said.contains(address) && said.contains("in use"), "{said}");
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let operations = held.local_addr().unwrap().to_string();
        let said = fails(up_at(&other, ANY, &operations)).await;
        assert!(said.contains(&operations) && said.contains("in use"), "{said}");
        // Neither was a first start that used the password up.
        let mut third = up(&other).start().unwrap();
        ready(&mut third).await;
        assert!(password_of(&third.stdout()).is_some());
    });
}

#[test]
fn what_can_not_be_used_is_named() {
    run(async {
        let folder = folder();
        let file = folder.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        let said = fails(up(&file)).await;
        assert!(said.contains("a-file"), "{said}");
        let locked = folder.path().join("no-lock");
        std::fs::create_dir_all(locked.join("arborgate.lock")).unwrap();
        let said = fails(up(&locked)).await;
        assert!(said.contains("can not write to the data folder") && said.contains("no-lock"), "{said}");

        let data = folder.path().join("data");
        let said = fails(up(&data).env("ARBORGATE__EDGE__LISTENN", "127.0.0.1:0")).await;
        assert!(said.contains("listenn"), "{said}");
        let config = folder.path().join("arborgate.toml");
        std::fs::write(&config, "[inference]\nthread = 3\n").unwrap();
        let said = fails(up(&data).arg("--config").arg(&config)).await;
        assert!(said.contains("inference.thread") && said.contains("arborgate.toml"), "{said}");
        let said = fails(up(&data).arg("--config").arg(folder.path().join("absent.toml"))).await;
        assert!(said.contains("absent.toml"), "{said}");
        assert!(!data.exists(), "nothing is made before the configuration is known to be right");
    });
}

#[test]
fn a_password_is_reset_offline() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let reset = |name: &str| program().args(["users", "reset-password", name, "--data-dir"]).arg(&data);
        let said = fails(reset("admin")).await;
        assert!(said.contains("there is no data folder"), "{said}");
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        let old = password_of(&process.stdout()).unwrap();
        assert!(process.until_stopped(LIMIT).await.unwrap().success());

        let said = succeeds(reset("admin")).await;
        let new = said.split_once("'admin' is ").unwrap().1.split_whitespace().next().unwrap();
        let said = fails(reset("nobody")).await;
        assert!(said.contains("nobody"), "{said}");
        let mut process = up(&data).start().unwrap();
        let url = ready(&mut process).await;
        let client = trusting(&data).build().unwrap();
        assert_eq!(sign_in(&client, &url, &old).await, Err(StatusCode::UNAUTHORIZED));
        let token = sign_in(&client, &url, new).await.unwrap();
        predicts(&client, &url, &token).await;
    });
}

#[test]
fn state_of_a_newer_binary_or_another_key_is_refused() {
    use arborgate_bus::{
        Bus,
        local::{Config, LocalBus},
        to_json,
    };
    use arborgate_contracts::bucket::{META, Meta, STATE_FORMAT, meta_key};
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut process = up(&data).start().unwrap();
        ready(&mut process).await;
        assert!(process.until_stopped(LIMIT).await.unwrap().success());

        let master = data.join("master.key");
        let own = std::fs::read(&master).unwrap();
        succeeds(program().arg("certs").arg(folder.path().join("certs"))).await;
        std::fs::copy(folder.path().join("certs/master.key"), &master).unwrap();
        let said = fails(up(&data)).await;
        assert!(said.contains("master key is not the one"), "{said}");
        std::fs::write(&master, "not a key").unwrap();
        let said = fails(up(&data)).await;
        assert!(said.contains("master.key") && !said.contains("not a key"), "{said}");
        std::fs::write(&master, own).unwrap();

        let bus = Bus::new(LocalBus::open(Config { data_dir: Some(data.clone()), ..Config::default() }).unwrap());
        let bucket = bus.bucket(&META).await.unwrap();
        let (meta, _) = bucket.get_json::<Meta>(&meta_key()).await.unwrap().unwrap();
        let newer = Meta { format: STATE_FORMAT + 1, ..meta };
        bucket.put(&meta_key(), to_json(&newer).unwrap()).await.unwrap();
        bus.close().await;
        drop((bucket, bus));
        let said = fails(up(&data)).await;
        assert!(said.contains("start a newer binary") && said.contains(&(STATE_FORMAT + 1).to_string()), "{said}");
    });
}

#[test]
fn requests_under_way_are_answered_before_it_ends() {
    run(async {
        for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
            drained(signal).await;
        }
    });
}

/// An upload of which half was sent when the signal came.
async fn drained(signal: rustix::process::Signal) {
    let folder = folder();
    let data = folder.path().join("data");
    let mut process = up(&data).start().unwrap();
    let url = ready(&mut process).await;
    let operations = operations(&process).await;
    let client = trusting(&data).build().unwrap();
    let token = sign_in(&client, &url, &password_of(&process.stdout()).unwrap()).await.unwrap();
    let before = files(&data);

    let model = include_bytes!("../../models/iris.joblib");
    let (first, rest) = model.split_at(model.len() / 2);
    let (pieces, body) = tokio::sync::mpsc::channel::<Result<&'static [u8], std::io::Error>>(2);
    pieces.send(Ok(first)).await.unwrap();
    let body = reqwest::Body::wrap_stream(futures_util::stream::unfold(body, |mut body| async {
        body.recv().await.map(|piece| (piece, body))
    }));
    let request = client.put(format!("{url}/v1/models/slow/versions/1")).bearer_auth(&token);
    let request = request.header("Content-Type", "application/octet-stream").body(body);
    let answer = tokio::spawn(request.send());
    let arrived = |path: &PathBuf| !before.contains(path) && std::fs::metadata(path).is_ok_and(|m| m.len() > 0);
    eventually("the upload is under way", async || Ok(files(&data).iter().any(arrived))).await.unwrap();

    let pid = rustix::process::Pid::from_raw(i32::try_from(process.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
    eventually("it drains", async || Ok(process.stderr().contains("draining"))).await.unwrap();
    // It says itself that it takes no more, and waits.
    let probed = fails_health(&operations).await;
    assert!(probed.contains("not ready") && probed.contains("draining"), "{probed}");
    assert!(process.ended().unwrap().is_none());
    pieces.send(Ok(rest)).await.unwrap();
    drop(pieces);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "{}", answer.text().await.unwrap());
    assert!(ended(&mut process).await.success(), "{}", process.stderr());
    assert!(!data.join("operator.sock").exists());
}

/// What `arborgate health` says of a process that is not ready.
pub(crate) async fn fails_health(operations: &str) -> String {
    fails(Program::new(PROGRAM).args(["health", "--address", operations])).await
}

#[test]
fn it_answers_http_1_and_2_and_redirects_what_comes_in_the_open() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        // Bound by the process in a moment; nothing else is given this port meanwhile but by chance.
        let plain = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut process = up(&data).env("ARBORGATE__EDGE__REDIRECT_LISTEN", plain.to_string()).start().unwrap();
        let url = ready(&mut process).await;
        let get = async |builder: ClientBuilder, url: &str| {
            let answer = builder.build().unwrap().get(url).send().await.unwrap();
            (answer.status(), answer.version())
        };
        let livez = format!("{url}/livez");
        assert_eq!(get(trusting(&data), &livez).await, (StatusCode::OK, Version::HTTP_2));
        assert_eq!(get(trusting(&data).http1_only(), &livez).await, (StatusCode::OK, Version::HTTP_11));
        // Who does not trust the CA does not talk to it.
        assert!(Client::builder().build().unwrap().get(&livez).send().await.is_err());

        let client = trusting(&data).build().unwrap();
        let answer = client.post(format!("http://{plain}/predict?x=1")).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.headers()["location"], format!("{url}/predict?x=1"));

        let operations = operations(&process).await;
        let said = succeeds(Program::new(PROGRAM).args(["health", "--address", &operations])).await;
        assert!(said.contains("ready"), "{said}");
        let ready = client.get(format!("http://{operations}/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::OK);
        process.kill().unwrap();
        fails_health(&operations).await;
    });
}

#[test]
fn tls_is_off_where_the_configuration_says_so() {
    run(async {
        let folder = folder();
        let data = folder.path().join("data");
        let mut process = up(&data).env("ARBORGATE__EDGE__TLS__ENABLED", "false").start().unwrap();
        let url = ready(&mut process).await;
        assert!(url.starts_with("http://"), "{url}");
        assert!(!data.join("tls").exists());
        let client = Client::builder().timeout(LIMIT).build().unwrap();
        let token = sign_in(&client, &url, &password_of(&process.stdout()).unwrap()).await.unwrap();
        predicts(&client, &url, &token).await;
    });
}
