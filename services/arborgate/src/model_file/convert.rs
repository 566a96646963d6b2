//! `arborgate convert`: a model in our own form. What is written is read again first, and appears whole or not at all.

use std::fs::{Metadata, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use arborgate_forest::Model;

use super::ConvertOptions;
use crate::console;
use crate::error::Error;

/// Runs the command.
pub(crate) fn run(options: &ConvertOptions) -> Result<(), Error> {
    let ConvertOptions { file, out, force, reading } = options;
    let standard = out.as_os_str() == "-";
    if standard && io::stdout().is_terminal() {
        return Err(Error::Refused("a model is no text for a terminal; send standard output to a file".to_owned()));
    }
    // told before a large model is read; that nothing takes its place meanwhile is seen to in the end
    if !standard && let Ok(there) = out.symlink_metadata() {
        check_place(out, &there, *force)?;
    }
    let (model, size) = reading.read(file)?;
    let bytes = written(&model).map_err(Error::Output)?;
    let again = Model::read(&bytes, &reading.options())
        .map_err(|source| Error::Model { path: out.clone(), source: Box::new(source) })?;
    if written(&again).map_err(Error::Output)? != bytes {
        return Err(Error::Refused("the file that would be written does not hold the model exactly".to_owned()));
    }
    if standard {
        let mut output = io::stdout().lock();
        return output.write_all(&bytes).and_then(|()| output.flush()).map_err(Error::Output);
    }
    save(&bytes, out, *force)?;
    console::print(&format!("{} bytes in {}, from {size}\n", bytes.len(), out.display()))
}

fn written(model: &Model) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    model.write(&mut bytes)?;
    Ok(bytes)
}

fn check_place(out: &Path, there: &Metadata, force: bool) -> Result<(), Error> {
    if !there.is_file() {
        return Err(Error::NoFile { path: out.to_owned() });
    }
    if force { Ok(()) } else { Err(Error::Exists { path: out.to_owned() }) }
}

/// Into a file beside it, which then gets its name.
fn save(bytes: &[u8], out: &Path, force: bool) -> Result<(), Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path: out.to_owned() },
        _ => Error::File { what: "write", path: out.to_owned(), source },
    };
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // what the umask leaves of it, as any new file
    let permissions = Permissions::from_mode(0o666);
    let mut beside = tempfile::Builder::new();
    beside.prefix(".arborgate-").suffix(".part").permissions(permissions);
    let mut part = beside.tempfile_in(folder).map_err(failed)?;
    part.write_all(bytes).and_then(|()| part.as_file().sync_all()).map_err(failed)?;
    let persisted = if force { part.persist(out) } else { part.persist_noclobber(out) };
    persisted.map(drop).map_err(|error| failed(error.error))
}
