//! Models as tables.

use reqwest::Method;
use serde_json::Value;

use super::{model_path, rollout};
use crate::console;
use crate::error::Error;
use crate::operator::client::Client;
use crate::operator::{cell, show};

pub(super) async fn list(client: &Client) -> Result<(), Error> {
    let models = client.json(client.request(Method::GET, "/v1/models")).await?;
    if client.json {
        return console::json(&models);
    }
    let models: Vec<&Value> = models.as_array().into_iter().flatten().collect();
    console::print(&versions(&models))
}

pub(super) async fn model(client: &Client, name: &str) -> Result<(), Error> {
    let model = client.json(client.request(Method::GET, &model_path(name))).await?;
    if client.json {
        return console::json(&model);
    }
    console::print(&versions(&[&model]))?;
    match &model["rollout"] {
        Value::Null => Ok(()),
        rollout => console::print(&format!("\n{}", rollout::text(rollout))),
    }
}

pub(super) async fn version(client: &Client, name: &str, version: &str) -> Result<(), Error> {
    let model = client.json(client.request(Method::GET, &model_path(name))).await?;
    let found = model["versions"].as_array().into_iter().flatten().find(|of| of["version"] == version);
    let Some(found) = found else {
        return Err(Error::Refused(format!(
            "'{name}' has no version {version}; `arborgate models show {name}` lists them"
        )));
    };
    if client.json {
        return console::json(found);
    }
    let said = [
        ("STATE", "state"),
        ("REASON", "reason"),
        ("WORKERS", "workers"),
        ("TASK", "task"),
        ("SOURCE", "source"),
        ("SHA-256", "digest"),
        ("SIGNED BY", "signed_by"),
        ("ADDED", "created_at"),
        ("BY", "created_by"),
        ("DESCRIPTION", "description"),
    ];
    let lines = said.iter().filter(|(_, field)| !found[*field].is_null());
    let mut rows: Vec<Vec<String>> =
        lines.map(|(head, field)| vec![(*head).to_owned(), cell(found.get(*field))]).collect();
    let labels = found["labels"].as_array().into_iter().flatten();
    let label = |of: &Value| format!("{}={}", cell(of.get("name")), cell(of.get("value")));
    rows.extend(labels.map(|of| vec!["LABEL".to_owned(), label(of)]));
    for output in found["classes"].as_array().into_iter().flatten() {
        let classes = output.as_array().into_iter().flatten().map(|class| cell(class.get("label")));
        rows.push(vec!["CLASSES".to_owned(), classes.collect::<Vec<_>>().join(", ")]);
    }
    let heads: [&str; 2] = ["VERSION", version];
    console::print(&format!("{}\n", console::table(&heads, &rows)))?;
    let fields = [
        ("FEATURE", "name"),
        ("TYPE", "type"),
        ("MISSING", "missing"),
        ("MIN", "min"),
        ("MAX", "max"),
        ("UNIT", "unit"),
        ("DESCRIPTION", "description"),
    ];
    show(client, &found["features"], &fields)
}

/// A line a version.
fn versions(models: &[&Value]) -> String {
    let mut rows = Vec::new();
    for model in models {
        let shares = model["rollout"]["shares"].as_array();
        for version in model["versions"].as_array().into_iter().flatten() {
            let mut marks = Vec::new();
            if version["version"] == model["current"] {
                marks.push("current".to_owned());
            }
            if model["default"] == true && version["version"] == model["current"] {
                marks.push("default".to_owned());
            }
            let share = shares.into_iter().flatten().find(|share| share["version"] == version["version"]);
            marks.extend(share.map(|share| format!("{} %", share["percent"])));
            if model["rollout"]["shadow"]["version"] == version["version"] && version["version"].is_string() {
                marks.push("shadow".to_owned());
            }
            rows.push(vec![
                cell(model.get("name")),
                cell(version.get("version")),
                cell(version.get("state")),
                cell(version.get("workers")),
                cell(version.get("source")),
                version["features"].as_array().map_or(0, Vec::len).to_string(),
                version["trees"].to_string(),
                marks.join(","),
            ]);
        }
    }
    console::table(&["MODEL", "VERSION", "STATE", "WORKERS", "SOURCE", "FEATURES", "TREES", "IS"], &rows)
}
