//! The file of the state: how it is opened, read whole, and changed by one commit after another. Only the writer's
//! thread changes it.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use arborgate_contracts::Key;
use bytes::Bytes;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, TableError,
};

use super::contents::{Contents, Record};
use super::open::OpenError;
use super::queue_file::{self, QueueChanges, StoredQueue};

/// The file of the state, in its folder.
pub const STATE_FILE: &str = "state.redb";
/// The layout of the tables below.
const FORMAT: u64 = 1;
const FORMATS: TableDefinition<&str, u64> = TableDefinition::new("format");
const LAYOUT: &str = "layout";
/// Of each bucket that was made: its revision, and up to which deletions may be forgotten.
const BUCKETS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("buckets");
/// Object stores that were made.
const STORES: TableDefinition<&str, ()> = TableDefinition::new("object-stores");
/// Revision, Unix milliseconds, value; without one it was deleted.
type Stored = (u64, u64, Option<&'static [u8]>);
/// Bytes, SHA-256 in hex, name of the file.
type StoredObject = (u64, &'static str, &'static str);
/// Pages kept by redb: what is read often is kept here anyway.
const CACHE: usize = 4 << 20;

pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectRow {
    pub(super) size: u64,
    pub(super) digest: String,
    pub(super) file: String,
}

/// All that the file holds.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) buckets: HashMap<String, Contents>,
    pub(super) stores: HashMap<String, BTreeMap<String, ObjectRow>>,
    pub(super) queues: HashMap<String, StoredQueue>,
}

/// What is to change in a bucket. `None`: its row goes.
pub(super) struct BucketChanges {
    pub(super) revision: u64,
    pub(super) floor: u64,
    pub(super) rows: HashMap<Key, Option<Record>>,
}

/// What is to change at once.
#[derive(Default)]
pub(super) struct Commit {
    pub(super) buckets: HashMap<&'static str, BucketChanges>,
    pub(super) new_buckets: Vec<&'static str>,
    pub(super) new_stores: Vec<&'static str>,
    pub(super) objects: HashMap<&'static str, HashMap<String, Option<ObjectRow>>>,
    pub(super) new_queues: Vec<&'static str>,
    pub(super) queues: HashMap<&'static str, QueueChanges>,
}

impl Commit {
    fn is_empty(&self) -> bool {
        let is_made = !(self.new_buckets.is_empty() && self.new_stores.is_empty() && self.new_queues.is_empty());
        let is_queued = self.queues.values().any(|changes| !changes.rows.is_empty());
        self.buckets.is_empty() && self.objects.is_empty() && !is_made && !is_queued
    }
}

fn bucket_table(name: &str) -> String {
    format!("bucket:{name}")
}

fn store_table(name: &str) -> String {
    format!("objects:{name}")
}

/// Makes a folder for its owner only; one that is there is left as it is.
pub(super) fn make_folder(path: &Path) -> Result<(), OpenError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(OpenError::io("making the folder", path))
}

/// Makes what was done in a folder last.
pub(super) fn sync_folder(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path)?.sync_all()
}

/// Opens the state in a folder, or makes it, and reads it.
pub(super) fn open(folder: &Path) -> Result<(Database, Loaded), OpenError> {
    make_folder(folder)?;
    let path = folder.join(STATE_FILE);
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(OpenError::io("opening", &path))?;
    file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(OpenError::io("narrowing the mode of", &path))?;
    drop(file);
    // A damaged page may make redb panic, where it is not found by its checksum first.
    let opened = std::panic::catch_unwind(AssertUnwindSafe(|| open_file(&path)));
    let opened = opened.unwrap_or_else(|_| Err(damaged(&path, "a page of it makes no sense")))?;
    sync_folder(folder).map_err(OpenError::io("syncing", folder))?;
    Ok(opened)
}

fn open_file(path: &PathBuf) -> Result<(Database, Loaded), OpenError> {
    // The whole file is read below; checking each page's sum first costs little more and trusts nothing altered.
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create(path)
        .map_err(|error| refused(path, error))?;
    let found = format(&database).map_err(|error| damaged(path, error))?;
    match found {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => {
            return Err(OpenError::NewerFormat { path: path.clone(), found, known: FORMAT });
        }
        Some(found) => return Err(damaged(path, format!("it says format {found}, which never was"))),
        None => initialize(&database).map_err(|error| damaged(path, error))?,
    }
    let loaded = load(&database).map_err(|error| damaged(path, error))?;
    Ok((database, loaded))
}

fn damaged(path: &Path, source: impl Into<Cause>) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), source: source.into() }
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            OpenError::InUse { path: path.to_owned() }
        }
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => damaged(path, error),
            _ => OpenError::io("reading", path)(error),
        },
        other => damaged(path, other),
    }
}

