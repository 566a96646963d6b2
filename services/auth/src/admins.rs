//! Who the administrators are, in one record changed by compare-and-set: so that the last one is never removed, also
//! when two are removed at once and also when reads are stale.
//!
//! An administrator is in the index before their record is made, and out of it before their record goes. So one who is
//! in the index at the moment of a compare-and-set, and whose record was ever seen, is there. An entry without a record
//! (its making was cut off) and a record without an entry (its removal was cut off) are not counted.

use std::collections::BTreeSet;

use arborgate_bus::{Bucket, StoreError, to_json};
use arborgate_contracts::ErrorCode;

use crate::error::Error;
use crate::record::{AdminIndex, Administrator, FORMAT, UserRecord, admins_key, lost, read_optional, user_key};
use crate::standings::TRIES;

#[derive(Clone, Copy)]
enum Edit {
    Enter,
    Withdraw,
    Release,
}

#[derive(Clone)]
pub(crate) struct Admins {
    users: Bucket,
}

impl Admins {
    pub(crate) fn new(users: Bucket) -> Self {
        Self { users }
    }

    /// Enters one whose record is about to be made.
    pub(crate) async fn enter(&self, admin: &Administrator) -> Result<(), Error> {
        self.change(admin, Edit::Enter).await
    }

    /// Takes out one whose record was not made.
    pub(crate) async fn withdraw(&self, admin: &Administrator) -> Result<(), Error> {
        self.change(admin, Edit::Withdraw).await
    }

    /// Takes out one whose record is about to go; `Conflict` when nobody else is left.
    pub(crate) async fn release(&self, admin: &Administrator) -> Result<(), Error> {
        self.change(admin, Edit::Release).await
    }

    async fn another_is_there(&self, others: &BTreeSet<Administrator>) -> Result<bool, Error> {
        for other in others {
            if self.is_there(other).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn is_there(&self, admin: &Administrator) -> Result<bool, Error> {
        let entry = self.users.get(&user_key(&admin.name)).await?;
        let record = read_optional::<UserRecord>(entry)?;
        Ok(record.is_some_and(|(user, _)| user.uid == admin.uid && user.is_admin()))
    }

    /// Applies an edit until it wins.
    async fn change(&self, admin: &Administrator, edit: Edit) -> Result<(), Error> {
        let key = admins_key();
        for _ in 0..TRIES {
            let current = read_optional::<AdminIndex>(self.users.get(&key).await?)?;
            let empty = || (AdminIndex { format: FORMAT, admins: BTreeSet::new() }, 0);
            let (mut index, revision) = current.unwrap_or_else(empty);
            match edit {
                Edit::Enter => index.admins.insert(admin.clone()),
                Edit::Withdraw | Edit::Release => index.admins.remove(admin),
            };
            if matches!(edit, Edit::Release) && !self.another_is_there(&index.admins).await? {
                let detail = "the last administrator can not be removed; make another one first";
                return Err(Error::refused(ErrorCode::Conflict, detail));
            }
            // Written also when it is the same: what was read may be stale, and only a write says that it is not.
            let record = to_json(&index)?;
            let outcome = match revision {
                0 => self.users.create(&key, record).await,
                revision => self.users.update(&key, record, revision).await,
            };
            if let Err(StoreError::TooLarge { .. }) = outcome {
                return Err(Error::refused(ErrorCode::Conflict, "there are as many administrators as there may be"));
            }
            if lost(outcome)?.is_some() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(Error::Contended("the index of administrators"))
    }
}
