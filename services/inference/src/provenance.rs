//! Whose artifacts are run: an Ed25519 signature by a known key, verified each time an artifact is read. What is signed
//! stands in [`arborgate_contracts::provenance`].

use arborgate_contracts::ModelName;
use arborgate_contracts::provenance::Provenance;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

/// Bytes of a public key.
const KEY: usize = 32;

/// Which signatures are good, and whether there must be one.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    required: bool,
    keys: Vec<PublicKey>,
}

#[derive(Clone, Debug)]
struct PublicKey {
    id: String,
    bytes: [u8; KEY],
}

/// Why an artifact may not be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unverified {
    #[error("the artifact is not signed; sign it with 'arborgate models sign' and a key of inference.provenance.keys")]
    Unsigned,
    #[error("the artifact is signed by the key {0}, which is none of inference.provenance.keys")]
    UnknownKey(String),
    #[error("the signature is of other bytes (SHA-256 {0})")]
    OtherBytes(String),
    #[error("the signature is for the model '{0}'")]
    OtherModel(ModelName),
    #[error("the signature is not good: the key {0} did not sign this statement")]
    Forged(String),
}

impl Policy {
    /// Of keys in hex; else which one is none, and why.
    pub fn new(required: bool, keys: &[String]) -> Result<Self, String> {
        let key = |(place, text): (usize, &String)| {
            let mut bytes = [0; KEY];
            hex::decode_to_slice(text, &mut bytes)
                .map_err(|_| format!("number {} is not the 64 hex digits of an Ed25519 public key", place + 1))?;
            Ok(PublicKey { id: key_id(&bytes), bytes })
        };
        let keys: Vec<PublicKey> = keys.iter().enumerate().map(key).collect::<Result<_, String>>()?;
        if required && keys.is_empty() {
            return Err("is empty, and provenance.required lets no model run without a known key".to_owned());
        }
        Ok(Self { required, keys })
    }

    /// Lets nothing in.
    pub(crate) fn nobody() -> Self {
        Self { required: true, keys: Vec::new() }
    }

    /// That an artifact of these bytes may be run as this model. A signature by a key that is not known counts as none.
    pub(crate) fn verify(
        &self,
        digest: &str,
        model: &ModelName,
        provenance: Option<&Provenance>,
    ) -> Result<(), Unverified> {
        let Some(given) = provenance else {
            return if self.required { Err(Unverified::Unsigned) } else { Ok(()) };
        };
        if given.digest != digest {
            return Err(Unverified::OtherBytes(given.digest.clone()));
        }
        if let Some(only) = given.model.as_ref().filter(|only| *only != model) {
            return Err(Unverified::OtherModel(only.clone()));
        }
        let Some(key) = self.keys.iter().find(|key| key.id == given.key) else {
            return if self.required { Err(Unverified::UnknownKey(given.key.clone())) } else { Ok(()) };
        };
        let statement = Provenance::statement(digest, given.model.as_ref());
        let signature = hex::decode(&given.signature).unwrap_or_default();
        let verified = UnparsedPublicKey::new(&ED25519, key.bytes).verify(statement.as_bytes(), &signature);
        verified.map_err(|_| Unverified::Forged(given.key.clone()))
    }
}

/// How a public key is called: see [`Provenance::key`].
fn key_id(key: &[u8; KEY]) -> String {
    let digest = digest::digest(&digest::SHA256, key);
    hex::encode(digest.as_ref().get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn signed(pair: &Ed25519KeyPair, digest: &str, model: Option<&str>) -> Provenance {
        let model = model.map(|model| model.parse().unwrap());
        let signature = pair.sign(Provenance::statement(digest, model.as_ref()).as_bytes());
        let key = key_id(pair.public_key().as_ref().try_into().unwrap());
        Provenance { key, digest: digest.into(), model, signature: hex::encode(signature) }
    }

    #[test]
    fn only_what_a_known_key_signed_is_run() {
        let (ours, theirs) = (Ed25519KeyPair::generate().unwrap(), Ed25519KeyPair::generate().unwrap());
        let keys = [hex::encode(ours.public_key())];
        let strict = Policy::new(true, &keys).unwrap();
        let lax = Policy::new(false, &keys).unwrap();
        let iris = "iris".parse().unwrap();
        let verify = |policy: &Policy, given: Option<&Provenance>| policy.verify("ab", &iris, given);
        for good in [signed(&ours, "ab", None), signed(&ours, "ab", Some("iris"))] {
            assert_eq!((verify(&strict, Some(&good)), verify(&lax, Some(&good))), (Ok(()), Ok(())));
        }
        assert_eq!((verify(&strict, None), verify(&lax, None)), (Err(Unverified::Unsigned), Ok(())));
        let unknown = signed(&theirs, "ab", None);
        assert_eq!(verify(&strict, Some(&unknown)), Err(Unverified::UnknownKey(unknown.key.clone())));
        assert_eq!(verify(&lax, Some(&unknown)), Ok(()));
        // What is wrong is refused also where none is demanded.
        let forged = Provenance { key: signed(&ours, "ab", None).key, ..unknown };
        let moved = Provenance { model: None, ..signed(&ours, "ab", Some("iris")) };
        for policy in [&strict, &lax] {
            assert_eq!(verify(policy, Some(&forged)), Err(Unverified::Forged(forged.key.clone())));
            assert_eq!(verify(policy, Some(&moved)), Err(Unverified::Forged(moved.key.clone())));
            let other = signed(&ours, "cd", None);
            assert_eq!(verify(policy, Some(&other)), Err(Unverified::OtherBytes("cd".into())));
            let other = signed(&ours, "ab", Some("wine"));
            assert_eq!(verify(policy, Some(&other)), Err(Unverified::OtherModel("wine".parse().unwrap())));
        }
    }

    #[test]
    fn keys_are_told_that_are_none() {
        assert!(Policy::new(true, &[]).is_err());
        assert!(Policy::new(false, &[]).is_ok());
        let refused = Policy::new(false, &["ab".repeat(32), "ab".into()]).unwrap_err();
        assert!(refused.starts_with("number 2 is not"), "{refused}");
    }
}
