//! A client of the API.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use arborgate_runtime::files::SocketPath;
use arborgate_runtime::telemetry::escaped;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::ServerOptions;
use super::session::Session;
use crate::error::Error;
use crate::up::SOCKET;

const CONNECT: Duration = Duration::from_secs(10);

/// By what it is known.
enum Credential {
    ApiKey(String),
    Session(Session),
}

/// Talks to one server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    /// As a person knows the server.
    name: String,
    credential: Option<Credential>,
    _socket: Option<SocketPath>,
    /// Whether answers are printed as JSON.
    pub json: bool,
}

impl Client {
    /// As the options say; a session holds where no API key is given.
    pub(crate) fn new(options: &ServerOptions) -> Result<Self, Error> {
        let credential = match (&options.server, &options.api_key) {
            (None, _) => None,
            (Some(_), Some(key)) => Some(Credential::ApiKey(key.clone())),
            (Some(server), None) => Session::of(server)?.map(Credential::Session),
        };
        Self::with(options, credential)
    }

    /// Known by nothing.
    pub(super) fn anonymous(options: &ServerOptions) -> Result<Self, Error> {
        Self::with(options, None)
    }

    fn with(options: &ServerOptions, credential: Option<Credential>) -> Result<Self, Error> {
        let builder = reqwest::Client::builder().connect_timeout(CONNECT).redirect(reqwest::redirect::Policy::none());
        let mut socket = None;
        let (builder, base, name) = match &options.server {
            Some(server) => {
                let (base, is_secure) = base(server)?;
                // What is in the open must not leave this machine by way of a proxy.
                (if is_secure { builder } else { builder.no_proxy() }, base, server.clone())
            }
            None => {
                let path = options.data_dir.join(SOCKET);
                let name_of_socket = SocketPath::of(&path).map_err(file("open the folder of", &path))?;
                let connected = name_of_socket.as_path().to_owned();
                socket = Some(name_of_socket);
                let name =
                    format!("the all-in-one of {} (is it running? or give --server)", options.data_dir.display());
                (builder.unix_socket(connected), "http://localhost".to_owned(), name)
            }
        };
        let of_session = match &credential {
            Some(Credential::Session(session)) => session.ca(),
            _ => None,
        };
        let builder = match options.ca.as_ref().or(of_session.as_ref()) {
            Some(path) => {
                let pem = std::fs::read(path).map_err(file("read", path))?;
                let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(unreached(&name))?;
                builder.tls_certs_only(certificates)
            }
            None => builder,
        };
        let http = builder.build().map_err(unreached(&name))?;
        Ok(Self { http, base, name, credential, _socket: socket, json: options.json })
    }

    /// A request, ready to be given a body.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.credential {
            Some(Credential::ApiKey(key)) => request.header("X-API-Key", key),
            Some(Credential::Session(session)) => request.bearer_auth(&session.token),
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
        let told = refusal(status, &problem);
        Err(if matches!(status.as_u16(), 502..=504) { Error::Busy(told) } else { Error::Refused(told) })
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

/// A server's address without what follows it, and whether it is reached by TLS. Keys and passwords are sent in the open to
/// this machine only.
fn base(server: &str) -> Result<(String, bool), Error> {
    let refused = |why: String| Err(Error::Refused(format!("the server {server:?} {why}")));
    let Some(url) = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        let advice = if server.contains("://") { "https://HOST:PORT".to_owned() } else { format!("https://{server}") };
        return refused(format!("is not an address of HTTPS; give {advice}"));
    };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if url.scheme() == "http" && !is_loopback {
        return refused("would be sent keys and passwords in the open; give https://…".to_owned());
    }
    Ok((server.trim_end_matches('/').to_owned(), url.scheme() == "https"))
}

/// What a server said, each fault once; no byte of it drives the terminal.
fn refusal(status: StatusCode, problem: &Value) -> String {
    let text = |value: &Value| escaped(value.as_str().unwrap_or_default());
    let mut told = match text(&problem["detail"]) {
        detail if detail.is_empty() => format!("the server answered {status}"),
        detail => detail,
    };
    for fault in problem["errors"].as_array().into_iter().flatten() {
        let line = format!("{}: {}", text(&fault["pointer"]), text(&fault["detail"]));
        if !told.contains(&line) {
            told.push_str(&format!("\n  {line}"));
        }
    }
    told
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_in_the_open_to_this_machine_only() {
        for (server, secure) in [
            ("https://models.example:8443/", true),
            ("http://localhost:8080", false),
            ("http://edge.localhost", false),
            ("http://127.0.0.1:80", false),
            ("http://[::1]:80", false),
        ] {
            assert_eq!(base(server).unwrap(), (server.trim_end_matches('/').to_owned(), secure));
        }
        for server in
            ["http://models.example", "http://10.0.0.1:80", "http://localhost.example", "http://127.0.0.1.example"]
        {
            assert!(base(server).unwrap_err().to_string().contains("in the open"), "{server}");
        }
        for (server, advice) in [
            ("localhost:8443", "give https://localhost:8443"),
            ("10.0.0.1:8443", "give https://10.0.0.1:8443"),
            ("models", "give https://models"),
            ("ftp://models", "give https://HOST:PORT"),
            ("https://", "give https://HOST:PORT"),
        ] {
            let error = base(server).unwrap_err().to_string();
            assert!(error.contains(advice), "{error}");
        }
    }

    #[test]
    fn a_fault_is_told_once_and_as_text() {
        let problem = serde_json::json!({"detail": "/roles: \u{1b}[2J", "errors": [
            {"pointer": "/roles", "detail": "\u{1b}[2J"}, {"pointer": "/name", "detail": "is\nempty"}
        ]});
        let told = refusal(StatusCode::UNPROCESSABLE_ENTITY, &problem);
        assert_eq!(told, "/roles: \\u{1b}[2J\n  /name: is\\nempty");
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, &Value::Null), "the server answered 502 Bad Gateway");
    }
}
