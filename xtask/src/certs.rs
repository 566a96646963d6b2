//! A development CA and certificate, by the binary.

use std::path::Path;

use crate::command::{program, run};
use crate::error::Result;
use crate::workspace::{self, Profile};

pub(crate) fn make(folder: &Path) -> Result {
    run(program(workspace::arborgate(Profile::Debug)?).arg("certs").arg(folder))
}
