//! Asking a process on this machine whether it is ready.

use std::time::Duration;

use arborgate_runtime::ops;

use crate::cli::HealthOptions;
use crate::console;
use crate::error::Error;

const PATIENCE: Duration = Duration::from_secs(3);

/// Prints what the process says of itself; fails when it is not ready.
pub(crate) async fn run(options: &HealthOptions) -> Result<(), Error> {
    let answer = ops::ask(options.address, "/readyz", PATIENCE).await?;
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status == 200 {
        console::print(&format!("{}\n", text.trim_end()))
    } else {
        Err(Error::NotReady(text.trim_end().to_owned()))
    }
}
