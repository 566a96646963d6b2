//! What a process's telemetry writes to standard error, in a process of its own: the test starts itself again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

use arborgate_runtime::Error;
use arborgate_runtime::telemetry::{self, Config, Format, OtlpConfig};
use serde_json::Value;

const ROLE: &str = "RUNTIME_TEST_CHILD";
const EVIL: &str = "bob\n2026-01-01T00:00:00Z  INFO admin signed in \u{1b}[31m";

/// Logs in another process, and gives what it wrote to standard error.
fn logged(test: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, "log")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn log(config: &Config) {
    let guard = telemetry::init(config, "edge", "edge-1").unwrap();
    assert_eq!(telemetry::is_exporting(), config.otlp.endpoint.is_some());
    tracing::info_span!(target: "arborgate_edge", "request", path = %EVIL).in_scope(|| {
        tracing::info!(user = %EVIL, "signed in");
        tracing::debug!("not shown");
    });
    drop(guard);
    assert!(!telemetry::is_exporting());
    tracing::info!("after");
}

#[test]
fn text_stays_on_its_line() {
    if std::env::var_os(ROLE).is_some() {
        return log(&Config::default());
    }
    let text = logged("text_stays_on_its_line");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains(r"user=bob\n2026") && lines[0].contains(r"request{path=bob\n2026"), "{text}");
    assert!(lines[1].ends_with("after"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn json_is_an_object_a_line_also_when_no_collector_answers() {
    if std::env::var_os(ROLE).is_some() {
        let otlp = OtlpConfig { endpoint: Some("http://127.0.0.1:1".to_owned()), ..OtlpConfig::default() };
        // spans that can not be exported, and are tried when the guard is dropped
        return log(&Config { format: Format::Json, filter: "info".to_owned(), otlp });
    }
    let text = logged("json_is_an_object_a_line_also_when_no_collector_answers");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["user"].as_str(), lines[0]["message"].as_str()), (Some(EVIL), Some("signed in")));
    assert_eq!(lines[0]["span"]["path"].as_str(), Some(EVIL));
    assert_eq!(lines.last().unwrap()["message"], "after");
    let lost = lines.iter().find(|line| line["target"] == "opentelemetry_sdk").unwrap_or_else(|| panic!("{text}"));
    assert_eq!(lost["level"], "ERROR");
}

#[test]
fn a_filter_that_can_not_be_read_is_named() {
    let config = Config { filter: "arborgate_edge=loud".to_owned(), ..Config::default() };
    let error = telemetry::init(&config, "edge", "edge-1").unwrap_err();
    assert!(matches!(error, Error::Filter { .. }));
    assert!(error.to_string().contains("arborgate_edge=loud"), "{error}");
}
