//! The clients that are generated from the OpenAPI document, and those of the inference protocol that others have; their
//! tests against a running server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{program, run_quietly, run_within};
use crate::error::{Error, Result};
use crate::openapi;
use crate::server::Server;
use crate::setup;
use crate::workspace::{self, Profile};

const LIMIT: Duration = Duration::from_secs(180);

/// Generates both, and tests them where that is wanted.
pub(crate) fn run(tested: bool) -> Result {
    generate()?;
    if tested { test(&workspace::arborgate(Profile::Debug)?) } else { Ok(()) }
}

/// Into ignored folders, from the committed document.
fn generate() -> Result {
    println!("clients: generate");
    quietly(program(workspace::python("python")).args(["-m", "openapi_spec_validator"]).arg(openapi::path()))?;
    let python = python().join("generated");
    clear(&python)?;
    quietly(
        program(workspace::python("openapi-generator-cli"))
            .args(["generate", "--generator-name", "python", "--package-name", "arborgate_client"])
            .args(["--additional-properties", "generateSourceCodeOnly=true", "--global-property"])
            .arg("apiTests=false,modelTests=false,apiDocs=false,modelDocs=false")
            .arg("--input-spec")
            .arg(openapi::path())
            .arg("--output")
            .arg(&python)
            .env("JAVA_OPTS", "-Dlog.level=error"),
    )?;
    let typescript = workspace::typescript();
    let generated = typescript.join("generated");
    clear(&generated)?;
    quietly(node("openapi-typescript").arg(openapi::path()).arg("--output").arg(generated.join("schema.d.ts")))
}

/// Compiles both clients' tests and runs them against a server of this binary.
fn test(binary: &Path) -> Result {
    quietly(program(workspace::python("python")).args(["-m", "compileall", "-q"]).arg(python()))?;
    quietly(node("tsc").arg("--project").arg(workspace::typescript()))?;
    with_server(binary, against)?;
    // One of its own, for signing in is limited by address.
    with_server(binary, inference)
}

fn with_server(binary: &Path, test: impl FnOnce(&Server) -> Result) -> Result {
    let server = Server::start(binary)?;
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
        let test = workspace::root().join(format!("openapi/clients/open_inference/test_{name}.py"));
        within(server.introduce(program(python).arg("-B").arg(test)))?;
    }
    Ok(())
}

fn against(server: &Server) -> Result {
    println!("clients: Python");
    let test = python().join("test_client.py");
    within(server.introduce(program(workspace::python("python")).arg("-B").arg(test)))?;
    println!("clients: TypeScript");
    let test = workspace::typescript().join("generated/test/test.js");
    // Node reads its authorities from this variable only.
    within(server.introduce(program("node").arg("--test").arg(test).env("NODE_EXTRA_CA_CERTS", server.ca())))
}

fn within(command: &mut Command) -> Result {
    run_within(LIMIT, command)
}

fn quietly(command: &mut Command) -> Result {
    run_quietly(LIMIT, command)
}

fn python() -> PathBuf {
    workspace::root().join("openapi/clients/python")
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
