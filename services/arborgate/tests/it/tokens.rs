//! Access tokens that nobody signed, or not so.

use arborgate_contracts::auth::Claims;
use arborgate_testkit::system::{Answer, Credential, System};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{on_both_buses, problem, setosa, unique};

on_both_buses!(a_good_token_is_taken_and_no_other, a_token_has_the_claims_of_rfc_9068);

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn ask(system: &System, token: &str) -> Answer {
    system.post_json("/predict", &setosa(), &Credential::Bearer(token.to_owned())).await.unwrap()
}

async fn bearer(system: &System, name: &str, role: &str) -> String {
    match system.new_user(name, role).await.unwrap() {
        Credential::Bearer(token) => token,
        other => panic!("{other:?}"),
    }
}

/// The same 64 bytes of a signature, written with other bits where base64 has some to spare.
fn other_trailing_bits(signature: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (head, last) = signature.split_at(signature.len() - 1);
    let value = ALPHABET.iter().position(|b| *b == last.as_bytes()[0]).unwrap();
    format!("{head}{}", char::from(ALPHABET[value ^ 1]))
}

async fn a_good_token_is_taken_and_no_other(system: &System) {
    let token = bearer(system, &unique("token"), "predictor").await;
    let other = bearer(system, &unique("token"), "user").await;
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("{token}") };
    let mut admin = decode(claims);
    admin["roles"] = json!(["admin"]);
    let mut later = decode(claims);
    later["exp"] = json!(later["exp"].as_u64().unwrap() + 60);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = decode(header);
        change(&mut changed);
        encode(&changed)
    };
    let none = with(&|h| h["alg"] = json!("none"));
    let hs256 = with(&|h| h["alg"] = json!("HS256"));
    // What an attacker knows of the key: here its id, in place of the public key that no operation tells.
    let kid = decode(header)["kid"].as_str().unwrap().to_owned();
    let mac = |h: &str, c: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, kid.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, format!("{h}.{c}").as_bytes()))
    };
    // A key of one's own, under the id of the system's and under its own.
    let own = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let sign = |h: &str, c: &str| URL_SAFE_NO_PAD.encode(own.sign(format!("{h}.{c}").as_bytes()));
    let own_id = with(&|h| h["kid"] = json!("A".repeat(43)));
    let x = URL_SAFE_NO_PAD.encode(own.public_key());
    let jwk = with(&|h| h["jwk"] = json!({"kty": "OKP", "crv": "Ed25519", "x": x}));
    let jku = with(&|h| h["jku"] = json!("https://attacker.example/keys"));
    let crit = with(&|h| h["crit"] = json!(["b64"]));
    let jwt = with(&|h| h["typ"] = json!("JWT"));
    let twice = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","alg":"none","typ":"at+jwt","kid":"{kid}"}}"#));
    let ended = json!({"exp": 1_000_000_000, "iat": 999_999_000});
    let mut old = decode(claims);
    old.as_object_mut().unwrap().extend(ended.as_object().unwrap().clone());
    let old = encode(&old);
    let bad = [
        ("another's roles", format!("{header}.{}.{signature}", encode(&admin))),
        ("a later end", format!("{header}.{}.{signature}", encode(&later))),
        ("ended, by another key", format!("{header}.{old}.{}", sign(header, &old))),
        ("another's signature", format!("{header}.{claims}.{}", other.rsplit('.').next().unwrap())),
        ("another's claims", format!("{header}.{}.{signature}", other.split('.').nth(1).unwrap())),
        ("no signature", format!("{header}.{claims}.")),
        ("no third part", format!("{header}.{claims}")),
        ("unsigned", format!("{none}.{claims}.")),
        ("unsigned, with a signature", format!("{none}.{claims}.{signature}")),
        ("none in another case", format!("{}.{claims}.", with(&|h| h["alg"] = json!("NoNe")))),
        ("HS256 by what is public", format!("{hs256}.{claims}.{}", mac(&hs256, claims))),
        ("a key of one's own", format!("{header}.{claims}.{}", sign(header, claims))),
        ("a key of one's own, unknown", format!("{own_id}.{claims}.{}", sign(&own_id, claims))),
        ("a key in the header", format!("{jwk}.{claims}.{}", sign(&jwk, claims))),
        ("a key by address", format!("{jku}.{claims}.{}", sign(&jku, claims))),
        ("critical members", format!("{crit}.{claims}.{}", sign(&crit, claims))),
        ("another type", format!("{jwt}.{claims}.{signature}")),
        ("a member twice", format!("{twice}.{claims}.{signature}")),
        ("other trailing bits", format!("{header}.{claims}.{}", other_trailing_bits(signature))),
        ("padding", format!("{token}==")),
        ("four parts", format!("{token}.x")),
        ("two in one", format!("{token},{token}")),
        ("nothing", "..".to_owned()),
        ("long", format!("{header}.{}.{signature}", "A".repeat(6000))),
        ("its id a path", format!("{}.{claims}.{signature}", with(&|h| h["kid"] = json!("../../master.key")))),
        ("its id a wildcard", format!("{}.{claims}.{signature}", with(&|h| h["kid"] = json!(">")))),
    ];
    for (what, bad) in bad {
        let answer = ask(system, &bad).await;
        assert_eq!(answer.status, 401, "{what}");
        problem(&answer, 401);
        assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{what}");
    }
    // The HTTP layer bounds headers before a token is looked at; whichever refuses, nobody comes in.
    let long = Credential::Bearer("A".repeat(1 << 20));
    // An HTTP/2 connection ends over it.
    let request = system.new_client().unwrap().post(format!("{}/predict", system.edge(0))).json(&setosa());
    let answer = system.send(long.apply(request)).await;
    assert!(answer.as_ref().map_or(true, |a| [400, 401, 431].contains(&a.status)), "{:?}", answer.map(|a| a.status));
    assert_eq!(ask(system, &token).await.status, 200);
}

async fn a_token_has_the_claims_of_rfc_9068(system: &System) {
    let name = unique("claims");
    let token = bearer(system, &name, "user").await;
    let parts: Vec<&str> = token.split('.').collect();
    let header = decode(parts[0]);
    assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
    let claims: Claims = serde_json::from_value(decode(parts[1])).unwrap();
    assert_eq!(claims.sub.as_str(), name);
    assert_eq!((claims.iss.as_str(), claims.aud.as_str()), ("arborgate", "arborgate-api"));
    assert_eq!(claims.exp - claims.iat, 3600);
    assert!(!claims.jti.is_empty());
}
