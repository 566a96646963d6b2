//! Which version of a model answers: promoted, rolled back, split, compared, unloaded; under load, and nothing is lost.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arborgate_testkit::system::{Answer, Credential, GENEROUS, Kind, Options, System, eventually};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{model_files, on_both_buses, on_both_kinds, predict_soon, private, problem, put_model, unique};

on_both_kinds!(what_nobody_holds_is_not_promoted);

on_both_buses!(
    a_version_is_promoted_and_rolled_back,
    shares_are_seen_and_stick,
    what_can_not_be_divided_is_refused,
    a_shadow_is_compared_and_dropped,
    what_answers_is_neither_removed_nor_unloaded,
    the_commands_roll_out,
    no_request_is_lost_while_versions_change,
);

const ROW: &str = r#"{"rows": [[6.0, 2.9, 4.5, 1.5]]}"#;

fn file(name: &str) -> Vec<u8> {
    std::fs::read(model_files().join(name)).unwrap()
}

async fn change(system: &System, method: Method, path: &str, body: &Value) -> Answer {
    let admin = system.admin().await.unwrap();
    let mut request = system.request(0, method, path);
    if !body.is_null() {
        request = request.json(body);
    }
    system.send(admin.apply(request)).await.unwrap()
}

/// A model of these versions, the first of which answers.
async fn model(system: &System, versions: &[&str]) -> String {
    let model = unique("rollout");
    for (place, version) in versions.iter().enumerate() {
        let promote = if place == 0 { "" } else { "?promote=false" };
        // Another forest on the same data each: their answers differ.
        let bytes = file(["iris.joblib", "iris_other.joblib"][place.min(1)]);
        let made = put_model(system, &format!("/v1/models/{model}/versions/{version}{promote}"), bytes).await;
        assert_eq!((made.status, &made.json()["state"]), (201, &json!("ready")), "{}", made.text());
    }
    let admin = system.admin().await.unwrap();
    for edge in 0..system.edges() {
        predict_soon(system, edge, &format!("/v1/models/{model}/predict"), &serde_json::from_str(ROW).unwrap(), &admin)
            .await;
    }
    model
}

async fn answering(system: &System, edge: usize, model: &str, who: &Credential, header: Option<&str>) -> String {
    let mut request = system.request(edge, Method::POST, &format!("/v1/models/{model}/predict"));
    if let Some(value) = header {
        request = request.header("X-Customer", value);
    }
    let answer = system.send(who.apply(request).header("Content-Type", "application/json").body(ROW)).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["version"].as_str().unwrap().to_owned()
}

async fn answers_everywhere(system: &System, model: &str, version: &str) {
    let admin = system.admin().await.unwrap();
    for edge in 0..system.edges() {
        eventually("the version answers", async || Ok(answering(system, edge, model, &admin, None).await == version))
            .await
            .unwrap();
    }
}

async fn a_version_is_promoted_and_rolled_back(system: &System) {
    let model = model(system, &["1", "2"]).await;
    let path = format!("/v1/models/{model}");
    answers_everywhere(system, &model, "1").await;
    let promoted = change(system, Method::POST, &format!("{path}/versions/2/promote"), &Value::Null).await;
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    assert_eq!((&promoted.json()["current"], &promoted.json()["history"]), (&json!("2"), &json!(["1"])));
    answers_everywhere(system, &model, "2").await;
    // What is added now waits to be promoted.
    assert_eq!(put_model(system, &format!("{path}/versions/3"), file("iris.joblib")).await.status, 201);
    answers_everywhere(system, &model, "2").await;
    let back = change(system, Method::POST, &format!("{path}/rollback"), &Value::Null).await;
    assert_eq!((&back.json()["current"], &back.json()["history"]), (&json!("1"), &json!([])), "{}", back.text());
    answers_everywhere(system, &model, "1").await;
    let nothing = change(system, Method::POST, &format!("{path}/rollback"), &Value::Null).await;
    assert!(problem(&nothing, 409).contains("nothing to roll"));
    let at_once = format!("{path}/versions/4?promote=true");
    assert_eq!(put_model(system, &at_once, file("iris.joblib")).await.status, 201);
    answers_everywhere(system, &model, "4").await;
    let none = change(system, Method::POST, &format!("{path}/versions/9/promote"), &Value::Null).await;
    assert!(problem(&none, 404).contains("no version 9"));
    let none = change(system, Method::POST, "/v1/models/none/rollback", &Value::Null).await;
    problem(&none, 404);
}

