//! Fernet tokens, as the specification (fernet/spec, `Spec.md`, version 0x80) has them: AES-128 in CBC mode, then
//! HMAC-SHA256 over all before it, in URL-safe base64 with padding.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | 0x80 |
//! | 8 | when it was made: seconds since 1970, big-endian |
//! | 16 | initialization vector |
//! | 16 × n | ciphertext, padded by PKCS #7 |
//! | 32 | HMAC |
//!
//! Reading is stricter than the specification asks: only what an encoder writes is base64. There is no time to live: a
//! token is for ever, and the time in it is not looked at. Which key to use is not decided here.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::cipher::{
    AES_128, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use zeroize::Zeroizing;

/// Bytes of a key: the first half signs, the second encrypts.
pub const KEY_LEN: usize = 32;

const VERSION: u8 = 0x80;
const IV_LEN: usize = 16;
const BLOCK: usize = 16;
const TAG_LEN: usize = 32;
/// Before the ciphertext.
const HEADER_LEN: usize = 1 + 8 + IV_LEN;

/// A text is not a token of this key. It does not say why, so that nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no token of the key")]
pub struct InvalidToken;

/// The system gave no random bytes, or the library failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct LibraryError;

impl From<Unspecified> for LibraryError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// The characters of the token of a plaintext of so many bytes.
pub const fn token_len(plaintext: usize) -> usize {
    let padded = (plaintext / BLOCK).saturating_add(1).saturating_mul(BLOCK);
    padded.saturating_add(HEADER_LEN + TAG_LEN).div_ceil(3).saturating_mul(4)
}

/// A token's bytes, not yet known to be one.
pub struct Token {
    bytes: Vec<u8>,
}

impl Token {
    /// Reads base64 as its encoder writes it: with padding, no bit to spare, nothing around it.
    ///
    /// # Errors
    /// [`InvalidToken`], also for what is too short for a HMAC.
    pub fn decode(text: impl AsRef<[u8]>) -> Result<Self, InvalidToken> {
        let bytes = URL_SAFE.decode(text).map_err(|_| InvalidToken)?;
        if bytes.len() < TAG_LEN { Err(InvalidToken) } else { Ok(Self { bytes }) }
    }
}

/// A key. Does not print, and is wiped when dropped.
pub struct FernetKey {
    bytes: Box<Zeroizing<[u8; KEY_LEN]>>,
    sign: hmac::Key,
    encrypt: PaddedBlockEncryptingKey,
    decrypt: PaddedBlockDecryptingKey,
}

impl fmt::Debug for FernetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FernetKey [redacted]")
    }
}

impl FernetKey {
    /// A new key.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn generate() -> Result<Self, LibraryError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rand::fill(bytes.as_mut_slice())?;
        Self::new(&bytes)
    }

    /// A key of its bytes.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn new(bytes: &[u8; KEY_LEN]) -> Result<Self, LibraryError> {
        let (sign, encrypt) = bytes.split_at(KEY_LEN / 2);
        let cipher = || UnboundCipherKey::new(&AES_128, encrypt);
        let mut kept = Box::new(Zeroizing::new([0; KEY_LEN]));
        kept.copy_from_slice(bytes);
        Ok(Self {
            bytes: kept,
            sign: hmac::Key::new(hmac::HMAC_SHA256, sign),
            encrypt: PaddedBlockEncryptingKey::cbc_pkcs7(cipher()?)?,
            decrypt: PaddedBlockDecryptingKey::cbc_pkcs7(cipher()?)?,
        })
    }

    /// The bytes in the open.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        &self.bytes
    }

    /// The key in the open: URL-safe base64, as `cryptography.fernet.Fernet` takes it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE.encode(self.bytes.as_slice()))
    }

    /// A token of the plaintext.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub fn encrypt(&self, plaintext: &[u8]) -> Result<String, LibraryError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut iv = [0; IV_LEN];
        rand::fill(&mut iv)?;
        self.encrypt_with(plaintext, now, &iv)
    }

    fn encrypt_with(&self, plaintext: &[u8], time: u64, iv: &[u8; IV_LEN]) -> Result<String, LibraryError> {
        // room for the padding from the start: a buffer that grows leaves plaintext behind
        let mut ciphertext = Vec::with_capacity(plaintext.len() + BLOCK);
        ciphertext.extend_from_slice(plaintext);
        self.encrypt.less_safe_encrypt(&mut ciphertext, EncryptionContext::Iv128(FixedLength::from(iv)))?;
        let mut token = Vec::with_capacity(HEADER_LEN + ciphertext.len() + TAG_LEN);
        token.push(VERSION);
        token.extend_from_slice(&time.to_be_bytes());
        token.extend_from_slice(iv);
        token.extend_from_slice(&ciphertext);
        let tag = hmac::sign(&self.sign, &token);
        token.extend_from_slice(tag.as_ref());
        Ok(URL_SAFE.encode(&token))
    }

    /// The plaintext of a token of this key. The HMAC is compared in constant time, and before it is right nothing else
    /// of the token is looked at.
    ///
    /// # Errors
    /// [`InvalidToken`], whatever the cause.
    pub fn decrypt(&self, token: &Token) -> Result<Zeroizing<Vec<u8>>, InvalidToken> {
        let (signed, tag) = token.bytes.split_last_chunk::<TAG_LEN>().ok_or(InvalidToken)?;
        hmac::verify(&self.sign, signed, tag).map_err(|_| InvalidToken)?;
        let (header, ciphertext) = signed.split_first_chunk::<HEADER_LEN>().ok_or(InvalidToken)?;
        let (_, iv) = header.split_last_chunk::<IV_LEN>().ok_or(InvalidToken)?;
        if header.first() != Some(&VERSION) || ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK) {
            return Err(InvalidToken);
        }
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let len = self.decrypt.decrypt(&mut plaintext, context).map_err(|_| InvalidToken)?.len();
        plaintext.truncate(len);
        Ok(plaintext)
    }
}

#[cfg(test)]
#[path = "fernet_tests.rs"]
mod tests;
