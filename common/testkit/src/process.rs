//! A program of ours as a test or the workshop runs it: started with its output in files, waited for, stopped and killed,
//! never left behind. It knows nothing of what the program says but lines. Blocking; beside each wait is one for tokio.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::watchdog;

/// What `arborgate up` prints before its address, first, once it answers.
pub const READY: &str = "arborgate is ready at ";

/// Variables that begin so are not inherited: what is set on a developer's machine is no part of a test.
const OWN_VARIABLES: &str = "ARBORGATE";

const POLL: Duration = Duration::from_millis(5);
const TAIL: usize = 4000;

/// What to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// The arguments.
    pub args: Vec<OsString>,
    /// Variables over those inherited.
    pub envs: Vec<(OsString, OsString)>,
}

impl Program {
    /// Without arguments.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new(), envs: Vec::new() }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// With a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.envs.push((name.into(), value.into()));
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// The file is not there or may not run.
    pub fn start(&self) -> io::Result<Process> {
        let output = tempfile::Builder::new().prefix("arborgate-process-").tempdir()?;
        watchdog::folder(output.path())?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(output.path().join("stdout"))?)
            .stderr(std::fs::File::create(output.path().join("stderr"))?);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OWN_VARIABLES) {
                command.env_remove(name);
            }
        }
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        let process = Process { child: command.spawn().map_err(named)?, name: self.name(), output };
        watchdog::child(process.pid())?;
        Ok(process)
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// A running program. Dropped, it is killed and its output removed.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    output: TempDir,
}

impl Process {
    /// The system's number for it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it logged so far.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// The rest of the first whole line of its standard output that begins with `prefix`, if it is there by now.
    ///
    /// # Errors
    /// The program ended; the text holds the end of its log.
    pub fn line(&mut self, prefix: &str) -> io::Result<Option<String>> {
        // Asked first: a line that was printed before the end is found still.
        let ended = self.child.try_wait()?;
        let found = find_line(&self.stdout(), prefix).map(str::to_owned);
        match (found, ended) {
            (None, Some(status)) => {
                Err(io::Error::other(format!("{} ended with {status} too early\n{}", self.name, self.said())))
            }
            (found, _) => Ok(found),
        }
    }

    /// As [`Process::line`], waiting up to `limit`.
    ///
    /// # Errors
    /// As there, and that the limit has passed.
    pub fn wait_for_line(&mut self, prefix: &str, limit: Duration) -> io::Result<String> {
        let end = Instant::now() + limit;
        loop {
            if let Some(line) = self.line(prefix)? {
                return Ok(line);
            }
            self.still_within(end, "said nothing that begins with", prefix)?;
            std::thread::sleep(POLL);
        }
    }

    /// As [`Process::wait_for_line`], under tokio.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "system")]
    pub async fn until_line(&mut self, prefix: &str, limit: Duration) -> io::Result<String> {
        let end = Instant::now() + limit;
        loop {
            if let Some(line) = self.line(prefix)? {
                return Ok(line);
            }
            self.still_within(end, "said nothing that begins with", prefix)?;
            tokio::time::sleep(POLL).await;
        }
    }

    /// Its exit status, once it ended.
    ///
    /// # Errors
    /// The system's.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends SIGTERM; no more than that.
    ///
    /// # Errors
    /// The system's; that it ended already is none.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGSTOP: it stands still until [`Process::resume`].
    ///
    /// # Errors
    /// The system's.
    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT.
    ///
    /// # Errors
    /// The system's.
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends SIGTERM and waits up to `limit` for its end.
    ///
    /// # Errors
    /// It did not end in time; it is killed then.
    pub fn stop(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        self.terminate()?;
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if let Err(error) = self.still_within(end, "did not end after", "SIGTERM") {
                self.kill()?;
                return Err(error);
            }
            std::thread::sleep(POLL);
        }
    }

    /// As [`Process::stop`], under tokio.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "system")]
    pub async fn until_stopped(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        self.terminate()?;
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if let Err(error) = self.still_within(end, "did not end after", "SIGTERM") {
                self.kill()?;
                return Err(error);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it as a lost machine does, with SIGKILL; that it ended already is no error.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        watchdog::ended(self.pid());
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_some() {
            return Ok(());
        }
        // Not waited for yet, so the number is still its own.
        match i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            Some(pid) => Ok(kill_process(pid, signal)?),
            None => Err(io::Error::other("no such process number")),
        }
    }

    fn still_within(&self, end: Instant, failing: &str, what: &str) -> io::Result<()> {
        if Instant::now() <= end {
            return Ok(());
        }
        let text = format!("{} {failing} '{what}' in time\n{}", self.name, self.said());
        Err(io::Error::new(io::ErrorKind::TimedOut, text))
    }

    /// The end of its log.
    fn said(&self) -> String {
        let log = self.stderr();
        let start = log.char_indices().rev().nth(TAIL).map_or(0, |(at, _)| at);
        log.get(start..).unwrap_or_default().to_owned()
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(Path::new(self.output.path()).join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kill();
    }
}

fn find_line<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).find_map(|line| line.strip_prefix(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").arg("-c").arg(script)
    }

    #[test]
    fn only_whole_lines_are_found() {
        assert_eq!(find_line("x\nready at 1\n", "ready at "), Some("1"));
        assert_eq!(find_line("ready at 1", "ready at "), None);
        assert_eq!(find_line("not ready at 1\n", "ready at "), None);
    }

    #[test]
    fn a_line_is_awaited_and_sigterm_ends_it() {
        let mut process = shell("trap 'exit 7' TERM; echo ready at $WHERE; while :; do sleep 0.01; done")
            .env("WHERE", "here")
            .start()
            .unwrap();
        assert_eq!(process.wait_for_line("ready at ", LIMIT).unwrap(), "here");
        assert_eq!(process.stop(LIMIT).unwrap().code(), Some(7));
        assert_eq!(process.stop(LIMIT).unwrap().code(), Some(7), "a second time is no error");
    }

    #[test]
    fn an_early_end_is_told_with_its_log() {
        let mut process = shell("echo what went wrong >&2; exit 3").start().unwrap();
        let error = process.wait_for_line("ready", LIMIT).unwrap_err().to_string();
        assert!(error.contains("what went wrong") && error.contains("3"), "{error}");
    }

    #[test]
    fn what_ignores_sigterm_is_killed() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done").start().unwrap();
        process.wait_for_line("ready", LIMIT).unwrap();
        let error = process.stop(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(process.ended().unwrap().is_some());
    }

    #[test]
    fn it_ends_when_dropped_and_its_output_goes() {
        let mut process = shell("echo ready; exec sleep 600").start().unwrap();
        process.wait_for_line("ready", LIMIT).unwrap();
        let (pid, output) = (process.pid(), process.output.path().to_owned());
        drop(process);
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        assert!(rustix::process::test_kill_process(pid).is_err());
        assert!(!output.exists());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Program::new("/nowhere/at/all").start().unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }

    #[cfg(feature = "system")]
    #[tokio::test]
    async fn the_same_under_tokio() {
        let mut process = shell("trap 'exit 0' TERM; echo ready at x; while :; do sleep 0.01; done").start().unwrap();
        assert_eq!(process.until_line("ready at ", LIMIT).await.unwrap(), "x");
        process.pause().unwrap();
        process.resume().unwrap();
        assert!(process.until_stopped(LIMIT).await.unwrap().success());
    }
}
