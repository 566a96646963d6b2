//! Access tokens (RFC 9068): the key pair that signs them, its id, and their claims. Verifying is the edge's.

use std::sync::Arc;

use arborgate_contracts::auth::{AUDIENCE, AccessToken, Claims, ISSUER, PublicKey, TOKEN_TYPE};
use arc_swap::ArcSwapOption;
use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use uuid::Uuid;

use crate::clock::Clock;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::record::UserRecord;

/// `client_id` of a token that a user got with their password: no registered client asked for it.
pub const PASSWORD_CLIENT: &str = "password";

/// Verifiers' clocks may differ by this, in seconds.
pub(crate) const LEEWAY: u64 = 5;

/// An Ed25519 key pair; the private half is in memory only and wiped when dropped.
pub(crate) struct SigningKey {
    header: Header,
    key: EncodingKey,
    public: PublicKey,
}

impl SigningKey {
    /// A new key that signs from `now` for `life`, tokens of `token_life`; all in seconds.
    pub(crate) fn generate(now: u64, life: u64, token_life: u64) -> Result<Self, Error> {
        let failed = |_| Error::Cryptography("making an Ed25519 key");
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(failed)?;
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let kid = thumbprint(&x);
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(kid.clone());
        let mut public = PublicKey { kid, x, signs_until: 0, verifies_until: 0 };
        until(&mut public, now.saturating_add(life), token_life);
        Ok(Self { header, key: EncodingKey::from_ed_der(private.as_ref()), public })
    }

    /// What is published of it.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// Lets a key sign until a time, and verify until the last token by it has ended.
pub(crate) fn until(key: &mut PublicKey, signs_until: u64, token_life: u64) {
    key.signs_until = signs_until;
    key.verifies_until = signs_until.saturating_add(token_life).saturating_add(LEEWAY);
}

/// The RFC 7638 thumbprint of an Ed25519 key (RFC 8037 section 2); `x` is base64url without padding.
pub(crate) fn thumbprint(x: &str) -> String {
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jwk.as_bytes()))
}

/// The key that signs at this moment, for readers; the signer sets it.
pub(crate) type CurrentKey = Arc<ArcSwapOption<SigningKey>>;

/// Signs access tokens with the current key.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) current: CurrentKey,
    /// Seconds.
    pub(crate) token_life: u64,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
}

impl Issuer {
    pub(crate) fn issue(&self, user: &UserRecord) -> Result<AccessToken, Error> {
        let key = self.current.load();
        let key = key.as_ref().ok_or(Error::NoSigningKey)?;
        let now = self.clock.seconds();
        if now > key.public.signs_until {
            return Err(Error::NoSigningKey);
        }
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: user.name.clone(),
            client_id: PASSWORD_CLIENT.to_owned(),
            iat: now,
            exp: now.saturating_add(self.token_life),
            jti: Uuid::new_v4().to_string(),
            roles: user.roles.clone(),
            generation: user.generation,
        };
        let token = jsonwebtoken::encode(&key.header, &claims, &key.key).map_err(Error::Signing)?;
        self.metrics.tokens.inc();
        Ok(AccessToken { token, expires_in: self.token_life })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        // Appendix A.3.
        let kid = thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert_eq!(kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn a_key_verifies_until_its_last_token_has_ended() {
        let key = SigningKey::generate(1000, 60, 300).unwrap();
        assert_eq!((key.public().signs_until, key.public().verifies_until), (1060, 1365));
        assert_eq!(key.public().kid, thumbprint(&key.public().x));
        let other = SigningKey::generate(1000, 60, 300).unwrap();
        assert_ne!(key.public().kid, other.public().kid);
    }
}
