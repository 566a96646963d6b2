//! Everything in one process: the in-process bus, state in the data folder, and what a first start lacks made once.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arborgate_bus::{Bus, local};
use arborgate_edge::Bound;
use arborgate_runtime::files::{DataDir, SECRET_MODE, write_new};
use arborgate_runtime::master_key::MasterKey;
use arborgate_runtime::metrics::Registry;
use arborgate_runtime::ops::{self, Health};
use arborgate_runtime::shutdown::{Shutdown, signals};
use arborgate_runtime::telemetry;
use arborgate_runtime::tls::{Reloader, ensure_dev_material};

use crate::cli::UpOptions;
use crate::console;
use crate::error::Error;
use crate::first_start;
use crate::roles::{self, EdgeProcess, Process, Role};
use crate::settings::Settings;

/// The operator's socket, below the data folder.
pub(crate) const SOCKET: &str = "operator.sock";
const MASTER_KEY: &str = "master.key";
const TLS: &str = "tls";

/// Runs until told to end.
pub(crate) async fn run(options: &UpOptions) -> Result<(), Error> {
    let settings = Settings::of(&options.config)?;
    let _telemetry = telemetry::init(&settings.telemetry, "arborgate", "all-in-one")?;
    let signal = signals()?;
    let data = DataDir::open(&options.data_dir)?;
    let socket = data.join(SOCKET);
    let bound = Bound::bind(&settings.edge, Some(&socket)).map_err(Error::service("edge"))?;
    let (health, metrics, shutdown) = (Health::new(), Registry::new(), Shutdown::new());
    ops::start(&settings.ops, health.clone(), metrics.clone(), shutdown.clone()).await?;
    let master = Arc::new(master_key(&data)?);
    let (certificate, development) = certificate(&settings, &data.join(TLS), &[], &shutdown)?;
    let bus = open_bus(&data, &metrics)?;
    first_start::prepare(&bus, &settings, &master).await?;
    let secure = certificate.is_some();
    let edge = EdgeProcess { bound, certificate, hsts: settings.edge.tls.hsts && !development };
    let process = Process { settings, bus, health, metrics, master: Some(master), edge: Some(edge) };
    let running = roles::start(process, &Role::ALL).await?;
    let address = running.address.map_or_else(String::new, |a| a.to_string());
    let url = format!("{}://{address}", if secure { "https" } else { "http" });
    console::print(&welcome(&url, data.path(), development))?;
    running.until(signal, &shutdown).await;
    Ok(())
}

/// The embedded state of a data folder.
pub(crate) fn open_bus(data: &DataDir, metrics: &Registry) -> Result<Bus, Error> {
    let config = local::Config { data_dir: Some(data.path().to_owned()), ..local::Config::default() };
    let opened =
        local::LocalBus::open(config).map_err(|source| Error::Open { path: data.path().to_owned(), source })?;
    let mut registry = prometheus_client::registry::Registry::with_prefix("arborgate");
    opened.metrics().register(&mut registry);
    metrics.adopt(registry);
    Ok(Bus::new(opened))
}

/// The master key of a data folder, made when there is neither it nor a state, which only the key that it was made with can
/// read.
fn master_key(data: &DataDir) -> Result<MasterKey, Error> {
    let path = &data.join(MASTER_KEY);
    if !path.exists() {
        if data.join(local::STATE_FILE).exists() {
            return Err(Error::MasterKeyMissing { path: path.clone() });
        }
        let wrong = |source| Error::MasterKey { path: path.to_owned(), source };
        let key = MasterKey::generate().map_err(wrong)?;
        write_new(path, key.to_text().as_bytes(), SECRET_MODE)?;
    }
    read_master_key(path)
}

/// The master key of a file.
pub(crate) fn read_master_key(path: &Path) -> Result<MasterKey, Error> {
    use arborgate_runtime::master_key::MasterKeyError;
    let wrong = |source: MasterKeyError| Error::MasterKey { path: path.to_owned(), source };
    let secret = arborgate_runtime::files::read_secret(path)?;
    let text = secret.as_text();
    MasterKey::from_text(text.as_ref().map_or("", |t| t.expose())).map_err(wrong)
}

/// The certificate in force, followed as its files change; whether it is the development one.
pub(crate) fn certificate(
    settings: &Settings,
    dir: &Path,
    names: &[String],
    shutdown: &Shutdown,
) -> Result<(Option<Arc<Reloader>>, bool), Error> {
    let tls = &settings.edge.tls;
    if !tls.enabled {
        return Ok((None, false));
    }
    let (reloader, development) = match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => (Reloader::open(cert, key)?, false),
        _ => (Reloader::open_dev(&ensure_dev_material(dir, names)?)?, true),
    };
    let reloader = Arc::new(reloader);
    let (watched, every) = (Reloader::clone(&reloader), *tls.reload_every);
    shutdown.spawn(watched.watch(every, shutdown.token()));
    Ok((Some(reloader), development))
}

/// What a person pastes next.
fn welcome(url: &str, data: &Path, development: bool) -> String {
    let mut text = format!("arborgate is ready at {url}\n");
    let ca = data.join(TLS).join("ca.pem");
    let trust = if development { format!(" --cacert {}", ca.display()) } else { String::new() };
    // Writing to a String can not fail.
    let _ = write!(
        text,
        "\nGet a token (it asks for the password):\n\
         \x20 read -rsp 'password: ' PASSWORD; echo; TOKEN=$(curl -s{trust} {url}/token --data-urlencode username=admin \
         --data-urlencode \"password=$PASSWORD\" | sed -E 's/.*\"access_token\":\"([^\"]+)\".*/\\1/')\n\
         \nPredict:\n\
         \x20 curl -s{trust} {url}/predict -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \
         -d '{{\"sepal_length\":5.1,\"sepal_width\":3.5,\"petal_length\":1.4,\"petal_width\":0.2}}'\n\
         \nAdd a model of yours:\n\
         \x20 arborgate models add NAME model.pkl --data-dir {}\n\
         \nThe documentation: {url}/docs\n",
        data.display()
    );
    text
}
