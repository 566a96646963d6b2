//! What a cluster on one machine, or a development one, needs before its first start: a CA of its own, a certificate of
//! servers, one for each client of NATS, and a master key. Each is made once.

use std::fs;
use std::path::PathBuf;

use arborgate_runtime::files::{SECRET_MODE, write_new};
use arborgate_runtime::master_key::MasterKey;
use arborgate_runtime::tls::{ensure_dev_client, ensure_dev_material};

use crate::cli::CertsOptions;
use crate::console;
use crate::error::Error;
use crate::roles::Role;

/// Below localhost, for which the CA may sign, whatever else it may.
const DOMAIN: &str = "arborgate.localhost";
/// Beside the roles, what connects to NATS.
const INIT: &str = "init";
const MASTER_KEY: &str = "master.key";

/// Makes what is not there, and says what was made.
pub(crate) fn run(options: &CertsOptions) -> Result<(), Error> {
    let dir = &options.dir;
    let clients = Role::ALL.iter().map(|role| role.name()).chain([INIT]);
    let clients: Vec<(&str, PathBuf)> = clients.map(|name| (name, dir.join(format!("client-{name}.pem")))).collect();
    let made = [("CA", "ca.pem"), ("server certificate", "server.pem"), ("the same, names only", "server-names.pem")];
    let mut told: Vec<_> = made.map(|(what, file)| (what.to_owned(), dir.join(file))).into();
    told.extend(clients.iter().map(|(name, path)| (format!("{name}'s certificate"), path.clone())));
    told.push(("master key".to_owned(), dir.join(MASTER_KEY)));
    let before: Vec<Option<Vec<u8>>> = told.iter().map(|(_, path)| fs::read(path).ok()).collect();

    let paths = ensure_dev_material(dir, &options.names)?;
    for (name, certificate) in &clients {
        ensure_dev_client(&paths, &format!("{name}.{DOMAIN}"), certificate, &certificate.with_extension("key"))?;
    }
    let master = dir.join(MASTER_KEY);
    if !master.exists() {
        let key = MasterKey::generate().map_err(|source| Error::MasterKey { path: master.clone(), source })?;
        write_new(&master, key.to_text().as_bytes(), SECRET_MODE)?;
    }
    let lines = told.iter().zip(before).map(|((what, path), before)| {
        let kept = before.is_some() && before == fs::read(path).ok();
        format!("{what:<24}{:<6}{}\n", if kept { "kept" } else { "made" }, path.display())
    });
    console::print(&lines.collect::<String>())
}
