//! The text of an API key, `arb_live_<id>_<secret>_<checksum>`: written by the auth service, read by the edge. The
//! checksum (CRC-32 of all before its underscore) lets a reader refuse what was mistyped or made up without asking
//! anybody; it proves nothing. Hashing the text is the reader's: this crate has no cryptography.

use crate::auth::SecretDigest;
use crate::name::KeyId;

/// What every key begins with, so that scanners of repositories find one that leaked.
pub const PREFIX: &str = "arb_live_";
/// Characters of the secret: 256 bits in base 62, the most significant first, filled up with `0`.
pub const SECRET_LEN: usize = 43;
/// Characters of the checksum: lower-case hex.
pub const CHECKSUM_LEN: usize = 8;
/// Characters of the longest key.
pub const MAX_LEN: usize = PREFIX.len() + 32 + 1 + SECRET_LEN + 1 + CHECKSUM_LEN;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Why a text is no API key. The text itself is left out: it may be one with a typing error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Another form.
    #[error("an API key has the form arb_live_<id>_<43 letters and digits>_<8 hex digits>")]
    Form,
    /// The right form and the wrong checksum.
    #[error("the API key's checksum is wrong: it was mistyped or cut")]
    Checksum,
}

/// Writes a key.
pub fn format(id: &KeyId, secret: &[u8; 32]) -> String {
    let mut text = String::with_capacity(MAX_LEN);
    text.push_str(PREFIX);
    text.push_str(id.as_str());
    text.push('_');
    push_base62(&mut text, secret);
    let checksum = crc32fast::hash(text.as_bytes());
    text.push('_');
    push_hex(&mut text, &checksum.to_be_bytes());
    text
}

/// The public part of a key whose form and checksum are right. Whether it is good only the auth service knows.
pub fn parse(text: &str) -> Result<KeyId, ApiKeyError> {
    if text.len() > MAX_LEN {
        return Err(ApiKeyError::Form);
    }
    let (body, checksum) = text.rsplit_once('_').ok_or(ApiKeyError::Form)?;
    let (id, secret) = body.strip_prefix(PREFIX).and_then(|b| b.split_once('_')).ok_or(ApiKeyError::Form)?;
    let id = id.parse().map_err(|_| ApiKeyError::Form)?;
    let lower_hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let form = secret.len() == SECRET_LEN
        && secret.bytes().all(|b| b.is_ascii_alphanumeric())
        && checksum.len() == CHECKSUM_LEN
        && checksum.bytes().all(lower_hex);
    if !form {
        return Err(ApiKeyError::Form);
    }
    match u32::from_str_radix(checksum, 16) {
        Ok(sum) if sum == crc32fast::hash(body.as_bytes()) => Ok(id),
        _ => Err(ApiKeyError::Checksum),
    }
}

/// By repeated division of the number by 62.
fn push_base62(text: &mut String, number: &[u8; 32]) {
    let mut number = *number;
    let mut digits = [b'0'; SECRET_LEN];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let part = rest << 8 | u32::from(*byte);
            // Below 256, as the rest is below 62.
            *byte = (part / 62) as u8;
            rest = part % 62;
        }
        *digit = BASE62.get(rest as usize).copied().unwrap_or(b'0');
    }
    text.extend(digits.map(char::from));
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
}

impl SecretDigest {
    /// From the SHA-256 of a key's whole text.
    pub fn from_sha256(digest: &[u8; 32]) -> Self {
        let mut text = String::with_capacity(64);
        push_hex(&mut text, digest);
        Self(text)
    }