async fn shares_are_seen_and_stick(system: &System) {
    let model = model(system, &["1", "2"]).await;
    let admin = system.admin().await.unwrap();
    let path = format!("/v1/models/{model}/split");
    let half = json!({"shares": [{"version": "2", "percent": 50}], "sticky": "X-Customer"});
    let split = change(system, Method::PUT, &path, &half).await;
    assert_eq!(split.status, 200, "{}", split.text());
    assert_eq!(split.json()["shares"], json!([{"version": "2", "percent": 50.0}]));
    assert_eq!(split.json()["sticky"], "x-customer");
    let seen = async |edge| {
        let mut versions = Vec::new();
        for customer in 0..40 {
            versions.push(answering(system, edge, &model, &admin, Some(&format!("customer {customer}"))).await);
        }
        versions
    };
    eventually("both answer", async || Ok(seen(0).await.contains(&"2".to_owned()))).await.unwrap();
    let first = seen(0).await;
    let of_two = first.iter().filter(|version| *version == "2").count();
    assert!((5..=35).contains(&of_two), "{first:?}");
    // The same for every edge, and again.
    for edge in 0..system.edges() {
        eventually("the edges agree", async || Ok(seen(edge).await == first)).await.unwrap();
    }
    // Whoever had version 2 keeps it when it grows.
    let more = json!({"shares": [{"version": "2", "percent": 80}], "sticky": "x-customer"});
    assert_eq!(change(system, Method::PUT, &path, &more).await.status, 200);
    eventually("the share has grown", async || {
        let grown = seen(0).await;
        assert!(first.iter().zip(&grown).all(|(before, after)| before == "1" || after == "2"));
        Ok(grown != first)
    })
    .await
    .unwrap();
    // One caller stays with one version.
    let by_caller = json!({"shares": [{"version": "2", "percent": 50}], "sticky": "principal"});
    assert_eq!(change(system, Method::PUT, &path, &by_caller).await.json()["sticky"], "principal");
    eventually("one version answers one caller", async || {
        let seen = seen(0).await;
        Ok(seen.iter().all(|version| *version == seen[0]))
    })
    .await
    .unwrap();
    let ended = change(system, Method::DELETE, &path, &Value::Null).await;
    assert_eq!((ended.status, &ended.json()["shares"]), (200, &json!([])));
    answers_everywhere(system, &model, "1").await;
}

async fn what_can_not_be_divided_is_refused(system: &System) {
    let model = model(system, &["1", "2"]).await;
    let path = format!("/v1/models/{model}");
    let wine = put_model(system, &format!("{path}/versions/wine?promote=false"), file("wine.joblib")).await;
    assert_eq!(wine.status, 201, "{}", wine.text());
    let split = async |body: Value| change(system, Method::PUT, &format!("{path}/split"), &body).await;
    let share = |version: &str, percent: f64| json!({"version": version, "percent": percent});
    for (shares, status, told) in [
        (json!([share("2", 0.0)]), 422, "per cent from 0.01 to 100"),
        (json!([share("2", 60.0), share("1", 60.0)]), 422, "120 per cent together"),
        (json!([share("2", 10.0), share("2", 10.0)]), 422, "twice"),
        (json!([]), 422, "must be 1 to 16"),
        (json!([{"version": "2"}]), 422, "'percent'"),
        (json!([{"version": "..", "percent": 1}]), 422, "a version must be"),
        (json!([share("2", 1.0), {"name": "x"}]), 422, "number 2"),
        (json!([share("9", 10.0)]), 404, "no version 9"),
        (json!([share("wine", 10.0)]), 422, "13 features, not 4"),
    ] {
        let refused = split(json!({ "shares": shares })).await;
        problem(&refused, status);
        assert!(refused.text().contains(told), "{}", refused.text());
    }
    for sticky in ["Authorization", "x-api-key", "a b", ""] {
        let refused = split(json!({"shares": [share("2", 10.0)], "sticky": sticky})).await;
        assert!(problem(&refused, 422).contains("sticky"), "{sticky}");
    }
    let own = change(system, Method::PUT, &format!("{path}/shadow"), &json!({"version": "1"})).await;
    assert!(problem(&own, 409).contains("its own shadow"));
    let bad = change(system, Method::PUT, &format!("{path}/shadow"), &json!({"percent": 101, "tolerance": -1})).await;
    problem(&bad, 422);
    assert_eq!(bad.json()["errors"].as_array().unwrap().len(), 3, "{}", bad.text());
    // Nothing of it was done.
    let shown = system.get(&path, &system.admin().await.unwrap()).await.unwrap().json();
    assert_eq!((&shown["rollout"]["shares"], &shown["current"]), (&json!([]), &json!("1")));
}

