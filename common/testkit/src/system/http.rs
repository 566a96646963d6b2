//! Asking the API.

use std::io;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{ADMIN_PASSWORD, System, document};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// Nobody.
    None,
    /// An access token.
    Bearer(String),
    /// An API key.
    Key(String),
}

impl Credential {
    /// Adds it to a request.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Bearer(token) => request.bearer_auth(token),
            Self::Key(key) => request.header("X-API-Key", key),
        }
    }
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body's JSON; null where it has none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as a person reads it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `detail` of problem details.
    pub fn detail(&self) -> String {
        self.json().get("detail").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// The pointers of problem details.
    pub fn pointers(&self) -> Vec<String> {
        let json = self.json();
        let errors = json.get("errors").and_then(Value::as_array);
        let pointer = |fault: &Value| fault.get("pointer").and_then(Value::as_str).map(str::to_owned);
        errors.into_iter().flatten().filter_map(pointer).collect()
    }

    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl System {
    /// The client, which trusts the system's CA and follows no redirect.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// A request to an edge.
    pub fn request(&self, edge: usize, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.edge(edge)))
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There is no answer, or one of a status or media type that the document does not show for its operation.
    pub async fn send(&self, request: RequestBuilder) -> io::Result<Answer> {
        let (client, request) = request.build_split();
        let request = request.map_err(io::Error::other)?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = client.execute(request).await.map_err(io::Error::other)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !document::shows(&method, &path, status, media_type) {
            let text = response.text().await.unwrap_or_default();
            let what = format!("{status} as {media_type:?}");
            return Err(io::Error::other(format!("{method} {path} is not documented to answer {what}: {text}")));
        }
        let body = response.bytes().await.map_err(io::Error::other)?.to_vec();
        Ok(Answer { status, headers, body })
    }

    /// GET at the first edge.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn get(&self, path: &str, who: &Credential) -> io::Result<Answer> {
        self.send(who.apply(self.request(0, Method::GET, path))).await
    }

    /// DELETE at the first edge.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn delete(&self, path: &str, who: &Credential) -> io::Result<Answer> {
        self.send(who.apply(self.request(0, Method::DELETE, path))).await
    }

    /// POST of JSON at the first edge.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post_json(&self, path: &str, body: &Value, who: &Credential) -> io::Result<Answer> {
        self.post_json_at(0, path, body, who).await
    }

    /// POST of JSON at an edge.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post_json_at(&self, edge: usize, path: &str, body: &Value, who: &Credential) -> io::Result<Answer> {
        self.send(who.apply(self.request(edge, Method::POST, path)).json(body)).await
    }

    /// Signs in at an edge and gives the answer, whatever it is.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn sign_in(&self, edge: usize, user: &str, password: &str) -> io::Result<Answer> {
        self.send(self.request(edge, Method::POST, "/token").form(&[("username", user), ("password", password)])).await
    }

    /// A user's token.
    ///
    /// # Errors
    /// The user can not sign in.
    pub async fn token(&self, user: &str, password: &str) -> io::Result<Credential> {
        let answer = self.sign_in(0, user, password).await?;
        let refused = || io::Error::other(format!("{user} can not sign in: {} {}", answer.status, answer.text()));
        let json = answer.json();
        json.get("access_token").and_then(Value::as_str).map(|t| Credential::Bearer(t.to_owned())).ok_or_else(refused)
    }

    /// The administrator's token: one for the system.
    ///
    /// # Errors
    /// As [`System::token`].
    pub async fn admin(&self) -> io::Result<Credential> {
        let known = |tokens: &std::sync::Mutex<std::collections::BTreeMap<String, String>>| {
            tokens.lock().ok().and_then(|tokens| tokens.get("admin").cloned())
        };
        if let Some(token) = known(&self.tokens) {
            return Ok(Credential::Bearer(token));
        }
        let made = self.token("admin", ADMIN_PASSWORD).await?;
        if let (Credential::Bearer(token), Ok(mut tokens)) = (&made, self.tokens.lock()) {
            tokens.insert("admin".to_owned(), token.clone());
        }
        Ok(made)
    }

    /// A new user's token.
    ///
    /// # Errors
    /// The user can not be added.
    pub async fn new_user(&self, name: &str, role: &str) -> io::Result<Credential> {
        let password = format!("the password of {name}");
        let body = json!({"name": name, "password": password, "roles": [role]});
        let answer = self.post_json("/v1/users", &body, &self.admin().await?).await?;
        if answer.status != 201 {
            return Err(io::Error::other(format!("{name} can not be added: {} {}", answer.status, answer.text())));
        }
        self.token(name, &password).await
    }

    /// A new API key and its public part.
    ///
    /// # Errors
    /// It can not be made.
    pub async fn new_key(&self, name: &str, role: &str) -> io::Result<(Credential, String)> {
        let answer =
            self.post_json("/v1/api-keys", &json!({"name": name, "roles": [role]}), &self.admin().await?).await?;
        let made = answer.json();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        match (text(made.get("secret")), text(made.get("key").and_then(|key| key.get("id")))) {
            (Some(secret), Some(id)) => Ok((Credential::Key(secret), id)),
            _ => Err(io::Error::other(format!("{name} can not be made: {} {}", answer.status, answer.text()))),
        }
    }
}