/// The layout of the file; `None` when it has no tables at all.
fn format(database: &Database) -> Result<Option<u64>, Cause> {
    let read = database.begin_read()?;
    let formats = match read.open_table(FORMATS) {
        Ok(formats) => formats,
        Err(TableError::TableDoesNotExist(_)) if read.list_tables()?.next().is_none() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let format = formats.get(LAYOUT)?.ok_or("it does not say its format")?;
    Ok(Some(format.value()))
}

fn initialize(database: &Database) -> Result<(), Cause> {
    let mut write = database.begin_write()?;
    write.set_quick_repair(true);
    write.open_table(FORMATS)?.insert(LAYOUT, FORMAT)?;
    write.open_table(BUCKETS)?;
    write.open_table(STORES)?;
    write.commit()?;
    Ok(())
}

fn load(database: &Database) -> Result<Loaded, Cause> {
    let read = database.begin_read()?;
    let mut loaded = Loaded::default();
    for row in read.open_table(BUCKETS)?.iter()? {
        let (name, counters) = row?;
        let (revision, floor) = counters.value();
        let records = load_bucket(&read, name.value())?;
        loaded.buckets.insert(name.value().to_owned(), Contents::stored(records, revision, floor));
    }
    for row in read.open_table(STORES)?.iter()? {
        let (name, _) = row?;
        loaded.stores.insert(name.value().to_owned(), load_store(&read, name.value())?);
    }
    loaded.queues = queue_file::load(&read)?;
    Ok(loaded)
}

fn load_bucket(read: &redb::ReadTransaction, name: &str) -> Result<BTreeMap<Key, Record>, Cause> {
    let mut records = BTreeMap::new();
    let table = bucket_table(name);
    let rows = match read.open_table(TableDefinition::<&str, Stored>::new(&table)) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(records),
        Err(error) => return Err(error.into()),
    };
    for row in rows.iter()? {
        let (key, stored) = row?;
        let key = Key::from_stored(key.value()).ok_or_else(|| format!("bucket {name} has a key that is none"))?;
        let (revision, written, value) = stored.value();
        records.insert(key, Record { revision, written, value: value.map(Bytes::copy_from_slice) });
    }
    Ok(records)
}

fn load_store(read: &redb::ReadTransaction, name: &str) -> Result<BTreeMap<String, ObjectRow>, Cause> {
    let mut objects = BTreeMap::new();
    let table = store_table(name);
    let rows = match read.open_table(TableDefinition::<&str, StoredObject>::new(&table)) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(objects),
        Err(error) => return Err(error.into()),
    };
    for row in rows.iter()? {
        let (object, stored) = row?;
        let (size, digest, file) = stored.value();
        let row = ObjectRow { size, digest: digest.to_owned(), file: file.to_owned() };
        objects.insert(object.value().to_owned(), row);
    }
    Ok(objects)
}

/// Writes all of it or nothing; when this returns well, it is on disk.
pub(super) fn commit(database: &Database, commit: &Commit) -> Result<(), Cause> {
    if commit.is_empty() {
        return Ok(());
    }
    let mut write = database.begin_write()?;
    // So that a start after a crash need not read the whole file to find its free pages.
    write.set_quick_repair(true);
    {
        let mut buckets = write.open_table(BUCKETS)?;
        for name in &commit.new_buckets {
            if buckets.get(name)?.is_none() {
                buckets.insert(name, (0, 0))?;
            }
        }
        for (name, changes) in &commit.buckets {
            buckets.insert(name, (changes.revision, changes.floor))?;
            let table = bucket_table(name);
            let mut rows = write.open_table(TableDefinition::<&str, Stored>::new(&table))?;
            for (key, record) in &changes.rows {
                match record {
                    Some(r) => drop(rows.insert(key.as_str(), (r.revision, r.written, r.value.as_deref()))?),
                    None => drop(rows.remove(key.as_str())?),
                }
            }
        }
        let mut stores = write.open_table(STORES)?;
        for name in &commit.new_stores {
            stores.insert(name, ())?;
        }
        for (name, changes) in &commit.objects {
            let table = store_table(name);
            let mut rows = write.open_table(TableDefinition::<&str, StoredObject>::new(&table))?;
            for (object, row) in changes {
                match row {
                    Some(r) => drop(rows.insert(object.as_str(), (r.size, r.digest.as_str(), r.file.as_str()))?),
                    None => drop(rows.remove(object.as_str())?),
                }
            }
        }
    }
    for queue in &commit.new_queues {
        queue_file::make(&write, queue)?;
    }
    for (queue, changes) in &commit.queues {
        queue_file::change(&write, queue, changes)?;
    }
    write.commit()?;
    Ok(())
}
