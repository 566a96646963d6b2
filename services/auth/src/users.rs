//! Users: made, listed, removed, and who signs in. Everything is decided by compare-and-set on one record; the order of
//! writes is that of [`crate::standings`].

use arborgate_bus::{Bucket, to_json};
use arborgate_contracts::auth::{Password, User};
use arborgate_contracts::permission::Role;
use arborgate_contracts::{Deadline, ErrorCode, UserName};
use uuid::Uuid;

use crate::admins::Admins;
use crate::clock::Clock;
use crate::config::PasswordConfig;
use crate::error::Error;
use crate::password::{Against, Hasher, Plain, check_new, plain};
use crate::record::{FORMAT, UserRecord, distinct, lost, read, read_optional, user_key, user_standing};
use crate::standings::{Standings, TRIES};

/// Whatever is wrong with a name or a password.
pub(crate) const REFUSED: &str = "Incorrect username or password";
/// A sign-in that lost against a change of its user's record is decided again.
const SIGN_IN_TRIES: usize = 4;

#[derive(Clone)]
pub(crate) struct Users {
    pub(crate) bucket: Bucket,
    pub(crate) admins: Admins,
    pub(crate) standings: Standings,
    pub(crate) hasher: Hasher,
    pub(crate) rules: PasswordConfig,
    pub(crate) clock: Clock,
}

fn taken() -> Error {
    Error::refused(ErrorCode::Conflict, "there is a user of that name already")
}

fn refused() -> Error {
    Error::refused(ErrorCode::Unauthenticated, REFUSED)
}

impl Users {
    pub(crate) async fn get(&self, name: &UserName) -> Result<Option<(UserRecord, u64)>, Error> {
        read_optional(self.bucket.get(&user_key(name)).await?)
    }

