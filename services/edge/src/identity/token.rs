//! Access tokens (RFC 9068), verified strictly: one algorithm, three header members, required claims, a size cap. A
//! verified token is remembered by its hash until it ends: verifying Ed25519 costs more than all the rest of a request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arborgate_bus::{Bucket, Bus, CallError, Change, Client, Follower, Meta, StoreError, follow};
use arborgate_contracts::auth::{AUDIENCE, CheckToken, Claims, ISSUER, Principal, PublicKey, TOKEN_TYPE};
use arborgate_contracts::bucket::SIGNING_KEYS;
use arborgate_contracts::{ErrorCode, Key};
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use governor::{DefaultDirectRateLimiter, Quota};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::Caller;
use super::standings::Standings;
use crate::front::problem::Problem;

/// Longer than any token that the auth service signs.
const LONGEST: usize = 4096;
/// Clocks may differ by this, in seconds.
const LEEWAY: u64 = 5;
/// Unknown key ids that are looked up in the bucket, a second: a flood of them costs no more.
const LOOKUPS: std::num::NonZeroU32 = std::num::NonZeroU32::new(10).unwrap();

/// The header of a token. Any other member, or one given twice, is refused: `jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

struct Verifier {
    key: DecodingKey,
    signs_until: u64,
    verifies_until: u64,
}

/// A token that was verified.
struct Verified {
    caller: Arc<Caller>,
    principal: Key,
    claims: Claims,
}

type Verifiers = Arc<ArcSwap<HashMap<String, Arc<Verifier>>>>;

/// What tokens are verified by, and those that were.
pub(super) struct Tokens {
    verifiers: Verifiers,
    bucket: Bucket,
    lookups: DefaultDirectRateLimiter,
    verified: Cache<[u8; 32], Arc<Verified>>,
    validation: Validation,
    _follower: Follower,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn verifier(record: &PublicKey) -> Option<Arc<Verifier>> {
    let key = DecodingKey::from_ed_components(&record.x).ok()?;
    Some(Arc::new(Verifier { key, signs_until: record.signs_until, verifies_until: record.verifies_until }))
}

/// One answer for every bad token: what is wrong with it is nobody's business but the operator's.
fn refused(reason: &'static str) -> Problem {
    tracing::debug!(reason, "refused a bearer token");
    Problem {
        challenge: "Bearer error=\"invalid_token\"",
        ..Problem::new(
            ErrorCode::Unauthenticated,
            "the bearer token is not valid or has ended; get another at POST /token",
        )
    }
}

impl Tokens {
    /// Follows the public keys.
    pub(super) async fn start(bus: &Bus, remember: usize) -> Result<Self, StoreError> {
        let bucket = bus.bucket(&SIGNING_KEYS).await?;
        let verifiers = Verifiers::default();
        let written = Arc::clone(&verifiers);
        let follower = follow(bucket.clone(), move |change| apply(&written, change)).await?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        Ok(Self {
            verifiers,
            bucket,
            lookups: DefaultDirectRateLimiter::direct(Quota::per_second(LOOKUPS)),
            verified: Cache::new(remember),
            validation,
            _follower: follower,
        })
    }

