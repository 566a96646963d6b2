//! The master key: from it come the keys that wrap the secrets of the state. Where it is kept (a file, a secret of the
//! cluster) is its reader's business; it never leaves the process and does not print.
//!
//! Every use has a key of its own, derived by HKDF-SHA256 (RFC 5869), so that no two uses can be played against each
//! other.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use zeroize::{Zeroize as _, Zeroizing};

const LEN: usize = 32;
/// Of the text: 32 bytes in base64 with its padding.
const TEXT_LEN: usize = 44;
const SALT: &[u8] = b"arborgate master key v1";

/// First byte of what [`MasterKey::wrap`] gives: AES-256-GCM; then the nonce, the ciphertext and the tag.
const WRAP_VERSION: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const CHECK_LEN: usize = 16;

/// Why a master key can not be read, or can not do what was asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not a key. It is not shown: it may be one nearly.
    #[error("a master key is one line of 44 characters, 32 bytes in URL-safe base64, but {0}")]
    Text(&'static str),
    /// A wrapped secret begins with another version byte, or is too short to have one.
    #[error("a wrapped secret is of a form that this binary does not read")]
    WrapVersion,
    /// Another master key, another context, or changed bytes: which of them can not be told.
    #[error(
        "a wrapped secret does not open: it was wrapped by another master key, for another purpose, or it is damaged"
    )]
    Unwrap,
    /// The system gave no random bytes, or the library failed.
    #[error("the cryptographic library failed while {0}")]
    Library(&'static str),
}

/// 32 random bytes, wiped when dropped.
pub struct MasterKey(Box<Zeroizing<[u8; LEN]>>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey [redacted]")
    }
}

/// What a derived key is for; the text is HKDF's `info`. A label never meets the other two.
enum Purpose<'a> {
    Label(&'a str),
    Wrap,
    Check,
}

impl MasterKey {
    /// A new key.
    ///
    /// # Errors
    /// [`MasterKeyError::Library`] when the system has no random bytes.
    pub fn generate() -> Result<Self, MasterKeyError> {
        let mut bytes = Box::new(Zeroizing::new([0; LEN]));
        rand::fill(bytes.as_mut_slice()).map_err(|_| MasterKeyError::Library("making a master key"))?;
        Ok(Self(bytes))
    }

    /// Reads what [`MasterKey::to_text`] wrote; one line end after it is allowed.
    ///
    /// # Errors
    /// [`MasterKeyError::Text`] for anything else.
    pub fn from_text(text: &str) -> Result<Self, MasterKeyError> {
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        if line.is_empty() {
            return Err(MasterKeyError::Text("there is nothing"));
        }
        if line.contains(['\n', '\r']) {
            return Err(MasterKeyError::Text("there are more lines"));
        }
        if line.len() != TEXT_LEN {
            return Err(MasterKeyError::Text("this is shorter or longer"));
        }
        // the decoder asks for room for a whole last group
        let mut room = Zeroizing::new([0; TEXT_LEN / 4 * 3]);
        let len = URL_SAFE
            .decode_slice(line, room.as_mut_slice())
            .map_err(|_| MasterKeyError::Text("this is not URL-safe base64"))?;
        let decoded = room.get(..len).filter(|decoded| decoded.len() == LEN);
        let mut bytes = Box::new(Zeroizing::new([0; LEN]));
        bytes.copy_from_slice(decoded.ok_or(MasterKeyError::Text("this is not 32 bytes"))?);
        Ok(Self(bytes))
    }

