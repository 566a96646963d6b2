//! What a cluster on one machine, or a development one, needs before its first start: a CA of its own, certificates of
//! servers and of clients, and a master key. Each is made once.

use std::fs;
use std::path::Path;

use arborgate_runtime::files::{PUBLIC_MODE, SECRET_MODE, read_secret, write_new};
use arborgate_runtime::master_key::MasterKey;
use arborgate_runtime::tls::{DevCa, Paths, ensure_dev_material};

use crate::cli::CertsOptions;
use crate::console;
use crate::error::Error;

const CLIENT: &str = "client";
/// Below localhost, for which the CA may sign, whatever else it may.
const CLIENT_NAME: &str = "arborgate.localhost";
const MASTER_KEY: &str = "master.key";

/// Makes what is not there.
pub(crate) fn run(options: &CertsOptions) -> Result<(), Error> {
    let paths = ensure_dev_material(&options.dir, &options.names)?;
    let client = options.dir.join(format!("{CLIENT}.pem"));
    let client_key = options.dir.join(format!("{CLIENT}.key"));
    if !client.exists() || !signed_after(&client, &paths.ca_cert) {
        make_client(&paths, &client, &client_key)?;
    }
    let master = options.dir.join(MASTER_KEY);
    if !master.exists() {
        let key = MasterKey::generate().map_err(|source| Error::MasterKey { path: master.clone(), source })?;
        write_new(&master, key.to_text().as_bytes(), SECRET_MODE)?;
    }
    let lines = [
        ("CA", &paths.ca_cert),
        ("server certificate", &paths.cert),
        ("client certificate", &client),
        ("master key", &master),
    ];
    let lines: Vec<String> = lines.iter().map(|(what, path)| format!("{what:<20}{}\n", path.display())).collect();
    console::print(&lines.concat())
}

/// A CA that was made again did not sign an older certificate.
fn signed_after(certificate: &Path, ca: &Path) -> bool {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    matches!((time(certificate), time(ca)), (Ok(signed), Ok(made)) if signed >= made)
}

fn make_client(paths: &Paths, certificate: &Path, key: &Path) -> Result<(), Error> {
    let cert_pem = fs::read_to_string(&paths.ca_cert).map_err(|source| Error::File {
        what: "read",
        path: paths.ca_cert.clone(),
        source,
    })?;
    let secret = read_secret(&paths.ca_key)?;
    let key_pem = secret.as_text();
    let ca = DevCa::load(&cert_pem, key_pem.as_ref().map_or("", |text| text.expose()))?;
    let issued = ca.client_cert(CLIENT_NAME)?;
    arborgate_runtime::files::replace(key, issued.key_pem.as_bytes(), SECRET_MODE)?;
    arborgate_runtime::files::replace(certificate, issued.cert_pem.as_bytes(), PUBLIC_MODE)?;
    Ok(())
}
