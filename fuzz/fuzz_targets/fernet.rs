//! Fernet tokens: no bytes make the reader panic, also none that are signed; no changed token decrypts.
#![no_main]

use arborgate_crypto::fernet::{FernetKey, Token};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use libfuzzer_sys::fuzz_target;

/// The first half signs.
const KEY: [u8; 32] = *b"0123456789abcdefFEDCBA9876543210";

fn open(key: &FernetKey, text: &[u8]) -> Option<Vec<u8>> {
    key.decrypt(&Token::decode(text).ok()?).ok().map(|plaintext| plaintext.to_vec())
}

/// As it comes: nobody can guess a HMAC of 32 bytes.
fn arbitrary(key: &FernetKey, text: &[u8]) {
    assert_eq!(open(key, text), None);
}

/// What is behind the HMAC.
fn signed(key: &FernetKey, body: &[u8]) {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY[..16]), body);
    let token = URL_SAFE.encode([body, tag.as_ref()].concat());
    if let Some(plaintext) = open(key, token.as_bytes()) {
        assert_eq!(body[0], 0x80);
        let padded = body.len() - 25;
        assert!(padded % 16 == 0 && plaintext.len() < padded && padded - plaintext.len() <= 16);
    }
}

/// A good token, and that token with some of its characters changed, or cut.
fn mutated(key: &FernetKey, input: &[u8]) {
    let Some((&[len, count], rest)) = input.split_first_chunk::<2>() else { return };
    let (plaintext, rest) = rest.split_at(rest.len().min(usize::from(len)));
    let token = key.encrypt(plaintext).unwrap().into_bytes();
    assert_eq!(open(key, &token).as_deref(), Some(plaintext));
    let mut changed = token.clone();
    for change in rest.chunks_exact(3).take(usize::from(count)) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % (changed.len() + 1);
        match changed.get_mut(at) {
            Some(byte) => *byte = change[2],
            None => drop(changed.pop()),
        }
        if changed.is_empty() {
            break;
        }
    }
    if changed != token {
        assert_eq!(open(key, &changed), None);
    }
}

fuzz_target!(|input: &[u8]| {
    let key = FernetKey::new(&KEY).unwrap();
    match input.split_first() {
        Some((0, rest)) => signed(&key, rest),
        Some((1, rest)) => mutated(&key, rest),
        _ => arbitrary(&key, input),
    }
});
