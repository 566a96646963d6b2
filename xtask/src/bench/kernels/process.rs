//! A running engine: it says when it has loaded, then answers each request for a measurement with a line.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// For loading, and for one measurement beyond the time asked for.
const PATIENCE: Duration = Duration::from_secs(600);
const LONGEST_REASON: usize = 200;

/// What an engine says once it has loaded.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Facts {
    pub(super) load_ms: f64,
    pub(super) compared: usize,
    pub(super) differ: usize,
    pub(super) largest: f64,
    /// The rest of ours only.
    pub(super) compile_ms: Option<f64>,
    pub(super) kernel: Option<String>,
    pub(super) splits: Option<usize>,
    pub(super) bytes: Option<usize>,
    /// Of them, those of the leaves' numbers, to predict.
    pub(super) leaf_bytes: Option<usize>,
}

#[derive(Deserialize)]
struct Measured {
    us: f64,
}

/// Ended when dropped.
pub(super) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    errors: tempfile::NamedTempFile,
}

impl Process {
    /// Starts it and waits until it has loaded; else the reason.
    pub(super) fn start(mut command: Command, processor_time: bool) -> Result<(Self, Facts), String> {
        let errors = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let stderr = errors.reopen().map_err(|error| error.to_string())?;
        if processor_time {
            command.env("PROCESSOR_TIME", "1");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no input or output".to_owned());
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut process = Self { child, stdin, lines, errors };
        let facts = process.answer(PATIENCE)?;
        Ok((process, facts))
    }

    /// µs a call.
    pub(super) fn measure(&mut self, size: usize, seconds: f64) -> Result<f64, String> {
        writeln!(self.stdin, "{size} {seconds}").map_err(|error| self.reason(&error.to_string()))?;
        let Measured { us } = self.answer(PATIENCE + Duration::from_secs_f64(seconds))?;
        Ok(us)
    }

    /// Lines that are no JSON are what a library has to say.
    fn answer<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T, String> {
        loop {
            let line = self.lines.recv_timeout(patience).map_err(|error| self.reason(&error.to_string()))?;
            if let Ok(answer) = serde_json::from_str(&line) {
                return Ok(answer);
            }
        }
    }

    fn reason(&self, otherwise: &str) -> String {
        let said = fs::read(self.errors.path()).unwrap_or_default();
        last_line(&said).unwrap_or_else(|| otherwise.to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last line that holds anything, not longer than a line of a table's notes may be.
pub(super) fn last_line(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().take(LONGEST_REASON).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn an_engine_is_asked_and_one_that_can_not_says_why() {
        let facts = r#"echo noise; echo '{"load_ms": 2.5, "compared": 3, "differ": 1, "largest": 0.5}'"#;
        let answers = format!(r#"{facts}; read line; echo "{{\"us\": ${{line%% *}}, \"calls\": 1}}""#);
        let (mut process, facts) = Process::start(shell(&answers), false).unwrap();
        assert_eq!((facts.compared, facts.differ, facts.kernel), (3, 1, None));
        assert_eq!(process.measure(64, 0.1), Ok(64.0));
        let refused = Process::start(shell("echo first >&2; echo 'no such model' >&2; echo >&2; exit 1"), false);
        assert_eq!(refused.err().as_deref(), Some("no such model"));
    }
}