    /// The SHA-256; `None` when this is not 64 lower-case hex digits.
    pub fn to_sha256(&self) -> Option<[u8; 32]> {
        let digits = self.0.as_bytes();
        if digits.len() != 64 || digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            let value = char::from(*high).to_digit(16)? << 4 | char::from(*low).to_digit(16)?;
            *byte = u8::try_from(value).ok()?;
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id() -> KeyId {
        "k3y0id0000000001".parse().unwrap()
    }

    #[test]
    fn secrets_are_written_in_base_62() {
        let secret_of = |number: [u8; 32]| format(&id(), &number).split('_').nth(3).unwrap().to_owned();
        let mut one = [0; 32];
        one[31] = 1;
        let mut sixty_two = [0; 32];
        sixty_two[31] = 62;
        assert_eq!(secret_of([0; 32]), "0".repeat(43));
        assert_eq!(secret_of(one), format!("{}1", "0".repeat(42)));
        assert_eq!(secret_of(sixty_two), format!("{}10", "0".repeat(41)));
        // 2^256 - 1 in base 62, by another implementation (Python's integers).
        assert_eq!(secret_of([0xFF; 32]), MAX_SECRET);
    }

    const MAX_SECRET: &str = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";

    #[test]
    fn the_checksum_is_the_common_crc_32() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        let key = format(&id(), &[7; 32]);
        assert_eq!(key, "arb_live_k3y0id0000000001_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF1_8989e346");
    }

    #[test]
    fn other_forms_are_refused() {
        let key = format(&id(), &[7; 32]);
        let parts: Vec<_> = key.split('_').collect();
        let join = |id: &str, secret: &str| {
            let body = format!("arb_live_{id}_{secret}");
            format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))
        };
        assert_eq!(parse(&join(parts[2], parts[3])), Ok(id()));
        let upper = key.rsplit_once('_').map(|(body, sum)| format!("{body}_{}", sum.to_uppercase())).unwrap();
        assert_ne!(upper, key);
        for bad in [
            "",
            "arb_live_",
            "arb_live___",
            "arb_test_k3y0id0000000001_x_00000000",
            &key[1..],
            &key[..key.len() - 1],
            &format!("{key} "),
            &format!("{key}0"),
            &upper,
            &join("SHOUTED0000000001", parts[3]),
            &join("short", parts[3]),
            &join(parts[2], &parts[3][1..]),
            &join(parts[2], &format!("{}-", &parts[3][1..])),
            &join(parts[2], &format!("{}é", &parts[3][2..])),
            &"a".repeat(1 << 20),
        ] {
            assert_eq!(parse(bad), Err(ApiKeyError::Form), "{}", bad.len());
        }
        let wrong = format!("{}_00000000", key.rsplit_once('_').unwrap().0);
        assert_eq!(parse(&wrong), Err(ApiKeyError::Checksum));
    }

    #[test]
    fn digests_are_lower_case_hex() {
        let digest = SecretDigest::from_sha256(&[0xA5; 32]);
        assert_eq!(digest.0, "a5".repeat(32));
        for bad in [String::new(), "a5".repeat(31), "A5".repeat(32), "g5".repeat(32), "+5".repeat(32), "é".repeat(32)]
        {
            assert_eq!(SecretDigest(bad).to_sha256(), None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(id in "[a-z0-9]{8,32}", secret: [u8; 32]) {
            let id: KeyId = id.parse().unwrap();
            let key = format(&id, &secret);
            prop_assert!(key.len() <= MAX_LEN);
            prop_assert_eq!(parse(&key), Ok(id));
            prop_assert_eq!(SecretDigest::from_sha256(&secret).to_sha256(), Some(secret));
        }

        #[test]
        fn one_changed_character_is_seen(at in 0usize..78, to in "[a-zA-Z0-9_]") {
            let key = format(&id(), &[9; 32]);
            prop_assume!(key.is_char_boundary(at) && at < key.len() && key[at..=at] != to);
            let mut typo = key;
            typo.replace_range(at..=at, &to);
            prop_assert!(parse(&typo).is_err());
        }

        #[test]
        fn any_text_is_read_without_panic(text in ".{0,120}") {
            let _ = parse(&text);
        }
    }
}
