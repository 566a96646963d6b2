//! The operator's commands, as a person runs them.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Credential, Kind, System};

const LIMIT: Duration = Duration::from_secs(120);

/// What a command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// Whether it ended well.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl System {
    /// Runs a command against this system: all in one over the owner's socket, else over HTTPS with an administrator's
    /// API key.
    ///
    /// # Errors
    /// It does not start or end.
    pub async fn cli<A: Into<OsString>>(&self, args: impl IntoIterator<Item = A>) -> io::Result<Output> {
        self.cli_reading("", args).await
    }

    /// As [`System::cli`], with its standard input.
    ///
    /// # Errors
    /// As there.
    pub async fn cli_reading<A: Into<OsString>>(
        &self,
        input: &str,
        args: impl IntoIterator<Item = A>,
    ) -> io::Result<Output> {
        let mut args: Vec<OsString> = args.into_iter().map(Into::into).collect();
        if self.kind == Kind::AllInOne {
            args.push("--data-dir".into());
            args.push(self.data_dir().into());
            return self.command(input, &args, &[]).await;
        }
        let (key, id) = self.new_key("operator", "admin").await?;
        let output = self.cli_with_key(input, &key, &args).await;
        self.delete(&format!("/v1/api-keys/{id}"), &self.admin().await?).await?;
        output
    }

    /// Runs a command over HTTPS with this key, at the first edge.
    ///
    /// # Errors
    /// As [`System::cli`].
    pub async fn cli_with_key(&self, input: &str, key: &Credential, args: &[OsString]) -> io::Result<Output> {
        let key = match key {
            Credential::Key(key) => key.as_str(),
            _ => return Err(io::Error::other("the operator's commands take an API key")),
        };
        let mut args = args.to_vec();
        args.extend(["--server".into(), self.edge(0).into(), "--ca".into(), self.ca().into()]);
        self.command(input, &args, &[("ARBORGATE_API_KEY", key)]).await
    }

    /// Runs the binary with exactly this.
    ///
    /// # Errors
    /// As [`System::cli`].
    pub async fn command(&self, input: &str, args: &[OsString], env: &[(&str, &str)]) -> io::Result<Output> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ARBORGATE")) {
            command.env_remove(name);
        }
        command.args(args).envs(env.iter().copied()).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read closes it.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let ended = tokio::time::timeout(LIMIT, child.wait_with_output()).await;
        let output = ended.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{args:?} does not end")))??;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }
}
