//! Who is signed in at this machine: an access token of one server, in a file that only its user may read, until it ends.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use arborgate_runtime::files::{SECRET_MODE, create_private_dir, read_secret, replace};
use clap::Args;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ServerOptions;
use super::client::{Client, file};
use crate::console;
use crate::error::Error;

/// Where the file is, for tests and for those who keep several.
const PLACE: &str = "ARBORGATE_SESSION";
/// The password of a person who can not be asked.
const PASSWORD: &str = "ARBORGATE_PASSWORD";
/// Bytes of a password that is read, at most.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
pub(crate) struct Who {
    /// The user's name
    #[arg(default_value = "admin")]
    user: String,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
pub(super) struct Session {
    server: String,
    /// The CA that was given, whole.
    ca: Option<PathBuf>,
    pub(super) token: String,
    /// Seconds since 1970.
    ends_at: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn place() -> Result<PathBuf, Error> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = || variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    variable(PLACE)
        .or_else(|| Some(state()?.join("arborgate/session.json")))
        .ok_or_else(|| Error::Refused(format!("there is no place for a session: neither HOME nor {PLACE} is set")))
}

impl Session {
    /// Of a server, if somebody is signed in there.
    pub(super) fn of(server: &str) -> Result<Option<Self>, Error> {
        let path = place()?;
        if !path.exists() {
            return Ok(None);
        }
        let secret = read_secret(&path)?;
        let session: Option<Self> = serde_json::from_slice(secret.expose()).ok();
        let Some(session) = session.filter(|session| session.server == server) else { return Ok(None) };
        if session.ends_at <= now() {
            return Err(Error::Refused(format!(
                "the session at {server} has ended; `arborgate sign-in` begins another"
            )));
        }
        Ok(Some(session))
    }

    /// The CA that was given when it began.
    pub(super) fn ca(&self) -> Option<PathBuf> {
        self.ca.clone()
    }
}

/// Signs in and keeps the token.
pub(super) async fn sign_in(options: Who, server: &ServerOptions) -> Result<(), Error> {
    let Some(url) = &server.server else {
        let detail = "give --server: on this machine an all-in-one knows its owner without signing in";
        return Err(Error::Refused(detail.to_owned()));
    };
    let path = place()?;
    let client = Client::anonymous(server)?;
    let password = password(&options.user)?;
    let form = [("grant_type", "password"), ("username", &options.user), ("password", &password)];
    let token = client.json(client.request(Method::POST, "/token").form(&form)).await?;
    let text = token["access_token"].as_str().unwrap_or_default().to_owned();
    let lasts = token["expires_in"].as_u64().unwrap_or_default();
    let ca = server.ca.as_ref().map(std::path::absolute).transpose().map_err(file("find", &path))?;
    let session = Session { server: url.clone(), ca, token: text, ends_at: now() + lasts };
    let json = Zeroizing::new(serde_json::to_vec(&session).map_err(|error| Error::Refused(error.to_string()))?);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_private_dir(folder)?;
    }
    replace(&path, &json, SECRET_MODE)?;
    console::print(&format!("signed in at {url} as {} for {lasts} seconds\n", options.user))
}

/// Forgets the token.
pub(super) fn sign_out() -> Result<(), Error> {
    let path = place()?;
    match std::fs::remove_file(&path) {
        Ok(()) => console::print("signed out\n"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => console::print("nobody was signed in\n"),
        Err(error) => Err(file("remove", &path)(error)),
    }
}

/// Of the environment, of a person at the terminal, or the first line of standard input.
fn password(user: &str) -> Result<Zeroizing<String>, Error> {
    if let Some(given) = std::env::var(PASSWORD).ok().filter(|given| !given.is_empty()) {
        return Ok(Zeroizing::new(given));
    }
    let unread = |source| Error::File { what: "read the password from", path: "standard input".into(), source };
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password(format!("password of {user}: ")).map(Zeroizing::new).map_err(unread);
    }
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(LONGEST).read_to_string(&mut text).map_err(unread)?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}
