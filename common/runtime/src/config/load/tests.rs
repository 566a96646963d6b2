//! Layers, types, faults and their origins.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::config::{ByteSize, HumanDuration, Secret};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    edge: Edge,
    #[serde(default)]
    nats: Option<Nats>,
    #[serde(default)]
    roles: Vec<String>,
    mode: Mode,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Edge {
    listen: SocketAddr,
    workers: u16,
    ratio: f64,
    name: String,
    tls: bool,
    timeout: HumanDuration,
    body: ByteSize,
    ports: Vec<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nats {
    url: String,
    password: Option<Secret>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Mode {
    AllInOne,
    Distributed,
}

const DEFAULTS: &str = r#"
        mode = "all_in_one"
        [edge]
        listen = "127.0.0.1:8443"
        workers = 2
        ratio = 0.5
        name = "edge"
        tls = true
        timeout = "5s"
        body = "1MiB"
        ports = [1, 2]
    "#;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn problems(file_text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Vec<Problem> {
    let file = file(file_text);
    load::<Settings>(DEFAULTS, Some(file.path()), env(variables), &env(flags)).unwrap_err().problems
}

#[test]
fn each_layer_covers_the_one_before() {
    let file = file("[edge]\nworkers = 3\nname = \"file\"\nratio = 1\n");
    let variables = env(&[
        ("ARBORGATE__EDGE__WORKERS", "4"),
        ("ARBORGATE__EDGE__NAME", "8443"),
        ("ARBORGATE__EDGE__TIMEOUT", "250ms"),
        ("ARBORGATE__EDGE__BODY", "64KiB"),
        ("ARBORGATE__EDGE__TLS", "false"),
        ("ARBORGATE__EDGE__PORTS", "7, 8,9"),
        ("ARBORGATE__MODE", "distributed"),
        ("ARBORGATE__ROLES", "[\"edge\", \"auth\"]"),
        ("ARBORGATE_ADMIN_PASSWORD", "hunter2"),
        ("HOME", "/nowhere"),
    ]);
    let flags = env(&[("edge.workers", "5")]);
    let settings: Settings = load(DEFAULTS, Some(file.path()), variables, &flags).unwrap();
    assert_eq!(settings.edge.workers, 5);
    assert_eq!(settings.edge.name, "8443");
    assert_eq!(settings.edge.ratio.to_bits(), 1.0f64.to_bits());
    assert_eq!(settings.edge.timeout.get(), Duration::from_millis(250));
    assert_eq!(settings.edge.body.bytes(), 65536);
    assert_eq!(settings.edge.listen.port(), 8443);
    assert!(!settings.edge.tls);
    assert_eq!(settings.edge.ports, [7, 8, 9]);
    assert_eq!(settings.roles, ["edge", "auth"]);
    assert_eq!(settings.mode, Mode::Distributed);
    assert!(settings.nats.is_none());
}

#[test]
fn a_table_may_be_one_variable_with_keys_of_it_beside() {
    let variables = env(&[
        ("ARBORGATE__NATS", "{ url = \"nats://one\" }"),
        ("ARBORGATE__NATS__PASSWORD", "12345"),
        ("ARBORGATE__EDGE", "{ workers = 9 }"),
    ]);
    let settings: Settings = load(DEFAULTS, None, variables, &[]).unwrap();
    let nats = settings.nats.unwrap();
    assert_eq!(nats.url, "nats://one");
    assert_eq!(nats.password.unwrap().expose(), "12345");
    assert_eq!((settings.edge.workers, settings.edge.name.as_str()), (9, "edge"));
}

#[test]
fn all_faults_are_told_with_key_and_origin() {
    let found = problems(
        "[edge]\nlisten = \"nowhere\"\ntimeout = 5\n[egde]\nx = 1\n",
        &[("ARBORGATE__EDGE__WORKERS", "70000"), ("ARBORGATE__EDGE__LISTNE", "x")],
        &[("edge.body", "1 parsec")],
    );
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    let all = told.join("\n");
    assert_eq!(found.len(), 6, "{all}");
    let of = |key: &str| found.iter().find(|problem| problem.key == key).unwrap_or_else(|| panic!("{key}: {all}"));
    assert!(matches!(of("edge.listen").origin, Origin::File { line: Some(2), .. }), "{all}");
    assert!(of("edge.timeout").message.contains("unit"), "{all}");
    assert!(of("egde").message.contains("did you mean `edge`"), "{all}");
    assert_eq!(of("edge.workers").origin, Origin::Env("ARBORGATE__EDGE__WORKERS".to_owned()));
    assert!(of("edge.workers").message.contains("u16"), "{all}");
    assert!(of("edge.listne").message.contains("did you mean `listen`"), "{all}");
    assert_eq!(of("edge.body").origin, Origin::Flag);
}

#[test]
fn wrong_types_and_variants_are_named() {
    let found = problems("mode = \"both\"\n[edge]\ntls = \"yes\"\nname = 3\nports = [1, \"two\"]\n", &[], &[]);
    let keys: Vec<_> = found.iter().map(|problem| problem.key.as_str()).collect();
    for key in ["mode", "edge.tls", "edge.name", "edge.ports.1"] {
        assert!(keys.contains(&key), "{key}: {found:?}");
    }
    assert_eq!(found.len(), 4);
}

#[test]
fn a_missing_key_is_named_once() {
    let found = problems("[nats]\npassword = \"x\"\n", &[], &[]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].key, "nats.url");
    assert!(found[0].message.contains("required"));
    // removed because it was wrong: not told a second time as missing
    let found = problems("[nats]\nurl = 3\n", &[], &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0].origin, Origin::File { line: Some(2), .. }));
}

