//! Files that are no model: refused with the reader's reason, and nothing is changed.

use arborgate_testkit::system::System;

use crate::support::{model_files, on_both_buses, problem, put_model, unique};

on_both_buses!(what_is_no_model_is_refused_with_a_reason, the_command_tells_the_reason);

async fn what_is_no_model_is_refused_with_a_reason(system: &System) {
    let admin = system.admin().await.unwrap();
    let folder = model_files();
    let model = unique("refused");
    for (file, reason) in [
        ("system.pkl", "system"),
        ("reduce.joblib", "system"),
        ("truncated.joblib", ""),
        ("empty.joblib", "empty"),
        ("xgboost.json", ""),
        ("dict.pkl", ""),
        ("bomb.joblib", ""),
    ] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let answer = put_model(system, &format!("/v1/models/{model}/versions/1"), bytes).await;
        let detail = problem(&answer, 422);
        assert!(detail.contains(reason) && detail.len() > 15, "{file}: {detail}");
        assert!(!detail.contains("/tmp") && !detail.contains("object"), "{file}: {detail}");
        problem(&system.get(&format!("/v1/models/{model}"), &admin).await.unwrap(), 404);
    }
    assert!(!folder.join("ran").exists(), "a pickle ran a command");
    // The bytes that were refused do not stand in the way of good ones.
    let good = std::fs::read(folder.join("iris.joblib")).unwrap();
    let answer = put_model(system, &format!("/v1/models/{model}/versions/1"), good).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

async fn the_command_tells_the_reason(system: &System) {
    let folder = model_files();
    let file = folder.join("system.pkl");
    let refused = system.cli(["models", "add", &unique("refused"), file.to_str().unwrap()]).await.unwrap();
    assert!(!refused.success && refused.stderr.contains("system"), "{}", refused.stderr);
    let absent = system.cli(["models", "add", "x", "/no/such/file"]).await.unwrap();
    assert!(!absent.success && absent.stderr.contains("/no/such/file"), "{}", absent.stderr);
}