    /// The key in the open, for its file: one line without its end.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_LEN));
        URL_SAFE.encode_string(self.0.as_slice(), &mut text);
        text
    }

    /// The key for the use that `label` names: always the same, and of no help in finding this one or another.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; LEN]> {
        self.derive_for(&Purpose::Label(label))
    }

    fn derive_for(&self, purpose: &Purpose<'_>) -> Zeroizing<[u8; LEN]> {
        let info: [&[u8]; 2] = match purpose {
            Purpose::Label(label) => [b"arborgate/v1/label/", label.as_bytes()],
            Purpose::Wrap => [b"arborgate/v1/wrap", b""],
            Purpose::Check => [b"arborgate/v1/check", b""],
        };
        let mut derived = Zeroizing::new([0; LEN]);
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(self.0.as_slice());
        let filled = key.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(derived.as_mut_slice()));
        if filled.is_err() {
            // One block of HKDF fails only when there is no memory, where the allocator would abort as well. A key that
            // is not the derived one must never be given out.
            std::process::abort();
        }
        derived
    }

    /// Encrypts a secret so that it opens only with this key and the same `context`, which says what it is.
    ///
    /// # Errors
    /// [`MasterKeyError::Library`] when the system has no random bytes.
    pub fn wrap(&self, context: &str, plaintext: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        let failed = |_| MasterKeyError::Library("wrapping a secret");
        let mut sealed = plaintext.to_vec();
        let sealing = self.wrapping_key().and_then(|key| {
            key.seal_in_place_separate_tag(Aad::from(additional(context)), &mut sealed).map_err(failed)
        });
        let (nonce, tag) = match sealing {
            Ok(sealing) => sealing,
            Err(error) => {
                sealed.zeroize();
                return Err(error);
            }
        };
        let mut wrapped = Vec::with_capacity(1 + NONCE_LEN + sealed.len() + TAG_LEN);
        wrapped.push(WRAP_VERSION);
        wrapped.extend_from_slice(nonce.as_ref());
        wrapped.extend_from_slice(&sealed);
        wrapped.extend_from_slice(tag.as_ref());
        Ok(wrapped)
    }

    /// Opens what [`MasterKey::wrap`] gave for the same `context`.
    ///
    /// # Errors
    /// [`MasterKeyError::WrapVersion`] and [`MasterKeyError::Unwrap`].
    pub fn unwrap_bytes(&self, context: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let Some((&WRAP_VERSION, rest)) = wrapped.split_first() else { return Err(MasterKeyError::WrapVersion) };
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(MasterKeyError::Unwrap)?;
        let mut plaintext = Zeroizing::new(sealed.to_vec());
        let len = self
            .wrapping_key()?
            .open_in_place(Nonce::from(nonce), Aad::from(additional(context)), &mut plaintext)
            .map_err(|_| MasterKeyError::Unwrap)?
            .len();
        plaintext.truncate(len);
        Ok(plaintext)
    }

    fn wrapping_key(&self) -> Result<RandomizedNonceKey, MasterKeyError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.derive_for(&Purpose::Wrap).as_slice())
            .map_err(|_| MasterKeyError::Library("making a wrapping key"))
    }

    /// Tells whether two keys are the same without telling the key: 32 hexadecimal digits.
    pub fn check(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.derive_for(&Purpose::Check).as_slice());
        let tag = hmac::sign(&key, b"arborgate master key check");
        hex::encode(tag.as_ref().get(..CHECK_LEN).unwrap_or_default())
    }
}

impl FromStr for MasterKey {
    type Err = MasterKeyError;

    fn from_str(text: &str) -> Result<Self, MasterKeyError> {
        Self::from_text(text)
    }
}

