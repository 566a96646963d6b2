//! What docker-compose.yml says, as processes on this machine: the commands, variables, files, health checks and order as
//! written; only host names, ports and paths of containers are others. A service finds the secrets that it is given, and
//! no others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use arborgate_testkit::nats::find_binary;
use arborgate_testkit::process::{Process, Program};
use arborgate_testkit::system::eventually;
use serde_json::{Map, Value};

use crate::lifecycle::{LIMIT, ended, folder, succeeds};
use crate::support::{PROGRAM, run, setosa};

/// Where the image has the binary.
const IN_IMAGE: &str = "/usr/local/bin/arborgate";
/// Nothing is under way: a process that uses its grace of 30 s up waits for something that does not end.
const BELOW_GRACE: Duration = Duration::from_secs(25);
const LOCALHOST: &str = "127.0.0.1";
/// Where a container has its secrets.
const SECRETS: &str = "/run/secrets/";
/// Where the file has them.
const CERTS: &str = "./certs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The file with its variables at their defaults.
fn read() -> Value {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    let mut file: Value = serde_saphyr::from_str(&text).unwrap();
    each_text(&mut file, &|text| defaulted(text));
    file
}

fn each_text(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(map) => map.values_mut().for_each(|value| each_text(value, change)),
        _ => {}
    }
}

/// `${NAME:-default}` as Compose reads it where nothing is set.
fn defaulted(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, after) = after.split_once('}').unwrap();
        plain.push_str(before);
        plain.push_str(variable.split_once(":-").unwrap_or_else(|| panic!("{variable} has no default")).1);
        rest = after;
    }
    plain + rest
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned();
    value.as_array().into_iter().flatten().map(text).collect()
}

/// A service with its name.
struct Service<'a> {
    name: &'a str,
    keys: &'a Map<String, Value>,
}

impl Service<'_> {
    fn get(&self, key: &str) -> &Value {
        self.keys.get(key).unwrap_or(&Value::Null)
    }

    /// The secrets that it is given, each with its name in the container.
    fn secrets(&self) -> Vec<(&str, &str)> {
        let list = self.get("secrets").as_array().into_iter().flatten();
        list.map(|secret| match secret {
            Value::String(name) => (name.as_str(), name.as_str()),
            other => (other["source"].as_str().unwrap(), other["target"].as_str().unwrap()),
        })
        .collect()
    }

    fn is_ours(&self) -> bool {
        self.get("image").as_str().unwrap().starts_with("arborgate:")
    }

    fn needs(&self) -> Vec<(&str, &str)> {
        let needs = self.get("depends_on").as_object().into_iter().flatten();
        needs.map(|(name, how)| (name.as_str(), how["condition"].as_str().unwrap())).collect()
    }
}

/// What stands for the containers' network and file systems.
struct Machine {
    folder: tempfile::TempDir,
    /// Host and port as containers name them, and where that is here.
    places: Vec<(String, String)>,
}

