//! Encryption as a service.

use arborgate_testkit::system::{Answer, Credential, System};
use serde_json::{Value, json};

use crate::support::{on_both_buses, problem, python};

on_both_buses!(
    any_text_comes_back,
    whatever_is_wrong_reads_the_same,
    rotation_keeps_old_tokens_readable_everywhere,
    python_reads_ours_and_we_read_python_s,
);

async fn encrypt(system: &System, edge: usize, text: &str, who: &Credential) -> String {
    let answer = system.post_json_at(edge, "/encrypt", &json!({"plaintext": text}), who).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["ciphertext"].as_str().unwrap().to_owned()
}

async fn decrypt(system: &System, edge: usize, token: &str, who: &Credential) -> Answer {
    system.post_json_at(edge, "/decrypt", &json!({"ciphertext": token}), who).await.unwrap()
}

fn texts() -> Vec<String> {
    let plain = [
        "",
        "a",
        "sixteen bytes ok",
        "größer als ß, 漢字, 🌳\u{200d}🌲, \u{202e}",
        "\r\n\0\u{1b}[31m\"\\",
        "\u{fffd}\u{10ffff}",
    ];
    plain.into_iter().map(str::to_owned).chain(["x".repeat(200_000)]).collect()
}

async fn any_text_comes_back(system: &System) {
    let admin = system.admin().await.unwrap();
    for (number, text) in texts().iter().enumerate() {
        let token = encrypt(system, number, text, &admin).await;
        assert!(token.starts_with("gAAAAA"), "{token}");
        assert_ne!(token, encrypt(system, number, text, &admin).await);
        let answer = decrypt(system, number + 1, &token, &admin).await;
        assert_eq!(answer.json(), json!({"plaintext": text}));
    }
    let large = json!({"plaintext": "x".repeat((1 << 20) + 1)});
    problem(&system.post_json("/encrypt", &large, &admin).await.unwrap(), 413);
}

async fn whatever_is_wrong_reads_the_same(system: &System) {
    let admin = system.admin().await.unwrap();
    let token = encrypt(system, 0, "a secret of some length", &admin).await;
    let flip = |at: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let length = token.trim_end_matches('=').len();
    let mut wrong: Vec<String> = [0, 2, 8, 12, 20, 40, length / 2, length - 20, length - 2].map(flip).into();
    wrong.extend([
        String::new(),
        "gAAAAA".to_owned(),
        "not base64 at all!".to_owned(),
        token[..token.len() - 4].to_owned(),
        token[4..].to_owned(),
        format!("{token}AAAA"),
        format!("{token}{token}"),
        format!(" {token}"),
        "é".repeat(50),
        // By a key that is none of ours.
        "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
            .to_owned(),
    ]);
    let mut bodies = Vec::new();
    for (number, wrong) in wrong.iter().enumerate() {
        let answer = decrypt(system, number, wrong, &admin).await;
        assert_eq!(problem(&answer, 400), "Decryption failed", "{wrong}");
        bodies.push(answer.body);
    }
    assert!(bodies.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(decrypt(system, 0, &token, &admin).await.json()["plaintext"], "a secret of some length");
}

async fn rotation_keeps_old_tokens_readable_everywhere(system: &System) {
    let admin = system.admin().await.unwrap();
    let old = encrypt(system, 0, "before", &admin).await;
    let rotated = system.post_json("/v1/encryption-keys", &Value::Null, &admin).await.unwrap();
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let version = rotated.json()["version"].as_u64().unwrap();
    assert!(version >= 2);
    assert!(!rotated.text().contains("\"key\""));
    let by_command = system.cli(["crypto", "rotate", "--json"]).await.unwrap();
    let by_command: Value = serde_json::from_str(&by_command.stdout).unwrap();
    assert!(by_command["version"].as_u64().unwrap() > version);
    // Often enough that each replica is asked, also those that did not rotate: at once, with no wait.
    for turn in 0..12 {
        let new = encrypt(system, turn, "after", &admin).await;
        for token_and_text in [(&old, "before"), (&new, "after")] {
            let answer = decrypt(system, turn + 1, token_and_text.0, &admin).await;
            assert_eq!(answer.json()["plaintext"], token_and_text.1, "{}", answer.text());
        }
    }
}

async fn python_reads_ours_and_we_read_python_s(system: &System) {
    let admin = system.admin().await.unwrap();
    let texts = texts();
    let mut ours = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        ours.push(encrypt(system, number, text, &admin).await);
    }
    let exported = system.cli(["crypto", "export-key"]).await.unwrap();
    assert!(exported.success, "{}", exported.stderr);
    let keys: Vec<&str> = exported.stdout.lines().collect();
    let input = json!({"keys": keys, "encrypt": texts, "decrypt": ours}).to_string();
    let told: Value = serde_json::from_str(&python("fernet.py", &[], &input)).unwrap();
    assert_eq!(told["decrypt"], json!(texts));
    for (text, token) in texts.iter().zip(told["encrypt"].as_array().unwrap()) {
        for edge in 0..2 {
            let answer = decrypt(system, edge, token.as_str().unwrap(), &admin).await;
            assert_eq!(answer.json()["plaintext"], *text);
        }
    }
}
