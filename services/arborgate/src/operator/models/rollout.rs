//! Which version of a model answers.

use std::fmt::Write;

use clap::Args;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::model_path;
use crate::console;
use crate::error::Error;
use crate::operator::cell;
use crate::operator::client::Client;

#[derive(Debug, Args)]
pub(crate) struct SplitOptions {
    /// The model's name
    name: String,
    /// VERSION=PERCENT each; the current version answers the rest
    #[arg(value_name = "VERSION=PERCENT", required_unless_present = "off", value_parser = share)]
    shares: Vec<(String, f64)>,
    /// `principal`, or a header's name: the same one is answered by the same version
    #[arg(long, value_name = "BY")]
    sticky: Option<String>,
    /// End the split
    #[arg(long, conflicts_with_all = ["shares", "sticky"])]
    off: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShadowOptions {
    /// The model's name
    name: String,
    /// The version
    #[arg(required_unless_present = "off")]
    version: Option<String>,
    /// Of the requests
    #[arg(long, default_value = "100")]
    percent: f64,
    /// Values agree that differ by at most this, relative to the value
    #[arg(long)]
    tolerance: Option<f64>,
    /// End the shadow
    #[arg(long, conflicts_with_all = ["version", "tolerance"])]
    off: bool,
}

fn share(text: &str) -> Result<(String, f64), String> {
    let (version, percent) = text.split_once('=').ok_or("is given as VERSION=PERCENT, such as 2=10")?;
    let percent = percent.trim_end_matches('%').trim().parse().map_err(|_| "has no number of per cent after '='")?;
    Ok((version.to_owned(), percent))
}

pub(super) async fn split(options: SplitOptions, client: &Client) -> Result<(), Error> {
    let path = format!("{}/split", model_path(&options.name));
    if options.off {
        return told(client, client.request(Method::DELETE, &path)).await;
    }
    let shares = options.shares.iter().map(|(version, percent)| json!({"version": version, "percent": percent}));
    let mut body = json!({ "shares": shares.collect::<Vec<_>>() });
    if let (Some(sticky), Value::Object(members)) = (options.sticky, &mut body) {
        members.insert("sticky".to_owned(), sticky.into());
    }
    told(client, client.request(Method::PUT, &path).json(&body)).await
}

pub(super) async fn shadow(options: ShadowOptions, client: &Client) -> Result<(), Error> {
    let path = format!("{}/shadow", model_path(&options.name));
    if options.off {
        return told(client, client.request(Method::DELETE, &path)).await;
    }
    let mut body = json!({ "version": options.version, "percent": options.percent });
    if let (Some(tolerance), Value::Object(members)) = (options.tolerance, &mut body) {
        members.insert("tolerance".to_owned(), tolerance.into());
    }
    told(client, client.request(Method::PUT, &path).json(&body)).await
}

/// Sends a change and prints how the model is rolled out now.
pub(super) async fn told(client: &Client, request: RequestBuilder) -> Result<(), Error> {
    let rollout = client.json(request).await?;
    if client.json { console::json(&rollout) } else { console::print(&text(&rollout)) }
}

/// A rollout in lines.
pub(super) fn text(rollout: &Value) -> String {
    let mut rows = Vec::new();
    let mut line = |head: &str, text: String| rows.push(vec![head.to_owned(), text]);
    line("current", cell(rollout.get("current")));
    let list = |name: &str| rollout[name].as_array().map_or(&[][..], Vec::as_slice);
    for share in list("shares") {
        line("share", format!("{} % to version {}", share["percent"], cell(share.get("version"))));
    }
    if rollout["sticky"].is_string() {
        line("sticky by", cell(rollout.get("sticky")));
    }
    let shadow = &rollout["shadow"];
    if shadow.is_object() {
        let mut text = format!("version {}, {} % of requests", cell(shadow.get("version")), shadow["percent"]);
        // Writing to a String can not fail.
        let _ = write!(text, "; rows agreed {}, differed {}", shadow["agreed"], shadow["differed"]);
        let _ = write!(text, ", failed {}, skipped {}", shadow["failed"], shadow["skipped"]);
        let _ = write!(text, ", greatest difference {}", shadow["greatest_difference"]);
        line("shadow", text);
    }
    if !list("history").is_empty() {
        line("before", cell(rollout.get("history")));
    }
    if !list("unloaded").is_empty() {
        line("unloaded", cell(rollout.get("unloaded")));
    }
    line("changed", format!("{} by {}", cell(rollout.get("changed_at")), cell(rollout.get("changed_by"))));
    console::table(&["ROLLOUT", ""], &rows)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_share_is_a_version_and_per_cent() {
        assert_eq!(super::share("2=10"), Ok(("2".to_owned(), 10.0)));
        assert_eq!(super::share("v2.1=0.5%"), Ok(("v2.1".to_owned(), 0.5)));
        assert!(super::share("2").unwrap_err().contains("VERSION=PERCENT"));
        assert!(super::share("2=much").unwrap_err().contains("per cent"));
    }
}
