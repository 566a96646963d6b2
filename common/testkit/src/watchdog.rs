//! What kills this process's children and removes its folders when it ends by whatever way, also by SIGKILL: a shell that
//! waits for the end of a pipe. A value in a static is never dropped; the tests of a binary keep what they share in one.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Reads `+ PID`, `- PID` and `d FOLDER`. Interrupts from a terminal go to its own group, which nobody sends them to.
const SCRIPT: &str = r#"
pids=
while read -r what which; do
  case $what in
    +) pids="$pids $which" ;;
    -) left=; for pid in $pids; do [ "$pid" = "$which" ] || left="$left $pid"; done; pids=$left ;;
    d) set -- "$@" "$which" ;;
  esac
done
[ -z "$pids" ] || kill -KILL $pids
[ $# -eq 0 ] || rm -rf -- "$@"
"#;

static PIPE: LazyLock<io::Result<Mutex<ChildStdin>>> = LazyLock::new(|| {
    let mut shell = Command::new("/bin/sh")
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    shell.stdin.take().map(Mutex::new).ok_or_else(|| io::Error::other("a pipe was asked for"))
});

fn tell(what: char, which: impl Display) -> io::Result<()> {
    match &*PIPE {
        Ok(pipe) => writeln!(pipe.lock().unwrap_or_else(PoisonError::into_inner), "{what} {which}"),
        Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
    }
}

/// A child that is to end with this process.
///
/// # Errors
/// There is no shell.
pub(crate) fn child(pid: u32) -> io::Result<()> {
    tell('+', pid)
}

/// It has ended and was waited for: its number may be another's.
pub(crate) fn ended(pid: u32) {
    // Without a shell nobody was told of the child either.
    let _ = tell('-', pid);
}

/// A folder that is to go with this process.
///
/// # Errors
/// There is no shell.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    tell('d', path.display())
}