async fn a_shadow_is_compared_and_dropped(system: &System) {
    let model = model(system, &["1", "2", "3"]).await;
    let admin = system.admin().await.unwrap();
    let path = format!("/v1/models/{model}");
    // The same file as version 1.
    let twin = put_model(system, &format!("{path}/versions/twin?promote=false"), file("iris.joblib")).await;
    assert_eq!(twin.status, 201, "{}", twin.text());
    for (version, same) in [("twin", true), ("2", false)] {
        let set = change(system, Method::PUT, &format!("{path}/shadow"), &json!({ "version": version })).await;
        assert_eq!(set.status, 200, "{}", set.text());
        let mut asked = 0;
        eventually("rows are compared", async || {
            assert_eq!(answering(system, 0, &model, &admin, None).await, "1");
            asked += 1;
            let shadow = system.get(&path, &admin).await?.json()["rollout"]["shadow"].clone();
            assert!(shadow["failed"] == 0 && shadow["skipped"] == 0, "{shadow}");
            let count = |outcome: &str| shadow[outcome].as_u64().unwrap_or_default();
            let (found, other) = if same { ("agreed", "differed") } else { ("differed", "agreed") };
            assert_eq!((count(other), count(found) <= asked), (0, true), "{shadow}");
            assert_eq!(shadow["greatest_difference"] == 0.0, same || count(found) == 0, "{shadow}");
            Ok(shadow["version"] == version && count(found) > 2)
        })
        .await
        .unwrap();
    }
    // Set again it goes on counting, and says so; a share is what it is rounded to.
    let again = json!({"version": "2", "percent": 0.015});
    let again = change(system, Method::PUT, &format!("{path}/shadow"), &again).await;
    let shadow = again.json()["shadow"].clone();
    assert!(shadow["differed"].as_u64().unwrap() > 2 && shadow["percent"] == 0.02, "{}", again.text());
    let ended = change(system, Method::DELETE, &format!("{path}/shadow"), &Value::Null).await;
    assert_eq!((ended.status, ended.json().get("shadow")), (200, None));
}