/// What is authenticated beside the secret.
fn additional(context: &str) -> Vec<u8> {
    let mut bytes = vec![WRAP_VERSION];
    bytes.extend_from_slice(context.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The bytes 0 to 31.
    const KNOWN: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn known() -> MasterKey {
        MasterKey::from_text(KNOWN).unwrap()
    }

    #[test]
    fn a_text_is_read_strictly() {
        for text in [KNOWN.to_owned(), format!("{KNOWN}\n"), format!("{KNOWN}\r\n")] {
            assert_eq!(*MasterKey::from_text(&text).unwrap().to_text(), KNOWN);
        }
        let short = &KNOWN[..40];
        for (text, reason) in [
            (String::new(), "there is nothing"),
            ("\n".to_owned(), "there is nothing"),
            (format!("{KNOWN}\n\n"), "there are more lines"),
            (format!("{KNOWN}\nmore"), "there are more lines"),
            (format!("\n{KNOWN}"), "there are more lines"),
            (format!("{KNOWN} "), "this is shorter or longer"),
            (format!("{KNOWN}="), "this is shorter or longer"),
            (KNOWN.trim_end_matches('=').to_owned(), "this is shorter or longer"),
            (short.to_owned(), "this is shorter or longer"),
            (format!("{short}!!!="), "this is not URL-safe base64"),
            (format!("{short}Hh9="), "this is not URL-safe base64"), // bits that mean nothing
            (format!("{short}H+8="), "this is not URL-safe base64"), // the other alphabet
            (format!("{short}Hh=="), "this is not URL-safe base64"),
            (format!("{short}Hg=="), "this is not 32 bytes"),
            (format!("{short}Hh8f"), "this is not 32 bytes"),
        ] {
            assert_eq!(MasterKey::from_text(&text).unwrap_err(), MasterKeyError::Text(reason), "{text:?}");
        }
    }

    #[test]
    fn no_error_and_no_debug_output_holds_the_key() {
        assert_eq!(format!("{:?}", known()), "MasterKey [redacted]");
        let error = MasterKey::from_text(&format!("{KNOWN}x")).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("AAEC"));
    }

    #[test]
    fn generated_keys_differ() {
        let (one, two) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        assert_ne!(*one.to_text(), *two.to_text());
        assert_ne!(one.check(), two.check());
        assert_eq!(one.check(), one.to_text().parse::<MasterKey>().unwrap().check());
    }

    /// What is derived may never change: it opens what is on disk. Computed with HMAC by RFC 5869, apart from HKDF.
    #[test]
    fn derivation_is_rfc_5869_and_stays() {
        let prk = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SALT), known().0.as_slice());
        let expand = |info: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref()), &[info, &[1]].concat()).as_ref().to_vec()
        };
        assert_eq!(known().derive("api-keys").to_vec(), expand(b"arborgate/v1/label/api-keys"));
        assert_eq!(known().derive_for(&Purpose::Wrap).to_vec(), expand(b"arborgate/v1/wrap"));
        assert_eq!(known().derive_for(&Purpose::Check).to_vec(), expand(b"arborgate/v1/check"));
        assert_eq!(known().check().len(), 32);
    }

    #[test]
    fn a_secret_opens_only_with_its_key_and_context() {
        let wrapped = known().wrap("keyring 1", b"secret").unwrap();
        assert_eq!(*known().unwrap_bytes("keyring 1", &wrapped).unwrap(), b"secret");
        assert_eq!(known().unwrap_bytes("keyring 2", &wrapped), Err(MasterKeyError::Unwrap));
        assert_eq!(known().unwrap_bytes("", &wrapped), Err(MasterKeyError::Unwrap));
        let other = MasterKey::generate().unwrap();
        assert_eq!(other.unwrap_bytes("keyring 1", &wrapped), Err(MasterKeyError::Unwrap));
        for version in [0, 2, 255] {
            let mut changed = wrapped.clone();
            changed[0] = version;
            assert_eq!(known().unwrap_bytes("keyring 1", &changed), Err(MasterKeyError::WrapVersion));
        }
        assert_eq!(known().unwrap_bytes("keyring 1", &[]), Err(MasterKeyError::WrapVersion));
    }

    proptest! {
        #[test]
        fn what_is_wrapped_unwraps(context in ".{0,40}", plaintext in prop::collection::vec(any::<u8>(), 0..200)) {
            let wrapped = known().wrap(&context, &plaintext).unwrap();
            prop_assert_eq!(wrapped.len(), 1 + NONCE_LEN + plaintext.len() + TAG_LEN);
            prop_assert_ne!(&wrapped, &known().wrap(&context, &plaintext).unwrap());
            prop_assert_eq!(&*known().unwrap_bytes(&context, &wrapped).unwrap(), &plaintext);
        }

        #[test]
        fn no_changed_or_cut_secret_opens(
            plaintext in prop::collection::vec(any::<u8>(), 0..40),
            at in any::<prop::sample::Index>(),
            bit in 0u8..8,
            cut in any::<prop::sample::Index>(),
        ) {
            let wrapped = known().wrap("it", &plaintext).unwrap();
            let mut changed = wrapped.clone();
            changed[at.index(wrapped.len())] ^= 1u8 << bit;
            prop_assert!(known().unwrap_bytes("it", &changed).is_err());
            prop_assert!(known().unwrap_bytes("it", &wrapped[..cut.index(wrapped.len())]).is_err());
            let longer = [&wrapped[..], &[0]].concat();
            prop_assert!(known().unwrap_bytes("it", &longer).is_err());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(key) = MasterKey::from_text(&text) {
                prop_assert_eq!(&*key.to_text(), &text);
            }
        }

        #[test]
        fn labels_have_keys_of_their_own(one in ".{0,20}", two in ".{0,20}") {
            prop_assert_eq!(one == two, *known().derive(&one) == *known().derive(&two));
        }
    }
}
