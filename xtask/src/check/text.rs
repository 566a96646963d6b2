//! What the text of files must not hold, and how long they may be.

use std::path::Path;

use super::found;
use crate::command::{output, program};
use crate::error::Result;
use crate::workspace;

/// Lines of a source file, before it should have been two.
const LONGEST: usize = 450;

/// Folders of somebody's machine; written so that this file does not hold them.
const MACHINES: [&str; 4] =
    [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

const KEY: (&str, &str) = ("-----BEGIN ", "PRIVATE KEY-----");

pub(super) fn check() -> Result {
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let mut wrong = Vec::new();
    for name in output(program("git").args(listed))?.split_terminator('\0') {
        // One that was deleted but is known to git still.
        let Ok(bytes) = std::fs::read(workspace::root().join(name)) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if !text.contains('\0') {
            wrong.extend(faults(name, &text));
        }
    }
    found("text of files", wrong)
}

fn faults(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let source = Path::new(name).extension().is_some_and(|e| e == "rs") && name.contains("src/");
    let lines = text.lines().count();
    if source && lines > LONGEST {
        faults.push(format!("{name} has {lines} lines, more than {LONGEST}"));
    }
    for (number, line) in text.lines().enumerate() {
        let at = |what: &str| format!("{name}:{}: {what}", number + 1);
        if MACHINES.iter().any(|machine| line.contains(machine)) {
            faults.push(at("a path of somebody's machine"));
        }
        if line.starts_with(KEY.0) && line.ends_with(KEY.1) {
            faults.push(at("a private key"));
        }
        if name.ends_with("package-lock.json") && line.contains("\"resolved\"") {
            faults.push(at("where a package was fetched; `.npmrc` beside it keeps that out"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found_where_it_is() {
        let machine = format!("fine\nsee {}me/x\n", MACHINES[0]);
        assert_eq!(faults("README.md", &machine), ["README.md:2: a path of somebody's machine"]);
        let key = format!("{}RSA {}\n", KEY.0, KEY.1);
        assert_eq!(faults("certs/x", &key), ["certs/x:1: a private key"]);
        assert_eq!(faults("a/package-lock.json", "\"resolved\": 1").len(), 1);
        assert_eq!(faults("a/src/b.rs", &"\n".repeat(LONGEST)), [""; 0]);
        assert_eq!(faults("a/src/b.rs", &"\n".repeat(LONGEST + 1)).len(), 1);
        assert_eq!(faults("a/tests/b.rs", &"\n".repeat(LONGEST + 1)), [""; 0]);
    }
}
