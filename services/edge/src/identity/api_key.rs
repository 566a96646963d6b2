//! API keys: asked of the auth service once and remembered by their hash until their standing changes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arborgate_bus::{CallError, Client, Meta};
use arborgate_contracts::auth::{ApiKeyGrant, Principal, SecretDigest, VerifyApiKey};
use arborgate_contracts::{ErrorCode, Key, api_key};
use aws_lc_rs::digest;
use quick_cache::sync::Cache;

use super::Caller;
use super::standings::Standings;
use crate::front::problem::Problem;

struct Known {
    caller: Arc<Caller>,
    principal: Key,
    grant: ApiKeyGrant,
}

/// Keys that were asked for.
pub(super) struct ApiKeys {
    known: Cache<[u8; 32], Arc<Known>>,
}

fn refused() -> Problem {
    Problem::new(ErrorCode::Forbidden, "the API key is not valid")
}

impl ApiKeys {
    /// Remembers `remember` at most.
    pub(super) fn new(remember: usize) -> Self {
        Self { known: Cache::new(remember) }
    }

    /// Whose an `X-API-Key` header is.
    pub(super) async fn identify(
        &self,
        text: &[u8],
        standings: &Standings,
        auth: &Client,
        meta: Meta,
    ) -> Result<Arc<Caller>, Problem> {
        // The checksum refuses what was mistyped or made up without asking anybody.
        let text = std::str::from_utf8(text).map_err(|_| refused())?;
        let id = api_key::parse(text).map_err(|_| refused())?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        if standings.leased()
            && let Some(known) = self.known.get(&hash)
        {
            if !standings.revoked(&known.principal, known.grant.generation) && !ended(&known.grant) {
                return Ok(Arc::clone(&known.caller));
            }
            self.known.remove(&hash);
        }
        let question = VerifyApiKey { id: id.clone(), digest: SecretDigest(hex::encode(hash)) };
        let grant = match auth.call(&question, None, meta).await {
            Ok(grant) => grant,
            Err(CallError::Service(error)) if error.code == ErrorCode::Forbidden => return Err(refused()),
            Err(error) => return Err(error.into()),
        };
        let principal = Key::of(&["api-key", id.as_str()]);
        let caller = Arc::new(Caller::new(Principal::ApiKey { id }, &grant.roles));
        self.known.insert(hash, Arc::new(Known { caller: Arc::clone(&caller), principal, grant }));
        Ok(caller)
    }
}

fn ended(grant: &ApiKeyGrant) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    grant.expires_at.is_some_and(|end| now >= end)
}