    /// Every user, by name.
    pub(crate) async fn list(&self) -> Result<Vec<UserRecord>, Error> {
        let entries = self.bucket.list(None).await?;
        // A user's key has one token; what else is said of users has more.
        let of_users = entries.iter().filter(|entry| entry.key.tokens().is_some_and(|tokens| tokens.len() == 1));
        let mut users = of_users.map(read::<UserRecord>).collect::<Result<Vec<_>, _>>()?;
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    pub(crate) async fn create(
        &self,
        name: UserName,
        password: Password,
        roles: Vec<Role>,
        deadline: Deadline,
    ) -> Result<User, Error> {
        let password = plain(password);
        check_new(&password, &self.rules)?;
        if self.get(&name).await?.is_some() {
            return Err(taken());
        }
        let hash = self.hasher.hash(password, deadline).await?;
        let standing = user_standing(&name);
        let record = UserRecord {
            format: FORMAT,
            uid: Uuid::new_v4(),
            hash,
            roles: distinct(roles),
            created: self.clock.micros(),
            generation: self.standings.next(&standing).await?,
            name,
        };
        self.add(&record).await?;
        self.standings.say(&standing, record.generation).await?;
        tracing::info!(user = %record.name, roles = ?record.roles, "a user was added");
        record.shown()
    }

    async fn add(&self, record: &UserRecord) -> Result<(), Error> {
        if record.is_admin() {
            self.admins.enter(&record.administrator()).await?;
        }
        let outcome = self.bucket.create(&user_key(&record.name), to_json(record)?).await;
        if lost(outcome)?.is_some() {
            return Ok(());
        }
        if record.is_admin() {
            self.admins.withdraw(&record.administrator()).await?;
        }
        Err(taken())
    }

    pub(crate) async fn delete(&self, name: &UserName) -> Result<(), Error> {
        for _ in 0..TRIES {
            let Some((user, revision)) = self.get(name).await? else {
                return Err(Error::refused(ErrorCode::NotFound, "there is no user of that name"));
            };
            if user.is_admin() {
                self.admins.release(&user.administrator()).await?;
            }
            self.standings.revoke(&user_standing(name), user.generation).await?;
            if lost(self.bucket.delete(&user_key(name), Some(revision)).await)?.is_some() {
                tracing::info!(user = %name, "a user was removed");
                return Ok(());
            }
            // They signed in meanwhile, or others change them: look again.
            tokio::task::yield_now().await;
        }
        Err(Error::Contended("a user"))
    }

    /// Gives a user another password and revokes what they hold.
    pub(crate) async fn set_password(&self, name: &UserName, password: Plain) -> Result<(), Error> {
        check_new(&password, &self.rules)?;
        let hash = self.hasher.hash(password, Deadline::after(Deadline::LONGEST)).await?;
        for _ in 0..TRIES {
            let (mut user, revision) = self.get(name).await?.ok_or_else(|| Error::NoSuchUser(name.clone()))?;
            user.generation = self.standings.revoke(&user_standing(name), user.generation).await?;
            user.hash.clone_from(&hash);
            if lost(self.bucket.update(&user_key(name), to_json(&user)?, revision).await)?.is_some() {
                tracing::info!(user = %name, "a user's password was set and their tokens were revoked");
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(Error::Contended("a user"))
    }

    /// The user of a name and a password. `Unauthenticated`, in the same words and for the same work, whatever is
    /// wrong. The record is as it stands when it is returned: its generation is not below the standing.
    pub(crate) async fn sign_in(
        &self,
        username: &str,
        password: Plain,
        deadline: Deadline,
    ) -> Result<UserRecord, Error> {
        let name = username.parse::<UserName>().ok();
        for _ in 0..SIGN_IN_TRIES {
            let found = match &name {
                Some(name) => self.get(name).await?,
                None => None,
            };
            let against = found.as_ref().map_or(Against::Nobody, |(user, _)| Against::Hash(user.hash.clone()));
            let good = self.hasher.verify(password.clone(), against, deadline).await?;
            let Some((user, revision)) = found else {
                tracing::info!("a sign-in by an unknown name was refused");
                return Err(refused());
            };
            if !good {
                tracing::info!(user = %user.name, "a sign-in with a wrong password was refused");
                return Err(refused());
            }
            if let Some(user) = self.renew(user, revision, &password, deadline).await? {
                return Ok(user);
            }
        }
        Err(Error::Contended("a user"))
    }

    /// Brings the record of a user who proved their password up to date. `None`: it has changed meanwhile.
    async fn renew(
        &self,
        mut user: UserRecord,
        revision: u64,
        password: &Plain,
        deadline: Deadline,
    ) -> Result<Option<UserRecord>, Error> {
        // A removal or a reset that was cut off left the standing above the record: the user is still here, so what is
        // signed from now on must be good. One that is under way finds the record changed, and revokes again.
        let least = self.standings.least(&user_standing(&user.name)).await?;
        let behind = user.generation < least;
        user.generation = user.generation.max(least);
        let outdated = self.hasher.is_outdated(&user.hash);
        if outdated {
            match self.hasher.hash(password.clone(), deadline).await {
                Ok(hash) => user.hash = hash,
                // The next sign-in does it.
                Err(Error::Refused(_)) if !behind => return Ok(Some(user)),
                Err(error) => return Err(error),
            }
        }
        if !behind && !outdated {
            return Ok(Some(user));
        }
        let outcome = self.bucket.update(&user_key(&user.name), to_json(&user)?, revision).await;
        Ok(lost(outcome)?.map(|_| user))
    }

    /// Whether a token of `generation` is still good.
    pub(crate) async fn check_token(&self, name: &UserName, generation: u64) -> Result<(), Error> {
        let user = self.get(name).await?;
        let current = user.is_some_and(|(user, _)| user.generation == generation);
        if current && self.standings.least(&user_standing(name)).await? <= generation {
            return Ok(());
        }
        Err(Error::refused(ErrorCode::Unauthenticated, "the token was revoked"))
    }
}
