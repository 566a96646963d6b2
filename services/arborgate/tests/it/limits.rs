//! Rate limits, each on a system of its own.

use std::time::{Duration, Instant};

use arborgate_testkit::system::{ADMIN_PASSWORD, Answer, Credential, Kind, Options, System, eventually};
use futures_util::future::join_all;
use reqwest::Method;

use crate::support::{on_both_kinds, private, problem, setosa};

on_both_kinds!(
    five_sign_ins_a_minute_through_all_edges,
    a_repeated_request_id_makes_no_request_free,
    ten_a_minute_by_principal_through_all_edges,
    throttling_keeps_requests_waiting,
    a_flood_is_kept_from_everything_that_the_edge_answers,
);

fn is_refusal(answer: &Answer, policy: &str) {
    assert!(problem(answer, 429).contains(policy), "{}", answer.text());
    let after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");
    assert!(answer.header("ratelimit").starts_with(&format!("\"{policy}\";r=0;t=")), "{}", answer.header("ratelimit"));
    assert!(answer.header("ratelimit-policy").starts_with(&format!("\"{policy}\";q=")));
}

/// As it is delivered: five in any minute from one address.
async fn five_sign_ins_a_minute_through_all_edges(kind: Kind) {
    let system = private(kind, Options::with_config("")).await;
    let first = system.sign_in(0, "admin", ADMIN_PASSWORD).await.unwrap();
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.header("ratelimit-policy"), "\"token\";q=5;w=60");
    assert_eq!(first.header("ratelimit"), "\"token\";r=4;t=60");
    // All at once, good and bad, through both: four more.
    let many = (0..20).map(|n| {
        let password = if n % 2 == 0 { ADMIN_PASSWORD } else { "wrong" };
        system.sign_in(n / 2, "admin", password)
    });
    let answers: Vec<Answer> = join_all(many).await.into_iter().map(Result::unwrap).collect();
    let (refused, let_in): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 429);
    assert_eq!(let_in.len(), 4, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    assert!(let_in.iter().all(|answer| [200, 401].contains(&answer.status)));
    refused.into_iter().for_each(|answer| is_refusal(answer, "token"));
    // A header that no proxy of ours wrote buys nothing.
    let request = system.request(1, Method::POST, "/token").header("X-Forwarded-For", "203.0.113.9");
    let form = [("username", "admin"), ("password", ADMIN_PASSWORD)];
    is_refusal(&system.send(request.form(&form)).await.unwrap(), "token");
    assert_eq!(system.request(0, Method::GET, "/livez").send().await.unwrap().status(), 200);
}

async fn a_repeated_request_id_makes_no_request_free(kind: Kind) {
    let system = private(kind, Options::with_config("")).await;
    let mut statuses = Vec::new();
    for n in 0..8 {
        let request = system.request(n, Method::POST, "/token").header("X-Request-Id", "the-same");
        let form = [("username", "admin"), ("password", "a guess")];
        statuses.push(system.send(request.form(&form)).await.unwrap().status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
}

const TOKENS: &str = r#"
[[edge.policies]]
name = "token"
operations = ["token"]
by = "address"
permits = 1000
window = "1m"
"#;

async fn predict(system: &System, count: usize, who: &arborgate_testkit::system::Credential) -> Vec<Answer> {
    let row = setosa();
    let asked = join_all((0..count).map(|n| system.post_json_at(n, "/predict", &row, who))).await;
    asked.into_iter().map(Result::unwrap).collect()
}

async fn ten_a_minute_by_principal_through_all_edges(kind: Kind) {
    let config = format!(
        "{TOKENS}
[[edge.policies]]
name = \"ten\"
operations = [\"predict\", \"predict_model\"]
roles = [\"predictor\"]
by = \"principal\"
permits = 10
window = \"1m\"
"
    );
    let system = private(kind, Options::with_config(config)).await;
    system.settle().await.unwrap();
    for name in ["ann", "ben"] {
        let who = system.new_user(name, "predictor").await.unwrap();
        let answers = predict(&system, 30, &who).await;
        let let_in = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(let_in, 10, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
        answers.iter().filter(|answer| answer.status != 200).for_each(|answer| is_refusal(answer, "ten"));
        // The model named counts with the default one.
        is_refusal(&system.post_json_at(1, "/v1/models/iris/predict", &setosa(), &who).await.unwrap(), "ten");
    }
    let (key, _) = system.new_key("program", "predictor").await.unwrap();
    assert_eq!(system.post_json("/predict", &setosa(), &key).await.unwrap().status, 200);
    // Roles that the policy does not name are not counted.
    let admin = system.admin().await.unwrap();
    assert!(predict(&system, 15, &admin).await.iter().all(|answer| answer.status == 200));
}

async fn throttling_keeps_requests_waiting(kind: Kind) {
    let config = format!(
        "{TOKENS}
[[edge.policies]]
name = \"slow\"
operations = [\"predict\"]
by = \"principal\"
permits = 2
window = \"2s\"
mode = \"throttle\"
max_wait = \"5s\"
"
    );
    let system = private(kind, Options::with_config(config)).await;
    system.settle().await.unwrap();
    let who = system.new_user("ann", "predictor").await.unwrap();
    let begun = Instant::now();
    let answers = predict(&system, 12, &who).await;
    let took = begun.elapsed();
    let let_in = answers.iter().filter(|answer| answer.status == 200).count();
    // Two at once, two after two seconds and two after four; six seconds is too long to wait.
    assert_eq!(let_in, 6, "{:?}", answers.iter().map(|a| a.status).collect::<Vec<_>>());
    answers.iter().filter(|answer| answer.status != 200).for_each(|answer| is_refusal(answer, "slow"));
    assert!(took >= Duration::from_millis(3900), "{took:?}");
}

async fn a_flood_is_kept_from_everything_that_the_edge_answers(kind: Kind) {
    let options = Options::with_config("[edge.flood]\nper_second = 1\nburst = 1\n");
    let system = private(kind, Options { edges: 1, ..options }).await;
    for path in ["/docs", "/docs/swagger-ui-bundle.js", "/openapi.json", "/nothing/here", "/predict", "/livez"] {
        // One a second gets through.
        let refused = async || Ok(system.get(path, &Credential::None).await?.status == 429);
        eventually(path, refused).await.unwrap();
    }
    let (_, edge) = system
        .operations()
        .unwrap()
        .into_iter()
        .find(|(name, _)| name.starts_with("edge") || name.starts_with("all-in-one"))
        .unwrap();
    let metrics = system.client().get(format!("http://{edge}/metrics")).send().await.unwrap().text().await.unwrap();
    let counted = metrics
        .lines()
        .find_map(|line| line.strip_prefix("arborgate_edge_requests_total{operation=\"other\",status=\"4xx\"} "));
    assert!(counted.unwrap_or_else(|| panic!("{metrics}")).parse::<u64>().unwrap() >= 4, "{counted:?}");
}