    /// Whose an `Authorization` header is.
    pub(super) async fn identify(
        &self,
        authorization: &[u8],
        standings: &Standings,
        auth: &Client,
        meta: Meta,
    ) -> Result<Arc<Caller>, Problem> {
        let token = bearer(authorization).ok_or_else(|| refused("not a bearer token"))?;
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        let verified = match self.verified.get(&hash) {
            Some(verified) if now() <= verified.claims.exp.saturating_add(LEEWAY) => verified,
            Some(_) => {
                self.verified.remove(&hash);
                return Err(refused("ended"));
            }
            None => {
                // What happens seldom is boxed: a request's future is moved, and it is as large as its largest path.
                let verified = Arc::new(Box::pin(self.verify(token)).await?);
                self.verified.insert(hash, Arc::clone(&verified));
                verified
            }
        };
        if standings.revoked(&verified.principal, verified.claims.generation) {
            self.verified.remove(&hash);
            return Err(refused("revoked"));
        }
        if !standings.leased() {
            let question = CheckToken { sub: verified.claims.sub.clone(), generation: verified.claims.generation };
            match Box::pin(auth.call(&question, None, meta)).await {
                Ok(()) => {}
                Err(CallError::Service(error)) if error.code == ErrorCode::Unauthenticated => {
                    return Err(refused("revoked"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Arc::clone(&verified.caller))
    }

    async fn verify(&self, token: &str) -> Result<Verified, Problem> {
        if !legal(token) {
            return Err(refused("characters"));
        }
        let header = header(token).ok_or_else(|| refused("header"))?;
        if header.alg != "EdDSA" || !header.typ.eq_ignore_ascii_case(TOKEN_TYPE) {
            return Err(refused("algorithm or type"));
        }
        let verifier = self.verifier(&header.kid).await?;
        let data = jsonwebtoken::decode::<Claims>(token, &verifier.key, &self.validation)
            .map_err(|_| refused("signature or claims"))?;
        let claims = data.claims;
        let at = now();
        if claims.iat > at + LEEWAY
            || claims.iat > verifier.signs_until + LEEWAY
            || at > verifier.verifies_until + LEEWAY
        {
            return Err(refused("issued outside its key's time"));
        }
        let principal = Principal::User { name: claims.sub.clone() };
        Ok(Verified {
            caller: Arc::new(Caller::new(principal, &claims.roles)),
            principal: Key::of(&["user", claims.sub.as_str()]),
            claims,
        })
    }

    /// The key of an id; one that is not known yet may have been made a moment ago.
    async fn verifier(&self, kid: &str) -> Result<Arc<Verifier>, Problem> {
        if let Some(verifier) = self.verifiers.load().get(kid) {
            return Ok(Arc::clone(verifier));
        }
        let thumbprint = kid.len() == 43 && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !thumbprint || self.lookups.check().is_err() {
            return Err(refused("unknown key"));
        }
        let record = self.bucket.get_json::<PublicKey>(&Key::of(&[kid])).await.map_err(|error| {
            tracing::warn!(%error, "a signing key can not be looked up");
            Problem::new(ErrorCode::Unavailable, "the token can not be verified now; try again shortly")
        })?;
        record.and_then(|(record, _)| verifier(&record)).ok_or_else(|| refused("unknown key"))
    }
}

fn apply(verifiers: &Verifiers, change: Change) {
    let mut next = HashMap::clone(&verifiers.load());
    match change {
        Change::Put(entry) => match entry.json::<PublicKey>().ok().and_then(|r| verifier(&r).map(|v| (r.kid, v))) {
            Some((kid, verifier)) => drop(next.insert(kid, verifier)),
            None => return tracing::error!(key = %entry.key, "a signing key can not be read"),
        },
        Change::Deleted { key, .. } => {
            if let Some([kid]) = key.tokens().as_deref() {
                next.remove(kid);
            }
        }
        Change::Current { .. } => return,
    }
    verifiers.store(Arc::new(next));
}

/// The token of `Bearer <token>` (RFC 6750 section 2.1; the scheme in any case), of whatever characters.
fn bearer(authorization: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(authorization).ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONGEST).then_some(token)
}

/// Whether a token is of the characters of a JWS in its compact form (RFC 7515 section 7.1).
fn legal(token: &str) -> bool {
    token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn header(token: &str) -> Option<Header> {
    let mut parts = token.split('.');
    let (header, _, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || signature.is_empty() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_of_legal_characters_is_read() {
        assert_eq!(bearer(b"Bearer a.b-c_d"), Some("a.b-c_d"));
        assert_eq!(bearer(b"bearer  a.b"), Some("a.b"));
        for bad in ["Bearer", "Bearer ", "Basic a.b"] {
            assert_eq!(bearer(bad.as_bytes()), None, "{bad}");
        }
        assert!(legal("a.b-c_d"));
        for bad in ["a b", "a\u{e9}", "a=="] {
            assert!(!legal(bad), "{bad}");
        }
        let long = format!("Bearer {}", "a".repeat(LONGEST + 1));
        assert_eq!(bearer(long.as_bytes()), None);
    }

    #[test]
    fn a_header_has_three_members_once_each() {
        let token = |json: &str| format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(json));
        assert!(header(&token(r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k"}"#)).is_some());
        for bad in [
            r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","jku":"https://example.org"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k","crit":[]}"#,
            r#"{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"k"}"#,
            "[]",
        ] {
            assert!(header(&token(bad)).is_none(), "{bad}");
        }
        assert!(header("a.b").is_none() && header("e30.e30.").is_none() && header("e30.e30.a.b").is_none());
    }
}
