//! State in a folder: what a restart, a crash, damage and a stranger's file do to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arborgate_bus::local::{Config, LocalBus, OpenError};
use arborgate_bus::{Bus, Change, ObjectStream, StoreError};
use arborgate_contracts::Key;
use arborgate_contracts::bucket::{BucketSpec, Storage};
use bytes::Bytes;
use futures_util::StreamExt;
use tempfile::TempDir;

static KEPT: BucketSpec =
    BucketSpec { name: "kept", storage: Storage::Disk, history: 1, max_age: None, max_value: 4096 };
static FLEETING: BucketSpec = BucketSpec { name: "fleeting", storage: Storage::Memory, ..KEPT };
const STORE: &str = "artifacts";

fn try_open(folder: &Path) -> Result<Arc<LocalBus>, OpenError> {
    LocalBus::open(Config { data_dir: Some(folder.to_owned()), ..Config::default() })
}

fn open(folder: &Path) -> Bus {
    Bus::new(try_open(folder).unwrap())
}

fn refusal(folder: &Path) -> OpenError {
    try_open(folder).map(drop).expect_err("it opened")
}

fn key(name: &str) -> Key {
    Key::of(&[name])
}

fn once(bytes: impl Into<Bytes>) -> ObjectStream {
    let bytes = bytes.into();
    Box::pin(futures_util::stream::once(async move { Ok(bytes) }))
}

fn state_file(folder: &TempDir) -> PathBuf {
    folder.path().join("state.redb")
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_restart_keeps_what_is_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let kept = bus.create_bucket(&KEPT).await.unwrap();
    bus.create_bucket(&FLEETING).await.unwrap().put(&key("a"), Bytes::from_static(b"x")).await.unwrap();
    let seen = kept.put(&key("a"), Bytes::from_static(b"\x00\xff")).await.unwrap();
    kept.put(&key("gone"), Bytes::new()).await.unwrap();
    kept.delete(&key("gone"), None).await.unwrap();
    let newest = kept.revision().await.unwrap();
    let info = bus.create_objects(STORE).await.unwrap().put("m/1", once("model")).await.unwrap();
    bus.close().await;

    let bus = open(folder.path());
    let kept = bus.bucket(&KEPT).await.unwrap();
    let entry = kept.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (Bytes::from_static(b"\x00\xff"), seen));
    assert_eq!(kept.list(None).await.unwrap().len(), 1);
    assert_eq!(kept.revision().await.unwrap(), newest);
    // A watch from before the restart is told of the deletion.
    let mut watch = kept.watch(None, Some(seen)).await.unwrap();
    let deletion = Change::Deleted { key: key("gone"), revision: newest };
    assert_eq!(watch.next().await.unwrap().unwrap(), deletion);
    assert_eq!(watch.next().await.unwrap().unwrap(), Change::Current { revision: newest });
    assert_eq!(kept.create(&key("gone"), Bytes::new()).await.unwrap(), newest + 1);
    // That the bucket in memory was made is remembered, not what was in it.
    let fleeting = bus.bucket(&FLEETING).await.unwrap();
    assert_eq!(fleeting.revision().await.unwrap(), 0);
    assert_eq!(fleeting.get(&key("a")).await.unwrap(), None);
    let objects = bus.objects(STORE).await.unwrap();
    assert_eq!(objects.list().await.unwrap(), [info]);
    assert_eq!(objects.get_all("m/1", 100).await.unwrap(), &b"model"[..]);
}

#[tokio::test]
async fn a_bus_that_is_dropped_lets_go_of_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    for i in 1..=3 {
        let bucket = open(folder.path()).create_bucket(&KEPT).await.unwrap();
        assert_eq!(bucket.put(&key("a"), Bytes::new()).await.unwrap(), i);
    }
}

#[tokio::test]
async fn a_closed_bus_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let kept = bus.create_bucket(&KEPT).await.unwrap();
    let objects = bus.create_objects(STORE).await.unwrap();
    let mut watch = kept.watch(None, None).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap(), Change::Current { revision: 0 });
    bus.close().await;
    assert!(watch.next().await.is_none());
    let closed = |error: StoreError| {
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "the bus is closed", "{error:?}");
    };
    closed(kept.get(&key("a")).await.unwrap_err());
    closed(kept.put(&key("a"), Bytes::new()).await.unwrap_err());
    closed(kept.watch(None, None).await.map(drop).unwrap_err());
    closed(objects.list().await.unwrap_err());
    closed(objects.put("a", once("x")).await.unwrap_err());
    closed(bus.bucket(&KEPT).await.map(drop).unwrap_err());
    closed(bus.create_objects("others").await.map(drop).unwrap_err());
}

#[tokio::test]
async fn only_the_owner_can_read() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b");
    let bus = open(&folder);
    bus.create_objects(STORE).await.unwrap().put("x", once("x")).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(STORE)), 0o700);
    assert_eq!(mode(&folder.join("state.redb")), 0o600);
    let file = files(&folder.join(STORE)).remove(0);
    assert_eq!(mode(&folder.join(STORE).join(file)), 0o600);
    bus.close().await;
    // One that was widened is narrowed.
    std::fs::set_permissions(folder.join("state.redb"), PermissionsExt::from_mode(0o644)).unwrap();
    open(&folder).close().await;
    assert_eq!(mode(&folder.join("state.redb")), 0o600);
}

