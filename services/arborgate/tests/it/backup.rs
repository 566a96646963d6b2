//! Backup and restore by the operator's commands, between all-in-ones.

use std::path::Path;

use arborgate_testkit::system::{ADMIN_PASSWORD, Kind, Options, Output, System, eventually};
use serde_json::json;

use crate::support::{model_files, private, problem, put_model, run, setosa};

async fn all_in_one() -> System {
    private(Kind::AllInOne, Options::default()).await
}

async fn cli(system: &System, command: &str, file: &Path) -> Output {
    system.cli([command, file.to_str().unwrap()]).await.unwrap()
}

/// A system with something of each kind in it, and a ciphertext of it.
async fn filled() -> (System, String, String) {
    let system = all_in_one().await;
    let admin = system.admin().await.unwrap();
    system.new_user("ann", "predictor").await.unwrap();
    let (key, _) = system.new_key("program", "predictor").await.unwrap();
    let arborgate_testkit::system::Credential::Key(key) = key else { panic!() };
    let wine = std::fs::read(model_files().join("wine.joblib")).unwrap();
    assert_eq!(put_model(&system, "/v1/models/wine/versions/7", wine).await.status, 201);
    system.post_json("/v1/encryption-keys", &json!(null), &admin).await.unwrap();
    let token = system.post_json("/encrypt", &json!({"plaintext": "kept"}), &admin).await.unwrap();
    let token = token.json()["ciphertext"].as_str().unwrap().to_owned();
    (system, token, key)
}

