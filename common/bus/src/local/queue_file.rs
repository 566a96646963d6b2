//! Work queues in the file of the state: a table of queues, and a table of messages for each.

use std::collections::{BTreeMap, HashMap, HashSet};

use arborgate_contracts::RequestId;
use bytes::Bytes;
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::disk::Cause;

/// Of each queue that was made the sequence of its next message.
const QUEUES: TableDefinition<&str, u64> = TableDefinition::new("queues");
/// Id, how often it was delivered, payload; by sequence.
type Stored = (&'static str, u32, &'static [u8]);

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueRow {
    pub(super) id: RequestId,
    pub(super) attempts: u32,
    pub(super) payload: Bytes,
}

/// A queue as it is stored.
#[derive(Default)]
pub(super) struct StoredQueue {
    pub(super) next: u64,
    pub(super) rows: BTreeMap<u64, QueueRow>,
}

/// What is to change in a queue. `None`: its row goes.
pub(super) struct QueueChanges {
    pub(super) next: u64,
    pub(super) added: HashSet<RequestId>,
    pub(super) rows: BTreeMap<u64, Option<QueueRow>>,
}

impl QueueChanges {
    pub(super) fn after(next: u64) -> Self {
        Self { next, added: HashSet::new(), rows: BTreeMap::new() }
    }
}

fn table_name(queue: &str) -> String {
    format!("queue:{queue}")
}

/// A file of an earlier binary has no queues.
pub(super) fn load(read: &ReadTransaction) -> Result<HashMap<String, StoredQueue>, Cause> {
    let mut queues = HashMap::new();
    let names = match read.open_table(QUEUES) {
        Ok(names) => names,
        Err(TableError::TableDoesNotExist(_)) => return Ok(queues),
        Err(error) => return Err(error.into()),
    };
    for row in names.iter()? {
        let (name, next) = row?;
        let rows = load_queue(read, name.value())?;
        queues.insert(name.value().to_owned(), StoredQueue { next: next.value(), rows });
    }
    Ok(queues)
}

fn load_queue(read: &ReadTransaction, queue: &str) -> Result<BTreeMap<u64, QueueRow>, Cause> {
    let mut rows = BTreeMap::new();
    let name = table_name(queue);
    let table = match read.open_table(TableDefinition::<u64, Stored>::new(&name)) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(rows),
        Err(error) => return Err(error.into()),
    };
    for row in table.iter()? {
        let (sequence, stored) = row?;
        let (id, attempts, payload) = stored.value();
        let id = id.parse().map_err(|error| format!("queue {queue} has a message with an id that is none: {error}"))?;
        rows.insert(sequence.value(), QueueRow { id, attempts, payload: Bytes::copy_from_slice(payload) });
    }
    Ok(rows)
}

/// Remembers that a queue was made.
pub(super) fn make(write: &WriteTransaction, queue: &str) -> Result<(), Cause> {
    let mut queues = write.open_table(QUEUES)?;
    if queues.get(queue)?.is_none() {
        queues.insert(queue, 1)?;
    }
    Ok(())
}

pub(super) fn change(write: &WriteTransaction, queue: &str, changes: &QueueChanges) -> Result<(), Cause> {
    write.open_table(QUEUES)?.insert(queue, changes.next)?;
    let name = table_name(queue);
    let mut table = write.open_table(TableDefinition::<u64, Stored>::new(&name))?;
    for (sequence, row) in &changes.rows {
        match row {
            Some(row) => drop(table.insert(sequence, (row.id.as_str(), row.attempts, &*row.payload))?),
            None => drop(table.remove(sequence)?),
        }
    }
    Ok(())
}