async fn what_answers_is_neither_removed_nor_unloaded(system: &System) {
    let model = model(system, &["1", "2"]).await;
    let admin = system.admin().await.unwrap();
    let version = |version: &str| format!("/v1/models/{model}/versions/{version}");
    for (method, path, body) in
        [(Method::DELETE, version("1"), Value::Null), (Method::POST, format!("{}/unload", version("1")), json!({}))]
    {
        let refused = change(system, method, &path, &body).await;
        assert!(problem(&refused, 409).contains("it is the current version; promote another first"));
    }
    let out = change(system, Method::POST, &format!("{}/unload", version("2")), &json!({"reason": "too slow"})).await;
    assert_eq!((out.status, &out.json()["unloaded"]), (200, &json!(["2"])), "{}", out.text());
    let shown = async || {
        let versions = system.get(&format!("/v1/models/{model}"), &admin).await?.json()["versions"].clone();
        std::io::Result::Ok(versions.as_array().unwrap().iter().find(|of| of["version"] == "2").unwrap().clone())
    };
    eventually("nobody holds it", async || Ok(shown().await?["workers"] == 0)).await.unwrap();
    let two = shown().await.unwrap();
    assert_eq!((&two["state"], &two["reason"]), (&json!("unloaded"), &json!("by user:admin: too slow")));
    let body: Value = serde_json::from_str(ROW).unwrap();
    let refused = system.post_json(&format!("{}/predict", version("2")), &body, &admin).await.unwrap();
    assert!(problem(&refused, 503).contains("is unloaded"));
    let unable = change(system, Method::POST, &format!("{}/promote", version("2")), &Value::Null).await;
    assert!(problem(&unable, 409).contains("load it first"));
    let back = change(system, Method::POST, &format!("{}/load", version("2")), &Value::Null).await;
    assert_eq!((back.status, &back.json()["unloaded"]), (200, &json!([])), "{}", back.text());
    assert_eq!(predict_soon(system, 0, &format!("{}/predict", version("2")), &body, &admin).await.status, 200);
    assert_eq!(change(system, Method::DELETE, &version("2"), &Value::Null).await.status, 204);
    // The last one may go, whatever names it.
    eventually("only one is left", async || {
        let answer = change(system, Method::DELETE, &version("1"), &Value::Null).await;
        Ok(answer.status == 204)
    })
    .await
    .unwrap();
    // Added again, it begins anew.
    assert_eq!(put_model(system, &version("5"), file("iris.joblib")).await.status, 201);
    answers_everywhere(system, &model, "5").await;
    // What was added last answers, though nobody promoted it.
    assert_eq!(put_model(system, &version("6"), file("iris.joblib")).await.status, 201);
    for (method, path) in [(Method::POST, format!("{}/unload", version("6"))), (Method::DELETE, version("6"))] {
        let refused = change(system, method, &path, &json!({})).await;
        assert!(problem(&refused, 409).contains("it is the current version; promote another first"));
    }
}

async fn the_commands_roll_out(system: &System) {
    let model = model(system, &["1", "2"]).await;
    let run = async |args: &[&str]| {
        let output = system.cli([&["models"], args].concat()).await.unwrap();
        assert!(output.success, "{args:?}: {}", output.stderr);
        output.stdout
    };
    let promoted = run(&["promote", &model, "2"]).await;
    assert!(promoted.contains("current  2") && promoted.contains("before   1"), "{promoted}");
    assert!(run(&["rollback", &model]).await.contains("current  1"));
    let split = run(&["split", &model, "2=12.5", "--sticky", "principal"]).await;
    assert!(split.contains("12.5 % to version 2") && split.contains("sticky by  principal"), "{split}");
    assert!(!run(&["split", &model, "--off"]).await.contains("share"));
    assert!(run(&["shadow", &model, "2", "--percent", "25"]).await.contains("version 2, 25.0 % of requests"));
    eventually("the shadow is listed", async || {
        let list = run(&["list"]).await;
        let line = |version: &str| {
            list.lines().find(|line| line.split_whitespace().take(2).eq([model.as_str(), version])).unwrap().to_owned()
        };
        assert!(line("1").contains("ready") && line("1").ends_with("current"), "{list}");
        Ok(line("2").ends_with("shadow"))
    })
    .await
    .unwrap();
    assert!(!run(&["shadow", &model, "--off"]).await.contains("shadow"));
    run(&["unload", &model, "2", "--reason", "of no use"]).await;
    let shown = async || run(&["show", &model, "--version", "2"]).await;
    eventually("the reason is shown", async || Ok(shown().await.contains("of no use"))).await.unwrap();
    assert!(shown().await.contains("FEATURE"));
    run(&["load", &model, "2"]).await;
    let json: Value = serde_json::from_str(&run(&["show", &model, "--json"]).await).unwrap();
    assert_eq!(json["versions"].as_array().unwrap().len(), 2);
    let wrong = system.cli(["models", "split", &model, "2"]).await.unwrap();
    assert!(!wrong.success && wrong.stderr.contains("VERSION=PERCENT"), "{}", wrong.stderr);
    let none = system.cli(["models", "show", &model, "--version", "9"]).await.unwrap();
    assert!(!none.success && none.stderr.contains("no version 9"), "{}", none.stderr);
    let removed = run(&["remove", &model]).await;
    assert_eq!(removed.lines().count(), 2, "{removed}");
}

