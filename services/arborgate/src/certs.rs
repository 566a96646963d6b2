//! What a cluster on one machine, or a development one, needs before its first start: a CA of its own, a server
//! certificate and a master key. Each is made once.

use arborgate_runtime::files::{SECRET_MODE, write_new};
use arborgate_runtime::master_key::MasterKey;
use arborgate_runtime::tls::ensure_dev_material;

use crate::cli::CertsOptions;
use crate::console;
use crate::error::Error;

const MASTER_KEY: &str = "master.key";

/// Makes what is not there.
pub fn run(options: &CertsOptions) -> Result<(), Error> {
    let paths = ensure_dev_material(&options.dir, &options.names)?;
    let master = options.dir.join(MASTER_KEY);
    if !master.exists() {
        let key = MasterKey::generate().map_err(|source| Error::MasterKey { path: master.clone(), source })?;
        write_new(&master, key.to_text().as_bytes(), SECRET_MODE)?;
    }
    console::print(&format!(
        "CA           {}\ncertificate  {}\nkey          {}\nmaster key   {}\n",
        paths.ca_cert.display(),
        paths.cert.display(),
        paths.key.display(),
        master.display()
    ))
}