#[test]
fn a_secret_is_never_repeated() {
    for text in ["[nats]\nurl = \"n\"\npassword = 424242\n", "[nats]\nurl = \"n\"\npassword = s424242\n"] {
        let found = problems(text, &[], &[]);
        let told: String = found.iter().map(ToString::to_string).collect();
        assert!(!told.contains("424242"), "{told}");
        assert!(told.contains("line 3"), "{told}");
    }
    let variables = env(&[("ARBORGATE__NATS__URL", "n"), ("ARBORGATE__NATS__PASSWORD", "hunter2")]);
    let settings: Settings = load(DEFAULTS, None, variables, &[]).unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("[redacted]") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn names_without_levels_are_refused() {
    for name in ["ARBORGATE__", "ARBORGATE__EDGE__", "ARBORGATE__EDGE____LISTEN"] {
        let found = problems("", &[(name, "x")], &[]);
        assert_eq!(found[0].origin, Origin::Env(name.to_owned()));
    }
}

#[test]
fn a_file_that_can_not_be_read_is_named() {
    let found = load::<Settings>(DEFAULTS, Some(Path::new("/nonexistent/a.toml")), [], &[]).unwrap_err();
    assert!(found.to_string().contains("/nonexistent/a.toml"), "{found}");
    let large = file(&"#".repeat(FILE_LIMIT as usize + 1));
    let found = load::<Settings>(DEFAULTS, Some(large.path()), [], &[]).unwrap_err();
    assert!(found.to_string().contains("larger"), "{found}");
    let deep = file(&format!("x = {}", "[".repeat(100_000)));
    assert!(load::<Settings>(DEFAULTS, Some(deep.path()), [], &[]).is_err());
}

#[test]
fn an_array_of_tables_from_the_environment() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policies {
        policies: Vec<Policy>,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Policy {
        name: String,
        limit: u32,
    }
    let variables = env(&[("ARBORGATE__POLICIES", "[{ name = \"token\", limit = 5 }]")]);
    let read: Policies = load("policies = []", None, variables, &[]).unwrap();
    assert_eq!((read.policies[0].name.as_str(), read.policies[0].limit), ("token", 5));
    let variables = env(&[("ARBORGATE__POLICIES", "[{ name = \"token\", limit = -5 }]")]);
    let found = load::<Policies>("policies = []", None, variables, &[]).unwrap_err();
    assert_eq!(found.problems[0].key, "policies.0.limit");
    assert_eq!(found.problems[0].origin, Origin::Env("ARBORGATE__POLICIES".to_owned()));
}

#[test]
fn rules_of_the_callers_own_are_told_alike() {
    let variables = env(&[("ARBORGATE__EDGE__WORKERS", "0")]);
    let found = load_validated::<Settings>(DEFAULTS, None, variables, &[], |settings, report| {
        if settings.edge.workers == 0 {
            report.add("edge.workers", "must be at least 1");
        }
    })
    .unwrap_err();
    assert_eq!(
        found.to_string(),
        "configuration: `edge.workers` in the environment variable ARBORGATE__EDGE__WORKERS: must be at least 1"
    );
}

proptest::proptest! {
    #[test]
    fn no_input_ends_in_a_panic(text in ".{0,200}", name in "ARBORGATE__[A-Z_]{0,20}", value in ".{0,60}") {
        let file = file(&text);
        let result = load::<Settings>(DEFAULTS, Some(file.path()), [(name, value)], &[]);
        if let Err(error) = result {
            proptest::prop_assert!(!error.problems.is_empty());
        }
    }
}
