//! The documentation page, the document, health and metrics.

use arborgate_testkit::system::{Credential, System};
use reqwest::Method;

use crate::support::{on_both_buses, problem, secure, setosa};

on_both_buses!(
    the_document_is_the_one_that_is_printed,
    the_page_runs_no_script_but_its_own,
    health_is_told_to_anybody_in_a_word,
    each_process_says_whether_it_is_ready,
    each_process_counts,
);

async fn the_document_is_the_one_that_is_printed(system: &System) {
    let answer = system.get("/openapi.json", &Credential::None).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    secure(&answer);
    let printed = system.command("", &["openapi".into()], &[]).await.unwrap();
    assert_eq!(answer.text(), printed.stdout);
    assert!(answer.json()["openapi"].as_str().unwrap().starts_with("3."));
}

async fn the_page_runs_no_script_but_its_own(system: &System) {
    for path in ["/docs", "/docs/"] {
        let page = system.get(path, &Credential::None).await.unwrap();
        assert_eq!(page.status, 200);
        secure(&page);
        let policy = page.header("content-security-policy").to_owned();
        let scripts = policy.split(';').map(str::trim).find(|rule| rule.starts_with("script-src")).unwrap();
        assert_eq!(scripts, "script-src 'self'");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let text = page.text();
        let tags: Vec<&str> =
            text.split("<script").skip(1).map(|rest| rest.split("</script>").next().unwrap()).collect();
        assert!(!tags.is_empty());
        for tag in tags {
            let (attributes, content) = tag.split_once('>').unwrap();
            assert!(attributes.contains("src=\"/"), "{attributes}");
            assert_eq!(content, "");
            let path = attributes.split('"').nth(1).unwrap();
            let script = system.get(path, &Credential::None).await.unwrap();
            assert_eq!(script.status, 200, "{path}");
            assert!(script.header("content-type").contains("javascript"));
        }
        assert!(!text.contains("javascript:") && !text.contains(" onload=") && !text.contains("http"), "{text}");
    }
    let home = system.get("/", &Credential::None).await.unwrap();
    assert_eq!((home.status, home.header("location")), (307, "/docs"));
    problem(&system.get("/docs/../../etc/passwd%00", &Credential::None).await.unwrap(), 404);
}

async fn health_is_told_to_anybody_in_a_word(system: &System) {
    for path in ["/livez", "/readyz", "/readyz/"] {
        for edge in 0..2 {
            let answer = system.send(system.request(edge, Method::GET, path)).await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "{\"status\":\"ok\"}"));
        }
    }
    // Metrics are on the operations listener alone.
    problem(&system.get("/metrics", &Credential::None).await.unwrap(), 404);
}

async fn each_process_says_whether_it_is_ready(system: &System) {
    for (name, address) in system.operations().unwrap() {
        for path in ["/livez", "/readyz"] {
            let answer = system.client().get(format!("http://{address}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{name}");
        }
        let health = system.command("", &["health".into(), "--address".into(), address.to_string().into()], &[]).await;
        let health = health.unwrap();
        assert!(health.success && health.stdout.contains("ready"), "{name} {} {}", health.stdout, health.stderr);
    }
}

async fn each_process_counts(system: &System) {
    let admin = system.admin().await.unwrap();
    for edge in 0..2 {
        assert_eq!(system.post_json_at(edge, "/predict", &setosa(), &admin).await.unwrap().status, 200);
    }
    for (name, address) in system.operations().unwrap() {
        let answer = system.client().get(format!("http://{address}/metrics")).send().await.unwrap();
        let text = answer.text().await.unwrap();
        assert!(text.ends_with("# EOF\n"), "{name}");
        let ours: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE arborgate_")?.split(' ').next()).collect();
        assert!(!ours.is_empty(), "{name}: {text}");
        for metric in ours {
            let whose = metric.split('_').next().unwrap();
            let known = ["auth", "limiter", "crypto", "inference", "edge", "bus", "nats"].contains(&whose);
            assert!(known, "{name}: {metric} does not say whose it is");
        }
        if name.starts_with("edge") || name.starts_with("all-in-one") {
            let counted = text.lines().find_map(|line| {
                line.strip_prefix("arborgate_edge_requests_total{operation=\"predict\",status=\"2xx\"} ")
            });
            let counted: u64 = counted.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
            assert!(counted >= 1, "{name}");
        }
    }
}
