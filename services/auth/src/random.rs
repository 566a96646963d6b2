//! Random texts and bytes from the cryptographic library's generator.

use zeroize::Zeroizing;

use crate::error::Error;

/// Ids of API keys.
pub(crate) const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Passwords: without what is mistaken for something else (0 O o, 1 I l).
pub(crate) const PASSWORD_ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

/// `N` random bytes, wiped when dropped.
pub(crate) fn bytes<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| Error::Cryptography("the random generator"))?;
    Ok(bytes)
}

/// `length` characters, each of `alphabet` with the same probability.
pub(crate) fn text(length: usize, alphabet: &[u8]) -> Result<Zeroizing<String>, Error> {
    // A byte at or above the largest multiple of the alphabet's length would favour its first characters.
    let fair = 256 - 256 % alphabet.len().clamp(1, 256);
    let mut text = Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        for byte in bytes::<64>()?.iter().map(|b| usize::from(*b)).filter(|b| *b < fair) {
            if text.len() < length
                && let Some(character) = alphabet.get(byte % alphabet.len())
            {
                text.push(char::from(*character));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_character_of_the_alphabet_comes_as_often() {
        let text = text(56 * 400, PASSWORD_ALPHABET).unwrap();
        let mut counts = HashMap::new();
        for c in text.bytes() {
            *counts.entry(c).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), PASSWORD_ALPHABET.len());
        // 400 expected; the standard deviation is 20.
        assert!(counts.values().all(|n| (260..=540).contains(n)), "{counts:?}");
    }

    #[test]
    fn nothing_is_ambiguous() {
        assert!(!b"0Oo1Il".iter().any(|b| PASSWORD_ALPHABET.contains(b)));
    }
}