impl Machine {
    /// The folder that stands for a volume's source.
    fn source(&self, source: &str) -> PathBuf {
        let path = self.folder.path().join(source.trim_start_matches("./"));
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// The folder that stands for a container's secrets.
    fn secrets(&self, service: &str) -> PathBuf {
        self.folder.path().join("containers").join(service)
    }

    /// Gives a container its secrets.
    fn mount(&self, file: &Value, service: &Service<'_>) {
        let folder = self.secrets(service.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, target) in service.secrets() {
            let source = file["secrets"][name]["file"].as_str().unwrap_or_else(|| panic!("there is no secret {name}"));
            let below = source.strip_prefix(CERTS).unwrap().trim_start_matches('/');
            std::fs::copy(self.source(CERTS).join(below), folder.join(target)).unwrap();
        }
    }

    /// A text of a service with its paths, hosts and ports.
    fn here(&self, service: &Service<'_>, text: &str) -> String {
        let mut text = text.replace(SECRETS, &format!("{}/", self.secrets(service.name).display()));
        for volume in texts(service.get("volumes")) {
            let mut parts = volume.split(':');
            let (source, target) = (parts.next().unwrap(), parts.next().unwrap());
            let (option, path) = match text.split_once('=') {
                Some((option, path)) if option.starts_with("--") => (format!("{option}="), path.to_owned()),
                _ => (String::new(), text.clone()),
            };
            if let Some(below) = path.strip_prefix(target) {
                text = format!("{option}{}{below}", self.source(source).display());
            }
        }
        self.places.iter().fold(text, |text, (there, here)| text.replace(there, here))
    }

    fn variables(&self, service: &Service<'_>) -> BTreeMap<String, String> {
        let given = service.get("environment").as_object().into_iter().flatten();
        let mut variables: BTreeMap<String, String> =
            given.map(|(name, value)| (name.clone(), self.here(service, value.as_str().unwrap()))).collect();
        if let Some(listen) = variables.get_mut("ARBORGATE__EDGE__LISTEN") {
            *listen = format!("{LOCALHOST}:0");
        }
        // A container has a loopback of its own; here every process needs its own port.
        variables.insert("ARBORGATE__OPS__LISTEN".to_owned(), format!("{LOCALHOST}:0"));
        variables
    }

    fn program(&self, service: &Service<'_>) -> Program {
        let command = texts(service.get("command")).into_iter().map(|text| self.here(service, &text));
        if service.is_ours() {
            assert!(service.get("entrypoint").is_null());
            let variables = self.variables(service);
            return variables
                .into_iter()
                .fold(Program::new(PROGRAM).args(command), |p, (name, value)| p.env(name, value));
        }
        assert_eq!(service.name, "nats");
        let command = command.map(|text| match text.split_once("port=") {
            Some((option, _)) => format!("{option}port=-1"),
            None => text,
        });
        let ports = format!("--ports_file_dir={}", self.folder.path().display());
        Program::new(find_binary().unwrap()).args(command).arg(format!("--addr={LOCALHOST}")).arg(ports)
    }
}

/// A service's processes, how many its scale says.
struct Running {
    /// With the address of its operations, if it is ours.
    processes: Vec<(Process, Option<String>)>,
    completed: bool,
}

/// Where a process of ours answers probes, as its log in JSON says.
async fn operations(process: &Process) -> String {
    let mut found = None;
    let told = |line: &str| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["message"] == "operations are answered").then(|| line["address"].as_str().unwrap().to_owned())
    };
    let what = "the operations listener is told";
    eventually(what, async || {
        found = process.stderr().lines().find_map(told);
        Ok(found.is_some())
    })
    .await
    .unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    found.unwrap()
}

/// Where nats-server listens: (clients, monitoring).
async fn nats_ports(folder: &Path, process: &mut Process) -> (String, String) {
    let path = folder.join(format!("nats-server_{}.ports", process.pid()));
    let mut found = None;
    eventually("nats-server listens", async || {
        assert!(process.ended().unwrap().is_none(), "{}", process.stderr());
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        found = serde_json::from_str::<Value>(&text).ok();
        Ok(found.is_some())
    })
    .await
    .unwrap();
    let found = found.unwrap();
    let port = |of: &str| {
        let url = found[of][0].as_str().unwrap_or_else(|| panic!("{of}: {found}"));
        format!("{LOCALHOST}:{}", url.rsplit_once(':').unwrap().1)
    };
    (port("nats"), port("monitoring"))
}

