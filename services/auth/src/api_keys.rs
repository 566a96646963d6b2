//! API keys: made, listed, removed, and checked. A key is kept as HMAC-SHA-256, under a key derived from the master key,
//! of the SHA-256 of its text: who reads the state can neither use the keys nor check a guess.

use arborgate_bus::{Bucket, to_json};
use arborgate_contracts::auth::{ApiKeyGrant, CreateApiKey, NewApiKey, SecretDigest};
use arborgate_contracts::name::KeyId;
use arborgate_contracts::{ErrorCode, Fault, ServiceError, api_key};
use arborgate_runtime::master_key::MasterKey;
use aws_lc_rs::{digest, hmac};

use crate::clock::Clock;
use crate::error::Error;
use crate::random;
use crate::record::{ApiKeyRecord, FORMAT, api_key_key, api_key_standing, distinct, lost, read, read_optional};
use crate::standings::{Standings, TRIES};

/// Of the key under which API keys are kept.
const PEPPER: &str = "api-key pepper";
const ID_LEN: usize = 16;
const NAME_CHARACTERS: usize = 64;
const CREATED_BY_CHARACTERS: usize = 256;
/// A hundred years, in seconds.
const LONGEST_LIFE: u64 = 100 * 365 * 86_400;

#[derive(Clone)]
pub(crate) struct ApiKeys {
    bucket: Bucket,
    standings: Standings,
    pepper: hmac::Key,
    clock: Clock,
}

fn refused() -> Error {
    Error::refused(ErrorCode::Forbidden, "the API key is not valid")
}

impl ApiKeys {
    pub(crate) fn new(bucket: Bucket, standings: Standings, master: &MasterKey, clock: Clock) -> Self {
        let pepper = hmac::Key::new(hmac::HMAC_SHA256, master.derive(PEPPER).as_slice());
        Self { bucket, standings, pepper, clock }
    }

    /// Every key, oldest first.
    pub(crate) async fn list(&self) -> Result<Vec<ApiKeyRecord>, Error> {
        let mut keys = self.bucket.list(None).await?.iter().map(read::<ApiKeyRecord>).collect::<Result<Vec<_>, _>>()?;
        keys.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(keys)
    }

    pub(crate) async fn create(&self, request: CreateApiKey) -> Result<NewApiKey, Error> {
        check(&request)?;
        let id: KeyId = random::text(ID_LEN, random::ID_ALPHABET)?
            .parse()
            .map_err(|_| Error::Cryptography("making an API key's id"))?;
        let secret = api_key::format(&id, &*random::bytes::<32>()?);
        let digest = digest::digest(&digest::SHA256, secret.as_bytes());
        let standing = api_key_standing(&id);
        let created = self.clock.micros();
        let record = ApiKeyRecord {
            format: FORMAT,
            mac: hex::encode(hmac::sign(&self.pepper, digest.as_ref())),
            name: request.name,
            roles: distinct(request.roles),
            created,
            created_by: request.created_by,
            expires_at: request.expires_in_s.map(|life| (created / 1_000_000).saturating_add(life)),
            generation: self.standings.next(&standing).await?,
            id,
        };
        self.bucket.create(&api_key_key(&record.id), to_json(&record)?).await?;
        self.standings.say(&standing, record.generation).await?;
        tracing::info!(id = %record.id, roles = ?record.roles, created_by = record.created_by, "an API key was made");
        Ok(NewApiKey { key: record.shown()?, secret })
    }

    pub(crate) async fn delete(&self, id: &KeyId) -> Result<(), Error> {
        for _ in 0..TRIES {
            let Some((record, revision)) = self.get(id).await? else {
                return Err(Error::refused(ErrorCode::NotFound, "there is no API key of that id"));
            };
            self.standings.revoke(&api_key_standing(id), record.generation).await?;
            if lost(self.bucket.delete(&api_key_key(id), Some(revision)).await)?.is_some() {
                tracing::info!(%id, "an API key was revoked");
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Err(Error::Contended("an API key"))
    }

    /// What a key is good for; `Forbidden`, in the same words, whatever is wrong with it.
    pub(crate) async fn verify(&self, id: &KeyId, digest: &SecretDigest) -> Result<ApiKeyGrant, Error> {
        let digest = digest.to_sha256().ok_or_else(refused)?;
        let (record, _) = self.get(id).await?.ok_or_else(refused)?;
        let mac = hex::decode(&record.mac)
            .map_err(|_| Error::Damaged { key: api_key_key(id).to_string(), what: "its mac is not hex" })?;
        // In constant time.
        hmac::verify(&self.pepper, &digest, &mac).map_err(|_| refused())?;
        let ended = record.expires_at.is_some_and(|at| self.clock.seconds() >= at);
        // A removal that was cut off left the standing above the record.
        if ended || self.standings.least(&api_key_standing(id)).await? > record.generation {
            return Err(refused());
        }
        Ok(ApiKeyGrant { roles: record.roles, expires_at: record.expires_at, generation: record.generation })
    }

    async fn get(&self, id: &KeyId) -> Result<Option<(ApiKeyRecord, u64)>, Error> {
        read_optional(self.bucket.get(&api_key_key(id)).await?)
    }
}

/// Every fault of a request for a new key, by its field in the body of `POST /v1/api-keys`.
fn check(request: &CreateApiKey) -> Result<(), Error> {
    let mut faults = Vec::new();
    let mut fault = |pointer: &str, detail: String| faults.push(Fault { pointer: pointer.into(), detail });
    let text = |text: &str, most: usize| {
        !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control)
    };
    if !text(&request.name, NAME_CHARACTERS) {
        fault("/name", format!("must have 1 to {NAME_CHARACTERS} characters and no control characters"));
    }
    if !text(&request.created_by, CREATED_BY_CHARACTERS) {
        fault("/created_by", format!("must have 1 to {CREATED_BY_CHARACTERS} characters and no control characters"));
    }
    if request.expires_in_s.is_some_and(|life| !(1..=LONGEST_LIFE).contains(&life)) {
        fault("/expires_in", format!("must be 1 to {LONGEST_LIFE} seconds, or absent for a key that does not end"));
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(ServiceError::new(ErrorCode::Invalid, "the API key can not be made as asked").with_faults(faults).into())
}
