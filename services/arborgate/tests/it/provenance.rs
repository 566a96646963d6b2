//! Models that are signed, and a server that runs no others.

use arborgate_testkit::system::{GENEROUS, Kind, Options, System};
use serde_json::Value;

use crate::support::{model_files, on_both_kinds, predict_soon, private, problem, put_model};

on_both_kinds!(only_what_a_known_key_signed_is_run);

async fn run(system: &System, args: &[&str]) -> Result<String, String> {
    let output = system.cli([&["models"], args].concat()).await.unwrap();
    if output.success { Ok(output.stdout) } else { Err(output.stderr) }
}

/// Makes a key and signs with it; gives the public one.
fn sign(folder: &std::path::Path, file: &str, more: &[&str]) -> (String, String) {
    let key = folder.join("key.pem");
    let file = folder.join(file);
    let mut command = std::process::Command::new(crate::support::PROGRAM);
    command.args(["models", "sign", "--json", "--key"]).arg(&key).arg(&file).args(more);
    if !key.exists() {
        command.arg("--new-key");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    (said["public_key"].as_str().unwrap().to_owned(), said["key"].as_str().unwrap().to_owned())
}

async fn only_what_a_known_key_signed_is_run(kind: Kind) {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&ours, &theirs] {
        for file in ["iris.joblib", "wine.joblib"] {
            std::fs::copy(model_files().join(file), folder.path().join(file)).unwrap();
        }
    }
    let (public, id) = sign(ours.path(), "iris.joblib", &["--model", "signed"]);
    sign(theirs.path(), "iris.joblib", &[]);
    let config = format!("{GENEROUS}\n[inference.provenance]\nrequired = true\nkeys = [\"{public}\"]\n");
    let system = private(kind, Options::with_config(config)).await;
    let admin = system.admin().await.unwrap();
    // Not even the demonstration model.
    problem(&system.get("/v1/models/iris", &admin).await.unwrap(), 404);
    let path = |folder: &tempfile::TempDir, file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    let added = run(&system, &["add", "signed", &path(&ours, "iris.joblib"), "--version", "1"]).await.unwrap();
    assert!(added.contains("ready"), "{added}");
    let row = serde_json::json!({"rows": [[5.1, 3.5, 1.4, 0.2]]});
    let answer = predict_soon(&system, 0, "/v1/models/signed/predict", &row, &admin).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let shown = run(&system, &["show", "signed", "--version", "1"]).await.unwrap();
    assert!(shown.contains(&id), "{shown}");
    for (args, told) in [
        (vec!["add", "other", &path(&ours, "iris.joblib")], "is for the model 'signed'"),
        (vec!["add", "signed", &path(&theirs, "iris.joblib")], "none of inference.provenance.keys"),
        (
            vec!["add", "signed", &path(&ours, "wine.joblib"), "--signed", &path(&ours, "iris.joblib.sig")],
            "of other bytes",
        ),
        (vec!["add", "signed", &path(&ours, "wine.joblib")], "is not signed"),
    ] {
        let refused = run(&system, &args).await.unwrap_err();
        assert!(refused.contains(told), "{args:?}: {refused}");
    }
    let alone =
        put_model(&system, "/v1/models/signed/versions/2", std::fs::read(path(&ours, "wine.joblib")).unwrap()).await;
    problem(&alone, 403);
    let list = system.get("/v1/models", &admin).await.unwrap().json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}