/// The health check of a service once it passes.
async fn healthy(machine: &Machine, service: &Service<'_>, operations: Option<&str>) {
    let test = texts(&service.get("healthcheck")["test"]);
    let words: Vec<&str> = test.iter().map(String::as_str).collect();
    match (words.as_slice(), operations) {
        (["CMD", IN_IMAGE, args @ ..], Some(address)) => {
            let check = || Program::new(PROGRAM).args(args.iter().copied()).args(["--address", address]);
            eventually("the health check passes", async || {
                let mut check = check().start()?;
                Ok(ended(&mut check).await.success())
            })
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", service.name));
        }
        (["CMD", "wget", .., url], None) => {
            let url = machine.here(service, url);
            let passes = async || Ok(reqwest::get(&url).await.is_ok_and(|answer| answer.status() == 200));
            eventually("the health check passes", passes).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        other => panic!("{}: no such health check: {other:?}", service.name),
    }
}

async fn start(machine: &mut Machine, service: &Service<'_>, scale: usize) -> Running {
    let mut processes = Vec::new();
    for _ in 0..scale {
        let mut process = machine.program(service).start().unwrap();
        let mut address = None;
        if !service.is_ours() {
            let (clients, monitoring) = nats_ports(machine.folder.path(), &mut process).await;
            machine.places.push((format!("{}:4222", service.name), clients));
            machine.places.push((format!("{LOCALHOST}:8222"), monitoring));
        } else if service.get("healthcheck")["disable"] != true {
            address = Some(operations(&process).await);
        }
        processes.push((process, address));
    }
    Running { processes, completed: false }
}

/// Waits until what a service depends on is as it says.
async fn await_needs(
    machine: &Machine,
    services: &Map<String, Value>,
    service: &Service<'_>,
    running: &mut BTreeMap<String, Running>,
) {
    for (name, condition) in service.needs() {
        let needed = Service { name, keys: services[name].as_object().unwrap() };
        let of = running.get_mut(name).unwrap();
        for (process, address) in &mut of.processes {
            match condition {
                "service_healthy" => healthy(machine, &needed, address.as_deref()).await,
                "service_completed_successfully" if !of.completed => {
                    let status = ended(process).await;
                    assert!(status.success(), "{name}: {status}: {}", process.stderr());
                }
                "service_completed_successfully" => {}
                other => panic!("{other}"),
            }
        }
        of.completed = condition == "service_completed_successfully";
    }
}

#[test]
fn what_the_compose_file_says_runs_and_predicts() {
    run(async {
        let file = read();
        let services = file["services"].as_object().unwrap();
        let mut machine = Machine { folder: folder(), places: Vec::new() };
        // As the file's head says, with the names of its services.
        let names = ["--name", "nats", "--name", "edge"];
        succeeds(Program::new(PROGRAM).arg("certs").arg(machine.source(CERTS)).args(names)).await;
        let mut running: BTreeMap<String, Running> = BTreeMap::new();
        while running.len() < services.len() {
            let startable = |(name, keys): &(&String, &Value)| {
                let service = Service { name, keys: keys.as_object().unwrap() };
                !running.contains_key(*name) && service.needs().iter().all(|(need, _)| running.contains_key(*need))
            };
            let (name, keys) = services.iter().find(startable).unwrap_or_else(|| panic!("a circle of depends_on"));
            let service = Service { name, keys: keys.as_object().unwrap() };
            await_needs(&machine, services, &service, &mut running).await;
            machine.mount(&file, &service);
            let scale = if name == "inference" { 3 } else { 1 };
            let started = start(&mut machine, &service, scale).await;
            running.insert(name.clone(), started);
        }

        let edge = &mut running.get_mut("edge").unwrap().processes[0].0;
        let said = edge.until_line("arborgate is ready at ", LIMIT).await.unwrap();
        let url = said.split(' ').next().unwrap().replace(LOCALHOST, "localhost");
        for (name, of) in running.iter().filter(|(name, _)| *name != "init") {
            let service = Service { name, keys: services[name].as_object().unwrap() };
            for (_, address) in &of.processes {
                healthy(&machine, &service, address.as_deref()).await;
            }
        }
        let told = running["init"].processes[0].0.stdout();
        let password = told.lines().find_map(|line| line.trim().strip_prefix("password  ")).unwrap();
        let password = password.split(' ').next().unwrap();
        uses(&url, &machine.source(CERTS).join("ca.pem"), password).await;

        for (name, of) in &mut running {
            for (process, _) in &mut of.processes {
                let status = process.until_stopped(BELOW_GRACE).await.unwrap();
                // nats-server's way of telling that a signal ended it is 1.
                assert!(status.success() || name == "nats", "{name}: {status}: {}", process.stderr());
            }
        }
    });
}

/// What a client does.
async fn uses(url: &str, ca: &Path, password: &str) {
    let ca = reqwest::Certificate::from_pem_bundle(&std::fs::read(ca).unwrap()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only(ca).timeout(LIMIT).build().unwrap();
    let form = [("username", "admin"), ("password", password)];
    let signed_in = client.post(format!("{url}/token")).form(&form).send().await.unwrap();
    assert_eq!(signed_in.status(), 200, "{}", signed_in.text().await.unwrap());
    let token: Value = signed_in.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap();
    let post = async |path: &str, body: &Value| {
        let answer = client.post(format!("{url}{path}")).bearer_auth(token).json(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json::<Value>().await.unwrap()
    };
    eventually("a worker holds the model", async || {
        let request = client.post(format!("{url}/predict")).bearer_auth(token).json(&setosa());
        Ok(request.send().await.is_ok_and(|answer| answer.status() == 200))
    })
    .await
    .unwrap();
    assert_eq!(post("/predict", &setosa()).await["label"], "setosa");
    let encrypted = post("/encrypt", &serde_json::json!({"plaintext": "of the cluster"})).await;
    assert_eq!(post("/decrypt", &encrypted).await["plaintext"], "of the cluster");
}

#[test]
fn each_service_is_given_the_secrets_that_it_needs_and_no_others() {
    let file = read();
    let secrets = file["secrets"].as_object().unwrap();
    assert!(secrets.iter().all(|(name, secret)| secret["file"] == format!("{CERTS}/{name}")), "{secrets:?}");
    assert!(!secrets.contains_key("ca.key"), "who has the CA's key can be anybody");
    for (name, keys) in file["services"].as_object().unwrap() {
        let service = Service { name, keys: keys.as_object().unwrap() };
        let mounted = texts(service.get("volumes"));
        assert!(mounted.iter().all(|volume| !volume.starts_with(['.', '/'])), "{name}: a folder of the machine's");
        let mut wanted = vec!["ca.pem".to_owned()];
        if service.is_ours() {
            wanted.extend([format!("client-{name}.pem"), format!("client-{name}.key")]);
        }
        if ["edge", "nats"].contains(&name.as_str()) {
            wanted.extend(["server.pem".to_owned(), "server.key".to_owned()]);
        }
        if ["auth", "crypto", "init"].contains(&name.as_str()) {
            wanted.push("master.key".to_owned());
        }
        let given: Vec<_> = service.secrets().into_iter().map(|(source, _)| source.to_owned()).collect();
        assert_eq!(given, wanted, "{name}");
    }
}

#[test]
fn merge_keys_and_defaults_are_read() {
    let file = read();
    let edge = &file["services"]["edge"];
    assert_eq!(edge["read_only"], true, "{edge}");
    assert_eq!(edge["environment"]["ARBORGATE__NATS__TLS__REQUIRED"], "true");
    assert_eq!(defaulted("a${X:-b}c${Y:-}"), "abc");
    // The port that is published is the one where the edge listens.
    let listen = edge["environment"]["ARBORGATE__EDGE__LISTEN"].as_str().unwrap();
    let published = texts(&edge["ports"]);
    assert_eq!(published[0].rsplit_once(':').unwrap().1, listen.rsplit_once(':').unwrap().1);
    assert!(published[0].starts_with(LOCALHOST), "nothing is published to all by default");
}

#[test]
fn nobody_is_root_in_a_container() {
    let dockerfile = std::fs::read_to_string(root().join("Dockerfile")).unwrap();
    let last = |word: &str| {
        let mut lines = dockerfile.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        lines.next_back().unwrap_or_else(|| panic!("the Dockerfile has no {word}")).trim().to_owned()
    };
    let root = |user: &str| matches!(user.split(':').next(), None | Some("" | "0" | "root"));
    assert!(!root(&last("USER")));
    assert_eq!(serde_json::from_str::<Vec<String>>(&last("ENTRYPOINT")).unwrap(), [IN_IMAGE]);
    assert!(last("HEALTHCHECK").contains(&format!("CMD [\"{IN_IMAGE}\", \"health\"]")));
    for (name, service) in read()["services"].as_object().unwrap() {
        assert!(!root(service["user"].as_str().unwrap_or_default()), "{name}");
    }
}
