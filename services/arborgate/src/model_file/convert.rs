//! `arborgate convert`: a model in our own form. What is written is read again first, and appears whole or not at all.

use std::io::{self, IsTerminal, Write};

use arborgate_forest::Model;

use super::ConvertOptions;
use crate::console;
use crate::error::Error;
use crate::new_file::{NewFile, check_place};

/// Runs the command.
pub(crate) fn run(options: &ConvertOptions) -> Result<(), Error> {
    let ConvertOptions { file, out, force, reading } = options;
    let standard = out.as_os_str() == "-";
    if standard && io::stdout().is_terminal() {
        return Err(Error::Refused("a model is no text for a terminal; send standard output to a file".to_owned()));
    }
    // told before a large model is read
    if !standard {
        check_place(out, *force)?;
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
    let file = NewFile::create(out, *force)?;
    let failed = |source| Error::File { what: "write", path: out.clone(), source };
    file.file()?.write_all(&bytes).map_err(failed)?;
    file.keep()?;
    console::print(&format!("{} bytes in {}, from {size}\n", bytes.len(), out.display()))
}

fn written(model: &Model) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    model.write(&mut bytes)?;
    Ok(bytes)
}
