//! cargo-fuzz on the one toolchain there is: `RUSTC_BOOTSTRAP` lets a stable compiler take the sanitizer's flags.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::read::ZlibDecoder;

use crate::command::{cargo, output, program, run as run_command};
use crate::error::{Error, Result};
use crate::workspace;

/// A reader that needs more for such inputs is at fault.
const MEMORY_MIB: u32 = 2048;
const SECONDS_FOR_ONE: u32 = 10;
/// Of an input: more are tried a second, and the real files that are longer begin as the others do.
const MOST: u32 = 32 << 10;

pub(crate) fn run(target: Option<&str>, seconds: u32) -> Result {
    let there = cargo().args(["fuzz", "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Err(Error::Wrong("cargo-fuzz is not there: run `cargo install --locked cargo-fuzz`".to_owned()));
    }
    let listed = output(cargo_fuzz().arg("list"))?;
    let targets: Vec<&str> = listed.lines().filter(|name| target.is_none_or(|wanted| wanted == *name)).collect();
    if targets.is_empty() {
        return Err(Error::Wrong(format!("there is no such target; there are: {}", listed.trim().replace('\n', ", "))));
    }
    for name in targets {
        println!("fuzz: {name} for {seconds} seconds");
        fuzz(name, seconds)?;
    }
    Ok(())
}

/// What is found stays in `fuzz/artifacts`, what was learned in `fuzz/corpus`, real files in `fuzz/seeds`; all are ignored.
fn fuzz(target: &str, seconds: u32) -> Result {
    let corpus = workspace::root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).map_err(Error::io(format!("can not make {}", corpus.display())))?;
    run_command(
        cargo_fuzz()
            .args(["run", target])
            .arg(corpus)
            .args(seeds(target)?)
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
            .arg(format!("-timeout={SECONDS_FOR_ONE}"))
            .arg(format!("-max_len={MOST}")),
    )
}

fn cargo_fuzz() -> Command {
    let mut command = program(cargo().get_program());
    command.arg("fuzz").env("RUSTC_BOOTSTRAP", "1");
    command
}

/// A folder of real files, made anew: as they are, and those in zlib unpacked as well, for what is packed can not be changed a
/// byte here or there. Nothing is written to them.
fn seeds(target: &str) -> Result<Option<PathBuf>> {
    let fixtures = workspace::root().join("common/forest/tests/fixtures");
    let own = fixtures.join(target);
    let from = match target {
        "pickle" => vec![fixtures, workspace::root().join("services/arborgate/models")],
        // a reader that has its name from a library
        _ if own.is_dir() => vec![own],
        _ => return Ok(None),
    };
    let folder = workspace::root().join("fuzz/seeds").join(target);
    let seeds = read(&from).and_then(|seeds| write(&folder, &seeds));
    seeds.map_err(Error::io(format!("can not make {}", folder.display())))?;
    Ok(Some(folder))
}

/// The models below folders.
fn read(folders: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    let (mut seeds, mut waiting) = (Vec::new(), folders.to_vec());
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if [".npy.z", ".tsv", ".py", ".pyc", "cases.json"].iter().any(|end| name.ends_with(end)) {
                continue;
            }
            let bytes = fs::read(&path)?;
            let mut plain = Vec::new();
            if ZlibDecoder::new(&bytes[..]).read_to_end(&mut plain).is_ok() {
                seeds.push(plain);
            }
            seeds.push(bytes);
        }
    }
    Ok(seeds)
}

fn write(folder: &Path, seeds: &[Vec<u8>]) -> io::Result<()> {
    if folder.is_dir() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    seeds.iter().enumerate().try_for_each(|(number, bytes)| fs::write(folder.join(number.to_string()), bytes))
}
