//! Other programs, run to their end within a limit of time.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::workspace;

const POLL: Duration = Duration::from_millis(20);

/// A program, in the workspace's folder.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    command.current_dir(workspace::root());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs it with the output where ours goes.
///
/// # Errors
/// It does not start, or fails.
pub(crate) fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|source| Error::Start { program: name(command), source })?;
    if status.success() { Ok(()) } else { Err(Error::Failed { program: name(command), status }) }
}

/// As [`run`], and ends it once `limit` has passed.
///
/// # Errors
/// As there, and that it took too long.
pub(crate) fn run_within(limit: Duration, command: &mut Command) -> Result {
    let mut child = command.spawn().map_err(|source| Error::Start { program: name(command), source })?;
    let end = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(Error::io(name(command)))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::Failed { program: name(command), status }),
            None if Instant::now() < end => sleep(POLL),
            None => {
                child.kill().and_then(|()| child.wait()).map_err(Error::io(name(command)))?;
                return Err(Error::TooLong { program: name(command), seconds: limit.as_secs() });
            }
        }
    }
}

/// As [`run_within`], but its output is shown only if it fails.
///
/// # Errors
/// As there.
pub(crate) fn run_quietly(limit: Duration, command: &mut Command) -> Result {
    let unwritable = |error| Error::io("can not keep what a program says")(error);
    let said = tempfile::NamedTempFile::new().map_err(unwritable)?;
    let stdout = said.reopen().map_err(unwritable)?;
    let stderr = stdout.try_clone().map_err(unwritable)?;
    run_within(limit, command.stdout(stdout).stderr(stderr)).inspect_err(|_| {
        let said = std::fs::read(said.path()).unwrap_or_default();
        eprintln!("{}", String::from_utf8_lossy(&said));
    })
}

/// Runs it and gives what it printed; its errors go where ours go.
///
/// # Errors
/// It does not start, fails, or prints what is no UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, .. } =
        command.stderr(Stdio::inherit()).output().map_err(|source| Error::Start { program: name(command), source })?;
    if !status.success() {
        return Err(Error::Failed { program: name(command), status });
    }
    String::from_utf8(stdout).map_err(|_| Error::Wrong(format!("'{}' printed what is no UTF-8", name(command))))
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().take(3).map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_ended_and_what_fails_is_told() {
        let hangs = run_within(Duration::from_millis(50), Command::new("sleep").arg("600")).unwrap_err();
        assert!(matches!(hangs, Error::TooLong { .. }), "{hangs}");
        let fails = run_within(Duration::from_secs(20), Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(fails.to_string().contains("sh -c exit 3"), "{fails}");
        assert!(matches!(run(&mut Command::new("/nowhere/at/all")), Err(Error::Start { .. })));
        assert_eq!(output(Command::new("echo").arg("said")).unwrap(), "said\n");
    }
}