#[tokio::test]
async fn a_second_user_of_a_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let error = refusal(folder.path());
    assert!(matches!(&error, OpenError::InUse { path } if *path == state_file(&folder)), "{error:?}");
    first.close().await;
    open(folder.path());
}

/// Not a test of its own: the process that the next one kills.
#[tokio::test]
#[ignore = "the child of another test"]
async fn child_that_writes_until_killed() {
    let folder = PathBuf::from(std::env::var_os("ARBORGATE_TEST_FOLDER").expect("run by its parent only"));
    let bus = open(&folder);
    let kept = bus.create_bucket(&KEPT).await.unwrap();
    let objects = bus.create_objects(STORE).await.unwrap();
    let endless = futures_util::stream::once(async { Ok(Bytes::from_static(b"part")) });
    let endless = endless.chain(futures_util::stream::pending());
    let unfinished = objects.clone();
    tokio::spawn(async move { unfinished.put("unfinished", Box::pin(endless)).await });
    let mut stdout = std::io::stdout();
    for n in 0_u64.. {
        let value = Bytes::from(vec![n as u8; 512]);
        // Some of them together in one commit.
        let (counter, name) = (key("counter"), n.to_string());
        let name = key(&name);
        let (a, b) = tokio::join!(kept.put(&counter, n.to_string().into()), kept.put(&name, value));
        a.unwrap();
        b.unwrap();
        if n % 8 == 0 {
            objects.put(&format!("o/{n}"), once(n.to_string())).await.unwrap();
        }
        writeln!(stdout, "acknowledged {n}").unwrap();
        stdout.flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_writes_until_killed", "--ignored", "--nocapture"])
        .env("ARBORGATE_TEST_FOLDER", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(n) = line.strip_prefix("acknowledged ") else { continue };
        acknowledged = Some(n.parse::<u64>().unwrap());
        if acknowledged == Some(50) {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    let last = acknowledged.expect("the child never wrote");
    assert!(last >= 50);
    let parts = |names: Vec<String>| names.into_iter().filter(|n| n.ends_with(".part")).count();
    assert!(parts(files(&folder.path().join(STORE))) >= 1);

    let bus = open(folder.path());
    let kept = bus.bucket(&KEPT).await.unwrap();
    for n in 0..=last {
        let entry = kept.get(&key(&n.to_string())).await.unwrap().expect("an acknowledged write is lost");
        assert_eq!(entry.value, vec![n as u8; 512]);
    }
    let counter: u64 = kept.get(&key("counter")).await.unwrap().unwrap().json().unwrap();
    assert!(counter == last || counter == last + 1, "{counter} after {last}");
    let objects = bus.objects(STORE).await.unwrap();
    for n in (0..=last).step_by(8) {
        assert_eq!(objects.get_all(&format!("o/{n}"), 100).await.unwrap(), n.to_string().as_bytes());
    }
    assert!(matches!(objects.get("unfinished").await, Err(StoreError::NoObject { .. })));
    let left = files(&folder.path().join(STORE));
    assert_eq!(left.len(), objects.list().await.unwrap().len(), "{left:?}");
    let newest = kept.revision().await.unwrap();
    assert_eq!(kept.put(&key("after"), Bytes::new()).await.unwrap(), newest + 1);
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).create_bucket(&KEPT).await.unwrap();
    const FORMATS: redb::TableDefinition<&str, u64> = redb::TableDefinition::new("format");
    let database = redb::Database::open(state_file(&folder)).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(FORMATS).unwrap().insert("layout", 2).unwrap();
    write.commit().unwrap();
    drop(database);
    match refusal(folder.path()) {
        OpenError::NewerFormat { path, found: 2, known: 1 } => assert_eq!(path, state_file(&folder)),
        other => panic!("{other:?}"),
    }
    let database = redb::Database::open(state_file(&folder)).unwrap();
    let read = redb::ReadableDatabase::begin_read(&database).unwrap();
    assert_eq!(read.open_table(FORMATS).unwrap().get("layout").unwrap().unwrap().value(), 2);
}

#[test]
fn a_file_that_is_no_state_is_refused() {
    let path_named = |error: &OpenError, folder: &TempDir| {
        assert!(error.to_string().contains(state_file(folder).to_str().unwrap()), "{error}");
    };
    for content in [&b"not a database"[..], &[0; 8192], b"redb\x1A\x0A\xA9\x0D\x0A", &[0xff; 100_000]] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(state_file(&folder), content).unwrap();
        let error = refusal(folder.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        path_named(&error, &folder);
        assert_eq!(std::fs::read(state_file(&folder)).unwrap(), content);
    }
    // A database of somebody else.
    let folder = tempfile::tempdir().unwrap();
    let database = redb::Database::create(state_file(&folder)).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<u64, u64>::new("theirs")).unwrap();
    write.commit().unwrap();
    drop(database);
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    // A folder where a file should be, and a file where a folder should be.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(state_file(&folder)).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    path_named(&error, &folder);
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(refusal(file.path()), OpenError::Io { .. }));
}

