//! A client of the API.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;

use super::ServerOptions;
use crate::error::Error;
use crate::up::SOCKET;

const CONNECT: Duration = Duration::from_secs(10);

/// Talks to one server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    /// As a person knows the server.
    name: String,
    api_key: Option<String>,
    /// Whether answers are printed as JSON.
    pub json: bool,
}

impl Client {
    /// As the options say.
    pub(crate) fn new(options: &ServerOptions) -> Result<Self, Error> {
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        let (builder, base, name) = match &options.server {
            Some(server) => (builder, server.trim_end_matches('/').to_owned(), server.clone()),
            None => {
                let socket = options.data_dir.join(SOCKET);
                let name =
                    format!("the all-in-one of {} (is it running? or give --server)", options.data_dir.display());
                (builder.unix_socket(socket), "http://localhost".to_owned(), name)
            }
        };
        let builder = match &options.ca {
            Some(path) => {
                let pem = std::fs::read(path).map_err(file("read", path))?;
                let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(unreached(&name))?;
                builder.tls_certs_only(certificates)
            }
            None => builder,
        };
        let http = builder.build().map_err(unreached(&name))?;
        let api_key = options.server.as_ref().and(options.api_key.clone());
        Ok(Self { http, base, name, api_key, json: options.json })
    }

    /// A request, ready to be given a body.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.api_key {
            Some(key) => request.header("X-API-Key", key),
            None => request,
        }
    }

    /// Sends it; a refusal becomes the sentence that the server gave.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(unreached(&self.name))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        let mut text =
            problem["detail"].as_str().map_or_else(|| format!("the server answered {status}"), str::to_owned);
        for fault in problem["errors"].as_array().into_iter().flatten() {
            let (pointer, detail) = (fault["pointer"].as_str(), fault["detail"].as_str());
            text.push_str(&format!("\n  {}: {}", pointer.unwrap_or_default(), detail.unwrap_or_default()));
        }
        Err(Error::Refused(text))
    }

    /// Sends it and reads the answer's JSON.
    pub(crate) async fn json(&self, request: RequestBuilder) -> Result<Value, Error> {
        self.send(request).await?.json().await.map_err(unreached(&self.name))
    }

    /// A failure midway.
    pub(crate) fn broken(&self, source: reqwest::Error) -> Error {
        unreached(&self.name)(source)
    }
}

fn unreached(name: &str) -> impl FnOnce(reqwest::Error) -> Error + use<> {
    let server = name.to_owned();
    move |source| Error::Unreached { server, source: source.without_url() }
}

/// A failure with a file.
pub(crate) fn file(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path: PathBuf = path.to_owned();
    move |source| Error::File { what, path, source }
}

/// A name in a path.
pub(crate) fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A name or value in a query.
pub(crate) fn query(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", segment(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}
