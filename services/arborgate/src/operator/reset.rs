//! A forgotten password, set offline: whoever may write the data folder may do it.

use std::path::Path;

use arborgate_contracts::auth::Password;
use arborgate_runtime::files::DataDir;
use arborgate_runtime::metrics::Registry;

use super::accounts::{ResetOptions, read_password};
use crate::cli::ConfigOptions;
use crate::console;
use crate::error::Error;
use crate::settings::Settings;
use crate::up::open_bus;

/// Sets a password in the data folder, which no process may hold.
pub(crate) async fn run(options: &ResetOptions, data_dir: &Path) -> Result<(), Error> {
    let name = options.name.parse().map_err(|error| Error::Refused(format!("{error}")))?;
    if !data_dir.is_dir() {
        return Err(Error::Refused(format!("there is no data folder {}; give it with --data-dir", data_dir.display())));
    }
    let settings = Settings::of(&ConfigOptions::default())?;
    let given = if options.stdin { Some(Password(read_password()?)) } else { None };
    let data = DataDir::open(data_dir)?;
    let bus = open_bus(&data, &Registry::new())?;
    let made = arborgate_auth::reset_password(&bus, &settings.auth, &name, given).await.map_err(Error::service("auth"));
    bus.close().await;
    match made? {
        Some(password) => {
            console::print(&format!("the new password of '{name}' is {}   (shown this once)\n", password.0))
        }
        None => console::print(&format!("the password of '{name}' is set\n")),
    }
}
