//! What Compose needs before its first start, by the binary: certificates for its services' names, and a master key.

use std::path::Path;

use crate::command::{program, run};
use crate::error::Result;
use crate::workspace::{self, Profile};

pub(crate) fn make(folder: &Path) -> Result {
    let names = ["--name", "nats", "--name", "edge"];
    run(program(workspace::arborgate(Profile::Release)?).arg("certs").arg(folder).args(names))
}