/// A new data folder that has this master key already, before its first start.
async fn fresh_with_master_key_of(other: &System) -> System {
    let mut system = all_in_one().await;
    system.process("all-in-one", 0).unwrap().kill().unwrap();
    let key = std::fs::read(other.master_key()).unwrap();
    std::fs::remove_dir_all(system.data_dir()).unwrap();
    std::fs::create_dir(system.data_dir()).unwrap();
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    std::fs::set_permissions(system.data_dir(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(system.master_key());
    std::io::Write::write_all(&mut file.unwrap(), &key).unwrap();
    system.restart_all_in_one().await.unwrap();
    // The new folder has a CA of its own, which this system's client does not trust: the client is made anew.
    system.trust().unwrap();
    system
}

#[test]
fn a_backup_is_restored_into_a_fresh_folder() {
    run(async {
        let (system, token, key) = filled().await;
        let file = system.folder().join("backup.tar");
        let saved = cli(&system, "backup", &file).await;
        assert!(saved.success && saved.stdout.contains("master key"), "{} {}", saved.stdout, saved.stderr);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let content = std::fs::read(&file).unwrap();
        let master = std::fs::read_to_string(system.master_key()).unwrap();
        for secret in [master.trim().as_bytes(), key.as_bytes(), ADMIN_PASSWORD.as_bytes()] {
            assert!(!content.windows(secret.len()).any(|window| window == secret));
        }
        let again = cli(&system, "backup", &file).await;
        assert!(!again.success, "a backup took another's place");
        assert_eq!(std::fs::read(&file).unwrap(), content);

        let fresh = fresh_with_master_key_of(&system).await;
        let before = fresh.new_user("gone-with-the-restore", "predictor").await.unwrap();
        let (before_key, _) = fresh.new_key("gone-with-the-restore", "predictor").await.unwrap();
        // So that the edge remembers both.
        for who in [&before, &before_key] {
            assert_eq!(fresh.post_json("/predict", &setosa(), who).await.unwrap().status, 200);
        }
        let restored = cli(&fresh, "restore", &file).await;
        assert!(
            restored.success && restored.stdout.contains("2 model files"),
            "{} {}",
            restored.stdout,
            restored.stderr
        );
        let admin = fresh.token("admin", ADMIN_PASSWORD).await.unwrap();
        let ann = fresh.token("ann", "the password of ann").await.unwrap();
        assert_eq!(fresh.post_json("/predict", &setosa(), &ann).await.unwrap().status, 200);
        let key = arborgate_testkit::system::Credential::Key(key);
        assert_eq!(fresh.post_json("/predict", &setosa(), &key).await.unwrap().status, 200);
        let plain = fresh.post_json("/decrypt", &json!({"ciphertext": token}), &admin).await.unwrap();
        assert_eq!(plain.json(), json!({"plaintext": "kept"}));
        let rows = json!({"rows": [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]});
        eventually("the restored model answers", async || {
            Ok(fresh.post_json("/v1/models/wine/versions/7/predict", &rows, &ann).await?.status == 200)
        })
        .await
        .unwrap();
        problem(
            &fresh.sign_in(0, "gone-with-the-restore", "the password of gone-with-the-restore").await.unwrap(),
            401,
        );
        for (who, status) in [(&before, 401), (&before_key, 403)] {
            eventually("who is not in the backup is refused", async || {
                Ok(fresh.post_json("/predict", &setosa(), who).await?.status == status)
            })
            .await
            .unwrap();
        }
    });
}

#[test]
fn who_was_changed_since_is_as_before_and_their_tokens_end() {
    run(async {
        let (system, ..) = filled().await;
        let file = system.folder().join("backup.tar");
        assert!(cli(&system, "backup", &file).await.success);
        let admin = system.admin().await.unwrap();
        assert_eq!(system.delete("/v1/users/ann", &admin).await.unwrap().status, 204);
        let password = "another password of ann";
        let body = json!({"name": "ann", "password": password, "roles": ["admin"]});
        let made = system.post_json("/v1/users", &body, &admin).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.text());
        let raised = system.token("ann", password).await.unwrap();
        assert_eq!(system.get("/v1/users", &raised).await.unwrap().status, 200);
        let restored = cli(&system, "restore", &file).await;
        assert!(restored.success, "{}", restored.stderr);
        eventually("a token of roles that are no more is refused", async || {
            Ok(system.get("/v1/users", &raised).await?.status == 401)
        })
        .await
        .unwrap();
        problem(&system.sign_in(0, "ann", password).await.unwrap(), 401);
        let ann = system.token("ann", "the password of ann").await.unwrap();
        problem(&system.get("/v1/users", &ann).await.unwrap(), 403);
        assert_eq!(system.post_json("/predict", &setosa(), &ann).await.unwrap().status, 200);
        // Whoever was not changed goes on.
        assert_eq!(system.get("/v1/users", &admin).await.unwrap().status, 200);
    });
}

#[test]
fn another_master_key_is_refused_and_changes_nothing() {
    run(async {
        let (system, ..) = filled().await;
        let file = system.folder().join("backup.tar");
        assert!(cli(&system, "backup", &file).await.success);
        let other = all_in_one().await;
        let kept = other.new_user("kept", "predictor").await.unwrap();
        let refused = cli(&other, "restore", &file).await;
        assert!(!refused.success && refused.stderr.contains("master key"), "{}", refused.stderr);
        assert_eq!(other.post_json("/predict", &setosa(), &kept).await.unwrap().status, 200);
        problem(&other.sign_in(0, "ann", "the password of ann").await.unwrap(), 401);
    });
}

#[test]
fn what_is_cut_off_or_no_backup_is_refused_and_changes_nothing() {
    run(async {
        let (system, ..) = filled().await;
        let file = system.folder().join("backup.tar");
        assert!(cli(&system, "backup", &file).await.success);
        let content = std::fs::read(&file).unwrap();
        system.new_user("later", "predictor").await.unwrap();
        let cut = system.folder().join("cut.tar");
        for length in [0, 1, 511, 512, 2000, content.len() / 2, content.len() - content.len() / 8] {
            std::fs::write(&cut, &content[..length]).unwrap();
            let refused = cli(&system, "restore", &cut).await;
            assert!(!refused.success && refused.stderr.contains("backup"), "{length}: {}", refused.stderr);
        }
        for other in
            [b"no tar at all".repeat(100), vec![0; 4096], std::fs::read(model_files().join("iris.joblib")).unwrap()]
        {
            std::fs::write(&cut, other).unwrap();
            let refused = cli(&system, "restore", &cut).await;
            assert!(!refused.success, "{}", refused.stdout);
        }
        assert_eq!(system.sign_in(0, "later", "the password of later").await.unwrap().status, 200);
        assert!(cli(&system, "restore", &file).await.success);
        problem(&system.sign_in(0, "later", "the password of later").await.unwrap(), 401);
    });
}
