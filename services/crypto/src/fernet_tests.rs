//! Fernet against the specification's vectors, and against everything that is not a token.

use proptest::prelude::*;

use super::*;

/// Of the specification's `generate.json` and `verify.json`.
const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
const TOKEN: &str =
    "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
/// 1985-10-26T01:20:00-07:00.
const TIME: u64 = 499_162_800;
const IV: [u8; IV_LEN] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn key() -> FernetKey {
    let bytes = URL_SAFE.decode(KEY).unwrap();
    FernetKey::new(bytes.as_slice().try_into().unwrap()).unwrap()
}

fn open(text: &str) -> Result<Vec<u8>, InvalidToken> {
    key().decrypt(&Token::decode(text)?).map(|plaintext| plaintext.to_vec())
}

/// Signs what may be no token at all, so that what comes after the HMAC is reached.
fn signed(body: &[u8]) -> String {
    let tag = hmac::sign(&key().sign, body);
    URL_SAFE.encode([body, tag.as_ref()].concat())
}

/// A token whose ciphertext decrypts to exactly these bytes, padding included.
fn with_padded(padded: &[u8]) -> String {
    let key = key();
    let (_, encrypt) = key.bytes.split_at(KEY_LEN / 2);
    let cipher = UnboundCipherKey::new(&AES_128, encrypt).unwrap();
    let cipher = aws_lc_rs::cipher::EncryptingKey::cbc(cipher).unwrap();
    let mut blocks = padded.to_vec();
    cipher.less_safe_encrypt(&mut blocks, EncryptionContext::Iv128(FixedLength::from(&IV))).unwrap();
    signed(&[&[VERSION][..], &TIME.to_be_bytes(), &IV, &blocks].concat())
}

#[test]
fn the_specifications_vectors() {
    assert_eq!(key().encrypt_with(b"hello", TIME, &IV).unwrap(), TOKEN);
    assert_eq!(open(TOKEN).unwrap(), b"hello");
    assert_eq!(*key().to_text(), KEY);
}

/// The causes of the specification's `invalid.json` that a token without a time to live can have.
#[test]
fn what_the_specification_calls_invalid_is_refused() {
    let good = URL_SAFE.decode(TOKEN).unwrap();
    let body = &good[..good.len() - TAG_LEN];
    assert_eq!(open(&signed(body)).unwrap(), b"hello");
    let wrong_tag = [body, &[0; TAG_LEN]].concat();
    let not_a_block = &body[..body.len() - 1];
    for (cause, token) in [
        ("incorrect mac", URL_SAFE.encode(wrong_tag)),
        ("too short for a mac", URL_SAFE.encode(&good[..TAG_LEN - 1])),
        ("only a mac", signed(b"")),
        ("a cut header", signed(&body[..HEADER_LEN - 1])),
        ("no ciphertext", signed(&body[..HEADER_LEN])),
        ("payload size not multiple of block size", signed(not_a_block)),
        ("another version", signed(&[&[0x81], &body[1..]].concat())),
        ("payload padding error: zero", with_padded(&[0; BLOCK])),
        ("payload padding error: over a block", with_padded(&[17; BLOCK])),
        ("payload padding error: uneven", with_padded(b"fifteen bytes.\x01\x02")),
        ("invalid base64", format!("%{}", &TOKEN[1..])),
        ("incorrect IV", URL_SAFE.encode([&body[..9], &[9; IV_LEN], &good[HEADER_LEN..]].concat())),
    ] {
        assert_eq!(open(&token), Err(InvalidToken), "{cause}");
    }
    assert_eq!(open(&with_padded(b"fifteen bytes..\x01")).unwrap(), b"fifteen bytes..");
}

/// The attacker's time is not reckoned with: the greatest there is neither overflows nor matters.
#[test]
fn any_time_is_accepted() {
    for time in [0, TIME, u64::MAX] {
        let token = key().encrypt_with(b"x", time, &IV).unwrap();
        assert_eq!(open(&token).unwrap(), b"x");
    }
}

#[test]
fn only_what_an_encoder_writes_is_base64() {
    let bare = TOKEN.trim_end_matches('=');
    let last_bits = format!("{}B==", &bare[..bare.len() - 1]); // where an encoder writes `A`
    let standard = with_standard_alphabet();
    for text in [
        "".to_owned(),
        bare.to_owned(),
        format!("{bare}="),
        format!("{TOKEN}="),
        format!("{TOKEN}\n"),
        format!(" {TOKEN}"),
        format!("{}\n{}", &TOKEN[..40], &TOKEN[40..]),
        format!("{TOKEN}{TOKEN}"),
        last_bits,
        standard,
    ] {
        assert_eq!(open(&text), Err(InvalidToken), "{text:?}");
    }
}

fn with_standard_alphabet() -> String {
    let standard = TOKEN.replace('_', "/").replace('-', "+");
    assert_ne!(standard, TOKEN);
    standard
}

#[test]
fn nothing_of_a_key_prints() {
    assert_eq!(format!("{:?}", key()), "FernetKey [redacted]");
    assert_ne!(*FernetKey::generate().unwrap().to_text(), *FernetKey::generate().unwrap().to_text());
}

#[test]
fn every_bit_counts() {
    let good = URL_SAFE.decode(TOKEN).unwrap();
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&URL_SAFE.encode(&changed)), Err(InvalidToken), "bit {bit}");
    }
    for len in 0..good.len() {
        assert_eq!(open(&URL_SAFE.encode(&good[..len])), Err(InvalidToken), "{len} bytes");
    }
}

proptest! {
    #[test]
    fn what_is_encrypted_decrypts(plaintext in prop::collection::vec(any::<u8>(), 0..300)) {
        let token = key().encrypt(&plaintext).unwrap();
        prop_assert_eq!(token.len(), token_len(plaintext.len()));
        prop_assert!(token.starts_with("gAAAAA"));
        prop_assert_eq!(open(&token).unwrap(), plaintext);
        let other = FernetKey::generate().unwrap();
        prop_assert_eq!(other.decrypt(&Token::decode(&token).unwrap()).unwrap_err(), InvalidToken);
    }

    #[test]
    fn a_changed_or_cut_token_is_refused(
        plaintext in prop::collection::vec(any::<u8>(), 0..80),
        at in any::<prop::sample::Index>(),
        replacement in any::<char>(),
    ) {
        let token = key().encrypt(&plaintext).unwrap();
        let mut changed: Vec<char> = token.chars().collect();
        let at = at.index(changed.len());
        prop_assert_eq!(open(&token[..at]), Err(InvalidToken));
        changed[at] = replacement;
        let changed: String = changed.into_iter().collect();
        prop_assert_eq!(open(&changed).is_ok(), changed == token);
    }

    #[test]
    fn any_text_is_refused(text in "\\PC{0,200}") {
        prop_assert_eq!(open(&text), Err(InvalidToken));
    }

    /// What only the holder of a key could make, but never does.
    #[test]
    fn any_signed_bytes_are_read_or_refused(
        version in prop_oneof![Just(VERSION), any::<u8>()],
        rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let body = [&[version][..], &rest].concat();
        if open(&signed(&body)).is_ok() {
            prop_assert_eq!(version, VERSION);
            prop_assert!(body.len() > HEADER_LEN && (body.len() - HEADER_LEN).is_multiple_of(BLOCK));
        }
    }
}
