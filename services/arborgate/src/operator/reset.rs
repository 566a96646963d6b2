//! A forgotten password, set offline: whoever may write the data folder may do it.

use arborgate_bus::local::STATE_FILE;
use arborgate_contracts::auth::Password;
use arborgate_runtime::files::DataDir;
use arborgate_runtime::metrics::Registry;

use super::ServerOptions;
use super::accounts::{ResetOptions, read_password};
use crate::cli::ConfigOptions;
use crate::console;
use crate::error::Error;
use crate::settings::Settings;
use crate::up::open_bus;

/// Sets a password in the data folder, which no process may hold.
pub(crate) async fn run(options: &ResetOptions, server: &ServerOptions) -> Result<(), Error> {
    if let Some(server) = &server.server {
        let text = format!(
            "a password is reset offline, in --data-dir, not at {server:?}: leave --server and ARBORGATE_SERVER out"
        );
        return Err(Error::Refused(text));
    }
    let data_dir = &server.data_dir;
    let name = options.name.parse().map_err(|error| Error::Refused(format!("{error}")))?;
    // Opening makes what is not there.
    if !data_dir.join(STATE_FILE).is_file() {
        let folder = data_dir.display();
        return Err(Error::Refused(format!("there is no data folder {folder} with a state; give it with --data-dir")));
    }
    let settings = Settings::of(&ConfigOptions::default())?;
    let given = if options.stdin { Some(Password(read_password()?)) } else { None };
    let data = DataDir::open(data_dir)?;
    let bus = open_bus(&data, &Registry::new())?;
    let made = arborgate_auth::reset_password(&bus, &settings.auth, &name, given).await.map_err(Error::Reset);
    bus.close().await;
    match made? {
        Some(password) => {
            console::print(&format!("the new password of '{name}' is {}   (shown this once)\n", password.0))
        }
        None => console::print(&format!("the password of '{name}' is set\n")),
    }
}