async fn no_request_is_lost_while_versions_change(system: &System) {
    let model = model(system, &["1", "2"]).await;
    let admin = system.admin().await.unwrap();
    let (end, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let caller = async |edge| {
        while !end.load(Ordering::Relaxed) {
            // Fails on anything but 200.
            answering(system, edge, &model, &admin, None).await;
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let operator = async {
        let path = format!("/v1/models/{model}");
        let more = async || {
            let before = answered.load(Ordering::Relaxed);
            eventually("requests are answered", async || Ok(answered.load(Ordering::Relaxed) > before + 50)).await
        };
        for round in 0..3 {
            let half = json!({"shares": [{"version": "2", "percent": 50}]});
            assert_eq!(change(system, Method::PUT, &format!("{path}/split"), &half).await.status, 200);
            more().await.unwrap();
            let promote = format!("{path}/versions/2/promote");
            assert_eq!(change(system, Method::POST, &promote, &Value::Null).await.status, 200);
            more().await.unwrap();
            // A version that is added and answers at once, where nobody holds it yet.
            let added = format!("{path}/versions/new-{round}?promote=true");
            assert_eq!(put_model(system, &added, file("iris_other.joblib")).await.status, 201);
            more().await.unwrap();
            for _ in 0..2 {
                let back = change(system, Method::POST, &format!("{path}/rollback"), &Value::Null).await;
                assert_eq!(back.status, 200, "{}", back.text());
            }
            let gone = change(system, Method::DELETE, &format!("{path}/versions/new-{round}"), &Value::Null).await;
            assert_eq!(gone.status, 204, "{}", gone.text());
            more().await.unwrap();
        }
        end.store(true, Ordering::Relaxed);
    };
    let callers = (0..8).map(|n| caller(n % system.edges()));
    tokio::join!(operator, futures_util::future::join_all(callers));
    assert!(answered.into_inner() > 500);
}

async fn what_nobody_holds_is_not_promoted(kind: Kind) {
    let config = format!("{GENEROUS}\n[inference]\nhold = [\"team=a\"]\n");
    let system = private(kind, Options::with_config(config)).await;
    let admin = system.admin().await.unwrap();
    let put = async |version: &str, team: &str| {
        let labels = json!({"labels": {"team": team}}).to_string();
        let form = Form::new().text("signature", labels).part("file", Part::bytes(file("iris.joblib")));
        let path = format!("/v1/models/{version}");
        system.send(admin.apply(system.request(0, Method::PUT, &path).multipart(form))).await.unwrap()
    };
    for model in ["held/versions/1?promote=true", "newest/versions/1"] {
        let added = put(model, "a").await;
        assert_eq!(added.status, 201, "{}", added.text());
    }
    let (promoted, added) = tokio::join!(put("held/versions/2?promote=true", "b"), put("newest/versions/2", "b"));
    assert!(problem(&promoted, 503).contains("no worker holds held version 2"));
    assert_eq!(added.status, 201, "{}", added.text());
    answers_everywhere(&system, "held", "1").await;
    // An older version answers for one that nobody holds, and stays as long as it does.
    answers_everywhere(&system, "newest", "1").await;
    let (one, nothing) = ("/v1/models/newest/versions/1", json!({}));
    let unload = format!("{one}/unload");
    let (unloaded, removed) = tokio::join!(
        change(&system, Method::POST, &unload, &nothing),
        change(&system, Method::DELETE, one, &Value::Null)
    );
    for refused in [unloaded, removed] {
        assert!(problem(&refused, 503).contains("no worker holds newest version 2"));
    }
    answers_everywhere(&system, "newest", "1").await;
    let shown = system.get("/v1/models/held", &admin).await.unwrap().json();
    assert_eq!((&shown["current"], &shown["rollout"]["current"]), (&json!("1"), &json!("1")), "{shown}");
    assert_eq!(shown["versions"].as_array().unwrap().len(), 2);
}
