//! What every test of this binary needs: the shared systems, tests on both buses, Python.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use arborgate_testkit::system::{Answer, Credential, Kind, Options, System, eventually};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// The binary under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_arborgate");

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static ALL_IN_ONE: OnceCell<System> = OnceCell::const_new();
static NATS: OnceCell<System> = OnceCell::const_new();

/// Runs a test. One runtime for all: a connection of the shared client belongs to the runtime that made it.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    RUNTIME.block_on(test)
}

/// The system that tests which disturb nobody share.
pub(crate) async fn shared(kind: Kind) -> &'static System {
    let cell = match kind {
        Kind::AllInOne => &ALL_IN_ONE,
        Kind::Nats => &NATS,
    };
    cell.get_or_init(|| async {
        let system = private(kind, Options::default()).await;
        system.settle().await.unwrap();
        system
    })
    .await
}

/// A system of a test's own.
pub(crate) async fn private(kind: Kind, options: Options) -> System {
    System::start(PROGRAM, kind, options).await.unwrap()
}

/// Makes of each `async fn name(system: &System)` the tests `all_in_one::name` and `nats::name`.
macro_rules! on_both_buses {
    ($($name:ident),* $(,)?) => {
        mod all_in_one {
            $(#[test]
            fn $name() {
                $crate::support::run(async {
                    super::$name($crate::support::shared(arborgate_testkit::system::Kind::AllInOne).await).await;
                });
            })*
        }
        mod nats {
            $(#[test]
            fn $name() {
                $crate::support::run(async {
                    super::$name($crate::support::shared(arborgate_testkit::system::Kind::Nats).await).await;
                });
            })*
        }
    };
}
pub(crate) use on_both_buses;

/// The same of `async fn name(kind: Kind)`, which starts a system of its own.
macro_rules! on_both_kinds {
    ($($name:ident),* $(,)?) => {
        mod own_all_in_one {
            $(#[test]
            fn $name() {
                $crate::support::run(super::$name(arborgate_testkit::system::Kind::AllInOne));
            })*
        }
        mod own_nats {
            $(#[test]
            fn $name() {
                $crate::support::run(super::$name(arborgate_testkit::system::Kind::Nats));
            })*
        }
    };
}
pub(crate) use on_both_kinds;

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Iris setosa.
pub(crate) fn setosa() -> Value {
    json!({"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2})
}

/// Holds an answer to be problem details with this status, security headers and a detail; gives the detail.
#[track_caller]
pub(crate) fn problem(answer: &Answer, status: u16) -> String {
    problem_as(answer, status, "application/problem+json")
}

/// The same, of another media type.
#[track_caller]
pub(crate) fn problem_as(answer: &Answer, status: u16, media_type: &str) -> String {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.header("content-type"), media_type);
    let json = answer.json();
    assert_eq!(json["status"], status);
    assert!(json["title"].is_string() && json["type"].is_string() && json["code"].is_string(), "{json}");
    let detail = answer.detail();
    assert!(detail.len() > 5, "{json}");
    secure(answer);
    detail
}

/// Holds an answer to have what every answer has.
#[track_caller]
pub(crate) fn secure(answer: &Answer) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert!(answer.header("content-security-policy").contains("default-src 'none'"));
    assert!(!answer.header("cache-control").is_empty());
    assert!(!answer.header("x-request-id").is_empty());
}

/// Runs one of the scripts beside this file with the Python that `cargo xtask setup` made.
pub(crate) fn python(script: &str, args: &[&Path], input: &str) -> String {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../.tools/python/bin/python");
    assert!(python.is_file(), "{} is not there: run `cargo xtask setup`", python.display());
    let mut child = Command::new(python)
        .arg(root.join("tests/it/python").join(script))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The folder of model files that scikit-learn makes for this run, once.
pub(crate) fn model_files() -> PathBuf {
    static MADE: LazyLock<PathBuf> = LazyLock::new(|| {
        // Below target, where each run writes over the last one's.
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("models");
        std::fs::create_dir_all(&folder).unwrap();
        python("models.py", &[&folder], "");
        folder
    });
    MADE.clone()
}

/// Adds a model's file by the API at the first edge.
pub(crate) async fn put_model(system: &System, path: &str, bytes: Vec<u8>) -> Answer {
    let admin = system.admin().await.unwrap();
    let request = system.request(0, reqwest::Method::PUT, path).header("Content-Type", "application/octet-stream");
    system.send(admin.apply(request).body(bytes)).await.unwrap()
}

/// Asks an edge until it knows the model and a worker has loaded it.
pub(crate) async fn predict_soon(system: &System, edge: usize, path: &str, body: &Value, who: &Credential) -> Answer {
    let mut last = None;
    eventually("the model answers", async || {
        let answer = system.post_json_at(edge, path, body, who).await?;
        let soon = matches!(answer.status, 404 | 503);
        last = Some(answer);
        Ok(!soon)
    })
    .await
    .unwrap();
    last.unwrap()
}

/// A body as `Content-Encoding` says.
pub(crate) fn pack(coding: &str, body: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::bulk::compress(body, 3).unwrap(),
    }
}
