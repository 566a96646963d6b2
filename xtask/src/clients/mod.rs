//! The clients that are generated from the OpenAPI document: from the committed one, or from what a running server shows to
//! whoever has a key; and those of the inference protocol that others have. Their tests against a server with two models.

mod names;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{cargo, program, run_quietly, run_within};
use crate::error::{Error, Result};
use crate::openapi;
use crate::server::{Limits, Server};
use crate::setup;
use crate::workspace::{self, Profile};

const LIMIT: Duration = Duration::from_secs(180);
/// For compiling a client of Rust with all that it needs.
const COMPILE_LIMIT: Duration = Duration::from_secs(600);

/// What is generated from, and whether it is tested.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Of a running server: what it shows has an operation for each model. Without it the committed document
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// An API key of it; better in the environment than here
    #[arg(long, value_name = "KEY", env = "ARBORGATE_API_KEY", hide_env_values = true, requires = "server")]
    api_key: Option<String>,
    /// The CA that signed its certificate, in PEM form; without it those that the system trusts
    #[arg(long, value_name = "FILE", env = "ARBORGATE_CA")]
    ca: Option<PathBuf>,
    /// And run the tests, against a server of their own with two models
    #[arg(long, conflicts_with = "server")]
    test: bool,
}

/// Generates all into ignored folders.
pub(crate) fn run(options: &Options) -> Result {
    if options.test {
        return test(&workspace::arborgate(Profile::Debug)?);
    }
    let Some(server) = &options.server else { return generate(&openapi::path()) };
    let document = tempfile::NamedTempFile::new().map_err(Error::io("can not keep the document"))?;
    let mut fetch = fetch(document.path());
    fetch.env("BASE_URL", server).envs(options.ca.as_ref().map(|ca| ("CA_FILE", ca)));
    quietly(fetch.envs(options.api_key.as_ref().map(|key| ("ARBORGATE_API_KEY", key))))?;
    generate(document.path())
}

/// The document of the server that the environment names.
fn fetch(into: &Path) -> Command {
    let mut fetch = program(workspace::python("python"));
    fetch.arg("-B").arg(clients().join("document.py")).arg(into);
    fetch
}

fn generate(document: &Path) -> Result {
    println!("clients: generate");
    quietly(program(workspace::python("python")).args(["-m", "openapi_spec_validator"]).arg(document))?;
    let names = tempfile::Builder::new().suffix(".json").tempfile().map_err(Error::io("can not keep names"))?;
    names::write(document, names.path())?;
    let of = |generator, package, properties, into: PathBuf| {
        clear(&into)?;
        let mut command = program(workspace::python("openapi-generator-cli"));
        command.args(["generate", "--generator-name", generator, "--package-name", package]);
        command.args(["--additional-properties", properties, "--global-property"]);
        command.arg("apiTests=false,modelTests=false,apiDocs=false,modelDocs=false");
        command.arg("--config").arg(names.path()).arg("--input-spec").arg(document).arg("--output").arg(into);
        quietly(command.env("JAVA_OPTS", "-Dlog.level=error"))
    };
    of("python", "arborgate_client", "generateSourceCodeOnly=true", python().join("generated"))?;
    of("rust", "arborgate-client", "library=reqwest", rust().join("generated"))?;
    let generated = workspace::typescript().join("generated");
    clear(&generated)?;
    quietly(node("openapi-typescript").arg(document).arg("--output").arg(generated.join("schema.d.ts")))
}

/// Generates from what a server with two models shows, checks the types of what uses it, and runs that against the server.
pub(crate) fn test(binary: &Path) -> Result {
    with_server(binary, against)?;
    with_server(binary, inference)
}

fn with_server(binary: &Path, test: impl FnOnce(&Server) -> Result) -> Result {
    // Each client signs in.
    let server = Server::start_with(binary, Limits::None)?;
    let tested = test(&server);
    if tested.is_err() {
        eprintln!("{}", server.log());
    }
    tested.and(server.stop())
}

/// Clients of other model servers, used as their documentation does.
fn inference(server: &Server) -> Result {
    for name in setup::INFERENCE_CLIENTS {
        println!("clients: {name}");
        let python = setup::inference_client(name).join("bin/python");
        let test = clients().join(format!("open_inference/test_{name}.py"));
        within(server.introduce(program(python).arg("-B").arg(test)))?;
    }
    Ok(())
}

fn against(server: &Server) -> Result {
    server.add_awkward_model()?;
    let document = tempfile::NamedTempFile::new().map_err(Error::io("can not keep the document"))?;
    quietly(server.introduce(&mut fetch(document.path())))?;
    generate(document.path())?;
    println!("clients: Python");
    let generated = python().join("generated");
    quietly(program(workspace::python("python")).args(["-m", "compileall", "-q"]).arg(python()))?;
    let mypy = ["--config-file", "openapi/clients/python/mypy.ini", "openapi/clients/python/test_typed.py"];
    quietly(program(workspace::python("mypy")).args(mypy).env("MYPYPATH", &generated))?;
    for test in ["test_client.py", "test_typed.py"] {
        let mut command = program(workspace::python("python"));
        within(server.introduce(command.arg("-B").arg(python().join(test)).env("PYTHONPATH", &generated)))?;
    }
    println!("clients: TypeScript");
    quietly(node("tsc").arg("--project").arg(workspace::typescript()))?;
    let tests = ["test.js", "typed.js"].map(|test| workspace::typescript().join("generated/test").join(test));
    // Node reads its authorities from this variable only.
    within(server.introduce(program("node").arg("--test").args(tests).env("NODE_EXTRA_CA_CERTS", server.ca())))?;
    println!("clients: Rust");
    let mut test = cargo();
    test.args(["test", "--quiet", "--locked", "--manifest-path"]).arg(rust().join("Cargo.toml"));
    // Where the server was compiled is most of what the client needs.
    test.arg("--target-dir").arg(workspace::target()?);
    run_within(COMPILE_LIMIT, server.introduce(&mut test))
}

fn within(command: &mut Command) -> Result {
    run_within(LIMIT, command)
}

fn quietly(command: &mut Command) -> Result {
    run_quietly(LIMIT, command)
}

fn clients() -> PathBuf {
    workspace::root().join("openapi/clients")
}

fn python() -> PathBuf {
    clients().join("python")
}

fn rust() -> PathBuf {
    clients().join("rust")
}

/// A program of the Node packages.
fn node(name: &str) -> Command {
    program(workspace::typescript().join("node_modules/.bin").join(name))
}

fn clear(folder: &Path) -> Result {
    let cleared = match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(folder),
    };
    cleared.map_err(Error::io(format!("can not clear {}", folder.display())))
}