#[tokio::test]
async fn damage_is_found_or_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let kept = bus.create_bucket(&KEPT).await.unwrap();
    for i in 0..40 {
        kept.put(&key(&i.to_string()), Bytes::from(vec![i; 1000])).await.unwrap();
    }
    let expected = kept.list(None).await.unwrap();
    bus.close().await;
    let whole = std::fs::read(state_file(&folder)).unwrap();
    let mut refused = 0;
    for at in (0..whole.len()).step_by(whole.len() / 60) {
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(at).take(64) {
            *byte ^= 0x55;
        }
        std::fs::write(state_file(&folder), &damaged).unwrap();
        match try_open(folder.path()) {
            Ok(bus) => {
                let bus = Bus::new(bus);
                let kept = bus.bucket(&KEPT).await.unwrap();
                assert_eq!(kept.list(None).await.unwrap(), expected, "damaged at {at}");
                bus.close().await;
            }
            Err(OpenError::Damaged { path, .. }) => {
                assert_eq!(path, state_file(&folder));
                refused += 1;
            }
            Err(other) => panic!("damaged at {at}: {other:?}"),
        }
    }
    assert!(refused > 0);
    std::fs::write(state_file(&folder), &whole[..whole.len() / 2]).unwrap();
    let error = refusal(folder.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_damaged_object_is_never_read_as_whole() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let objects = bus.create_objects(STORE).await.unwrap();
    let content = vec![7_u8; 100_000];
    objects.put("m", once(content.clone())).await.unwrap();
    let file = folder.path().join(STORE).join(&files(&folder.path().join(STORE))[0]);
    let mut flipped = content.clone();
    flipped[99_999] ^= 1;
    let longer = [&content[..], b"x"].concat();
    for damaged in [&flipped[..], &content[..50_000], &[], &longer] {
        std::fs::write(&file, damaged).unwrap();
        let error = objects.get_all("m", 1 << 20).await.unwrap_err();
        let causes: Vec<String> = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source())
            .map(|e| e.to_string())
            .collect();
        assert!(causes.iter().any(|cause| cause.contains("object m is damaged")), "{causes:?}");
    }
    std::fs::write(&file, &content).unwrap();
    assert!(objects.get_all("m", 1 << 20).await.unwrap() == content);
    std::fs::remove_file(&file).unwrap();
    assert!(matches!(objects.get("m").await, Err(StoreError::Backend { .. })));
    // It can be replaced and deleted all the same.
    objects.put("m", once("new")).await.unwrap();
    assert_eq!(objects.get_all("m", 10).await.unwrap(), &b"new"[..]);
}

#[tokio::test]
async fn only_what_was_left_over_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let objects = bus.create_objects(STORE).await.unwrap();
    objects.put("a", once("a")).await.unwrap();
    objects.put("a", once("b")).await.unwrap();
    objects.put("c", once("c")).await.unwrap();
    objects.delete("c").await.unwrap();
    let store = folder.path().join(STORE);
    let used = files(&store);
    assert_eq!(used.len(), 1, "what was replaced or deleted stays: {used:?}");
    bus.close().await;
    let left_over = [format!("{:016x}.part", 7), format!("{}.{:016x}", "ab".repeat(32), 7)];
    let foreign = ["README", "notes.part", "x.y.z"];
    for name in left_over.iter().map(String::as_str).chain(foreign) {
        std::fs::write(store.join(name), "x").unwrap();
    }
    let bus = open(folder.path());
    let mut expected: Vec<String> = used.iter().map(String::as_str).chain(foreign).map(str::to_owned).collect();
    expected.sort();
    assert_eq!(files(&store), expected);
    assert_eq!(bus.objects(STORE).await.unwrap().get_all("a", 10).await.unwrap(), &b"b"[..]);
}

#[tokio::test]
async fn writes_side_by_side_share_a_commit_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bus = open(folder.path());
    let kept = bus.create_bucket(&KEPT).await.unwrap();
    let other = &*Box::leak(Box::new(BucketSpec { name: "other", ..KEPT }));
    let other = bus.create_bucket(other).await.unwrap();
    let writes = futures_util::stream::iter(0..2000_u64).map(|i| {
        let bucket = if i % 2 == 0 { kept.clone() } else { other.clone() };
        async move { bucket.put(&key(&(i % 100).to_string()), i.to_string().into()).await.unwrap() }
    });
    let mut revisions: Vec<u64> = writes.buffer_unordered(500).collect().await;
    revisions.sort_unstable();
    let expected: Vec<u64> = (1..=1000).flat_map(|r| [r, r]).collect();
    assert_eq!(revisions, expected);
    let listed = [kept.list(None).await.unwrap(), other.list(None).await.unwrap()];
    bus.close().await;
    let bus = open(folder.path());
    let again = bus.bucket(&KEPT).await.unwrap().list(None).await.unwrap();
    assert_eq!(again, listed[0]);
    assert_eq!(again.len(), 50);
}
