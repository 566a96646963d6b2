//! Environments, programs and models: made once, then kept. What can not be had for one engine leaves that one out.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::engine::{Engine, Part, Program};
use super::model::{Library, Model};
use crate::command;
use crate::error::{Error, Result};
use crate::{setup, workspace};

/// For one of the things that are made; gcc takes long over a thousand trees.
const LIMIT: Duration = Duration::from_secs(3_600);

/// Where all of it is.
pub(super) struct Places {
    /// Our scripts and C.
    sources: PathBuf,
    tools: PathBuf,
    models: PathBuf,
    ours: PathBuf,
    installed: RefCell<BTreeMap<&'static str, Result<(), String>>>,
}

impl Places {
    pub(super) fn new(models: Option<PathBuf>) -> Result<Self> {
        let tools = workspace::tools().join("bench");
        fs::create_dir_all(&tools).map_err(Error::io("make a folder"))?;
        let sources = workspace::root().join("xtask/bench");
        let models = models.unwrap_or_else(|| tools.join("models"));
        let models = std::path::absolute(models).map_err(Error::io("find a folder"))?;
        let example = ["build", "--release", "--locked", "--package", "arborgate-forest", "--example", "kernels"];
        command::run(command::cargo().args(example))?;
        let ours = workspace::metadata()?.target_directory.join("release/examples/kernels").into_std_path_buf();
        let places = Self { sources, tools, models, ours, installed: RefCell::default() };
        places.install("libraries").map_err(Error::Wrong)?;
        places.compile()?;
        Ok(places)
    }

    /// The trained model.
    pub(super) fn model(&self, name: &str) -> Result<Model> {
        if !super::model::NAMES.contains(&name) {
            return Err(Error::Wrong(format!("no model '{name}'; there are {}", super::model::NAMES.join(", "))));
        }
        let mut train = self.script("libraries", "models.py");
        command::run_within(LIMIT, train.arg(&self.models).arg(name))?;
        Model::read(name, &self.models.join(name))
    }

    /// What the library says of the rows, or why that can not be had.
    pub(super) fn expected(&self, model: &Model, part: Part) -> Result<(), String> {
        if model.folder.join(part.expected()).is_file() {
            return Ok(());
        }
        if model.library == Library::Sklearn {
            self.install("shap")?;
        }
        eprintln!("{}: contributions of its library", model.name);
        said(LIMIT, self.script("libraries", "contributions.py").arg(&model.folder))
    }

    /// Of what is installed: the lists name first what is meant, then what that needs.
    pub(super) fn versions(&self) -> Vec<String> {
        let lists = ["libraries", "onnx", "tl2cgen", "onedal", "lleaves", "shap"];
        let installed =
            lists.iter().filter_map(|list| fs::read_to_string(self.environment(list).join(stamp(list))).ok());
        let named = |text: String| -> Vec<String> {
            let lines = text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once("=="));
            lines.map(|(name, version)| format!("{name} {version}")).collect()
        };
        installed.flat_map(named).collect()
    }

    /// What an engine needs for a model, or why that can not be.
    pub(super) fn make(&self, engine: Engine, model: &Model, part: Part) -> Result<(), String> {
        if part == Part::Contributions && engine == Engine::Sklearn {
            self.install("shap")?;
        }
        if let Some(list) = engine.packages() {
            self.install(list)?;
            if engine == Engine::Onedal {
                self.install("tl2cgen")?;
            }
        }
        let Some((script, made)) = engine.made() else { return Ok(()) };
        if model.folder.join(made).is_file() {
            return Ok(());
        }
        eprintln!("{}: {engine}", model.name);
        let list = engine.packages().unwrap_or_default();
        said(LIMIT, self.script(list, script).arg(&model.folder))
    }

    /// What measures an engine.
    pub(super) fn command(&self, engine: Engine, model: &Model, part: Part, threads: usize) -> Result<Command> {
        let tables = [model.folder.join("rows.npy"), model.folder.join(part.expected())];
        let in_c = |name: &str, library: &Path, file: &Path| {
            let mut command = command::program(self.tools.join("engines"));
            command.arg(name).arg(threads.to_string()).arg(library).arg(file).args(&tables);
            command
        };
        Ok(match engine.program(part) {
            Program::Ours => {
                let mut command = command::program(&self.ours);
                command.arg(&model.file).args(&tables).args(["--threads", &threads.to_string()]);
                if part == Part::Contributions {
                    command.args(["--contributions", &model.bound().to_string()]);
                }
                command
            }
            Program::Wheel(name, folder, start) => {
                let library = self.library(folder, start)?;
                let converted = engine.made().map(|(_, made)| model.folder.join(made));
                in_c(name, &library, converted.as_deref().unwrap_or(&model.file))
            }
            Program::Made(name, made) => in_c(name, &model.folder.join(made), &model.file),
            Program::Python(script) => {
                let mut command = self.script("libraries", script);
                command.arg(&model.folder).arg(threads.to_string());
                command
            }
        })
    }

    /// lleaves needs an old LLVM, so it stands alone; all others go together.
    fn environment(&self, list: &str) -> PathBuf {
        self.tools.join(if list == "lleaves" { "lleaves" } else { "python" })
    }

    /// Packages of a list, tried once; else what can not be had.
    fn install(&self, list: &'static str) -> Result<(), String> {
        self.installed.borrow_mut().entry(list).or_insert_with(|| self.install_now(list)).clone()
    }

    fn install_now(&self, list: &str) -> Result<(), String> {
        let wanted = self.sources.join("requirements").join(list).with_extension("txt");
        // the lists are whole, and leave out what is large and not used
        let done = setup::packages(&self.environment(list), &wanted, &stamp(list), &["--no-deps"]);
        done.map_err(|error| {
            eprintln!("{}", error.with_causes());
            format!("the packages of xtask/bench/requirements/{list}.txt can not be installed")
        })
    }

    fn script(&self, list: &str, script: &str) -> Command {
        let mut command = command::program(self.environment(list).join("bin/python"));
        command.args(["-W", "ignore"]).arg(self.sources.join(script));
        // nothing is written beside the scripts
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn library(&self, folder: &str, start: &str) -> Result<PathBuf> {
        let within = |folder: &Path, start: &str| -> Option<PathBuf> {
            let names = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
            names
                .into_iter()
                .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start)))
        };
        let packages =
            within(&self.environment("libraries").join("lib"), "python").map(|path| path.join("site-packages"));
        let found = packages.and_then(|packages| within(&packages.join(folder), start));
        found.ok_or_else(|| Error::Wrong(format!("no {folder}/{start} among the Python packages")))
    }

    fn compile(&self) -> Result {
        let entries = fs::read_dir(&self.sources).map_err(Error::io("read a folder"))?.flatten();
        let sources: Vec<OsString> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "c"))
            .map(PathBuf::into_os_string)
            .collect();
        let mut cc = command::program("cc");
        cc.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]).arg(self.tools.join("engines"));
        command::run(cc.args(sources).args(["-ldl", "-lm"]))
    }
}

/// What says in an environment that a list is in.
fn stamp(list: &str) -> String {
    format!("installed-{list}.txt")
}

/// Runs it, and on failure gives the last line that it said.
fn said(limit: Duration, command: &mut Command) -> Result<(), String> {
    let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
    let (out, err) = (file.reopen(), file.reopen());
    let (Ok(out), Ok(err)) = (out, err) else { return Err("can not keep what a program says".to_owned()) };
    command::run_within(limit, command.stdout(out).stderr(err)).map_err(|error| {
        let text = fs::read(file.path()).unwrap_or_default();
        super::process::last_line(&text).unwrap_or_else(|| error.with_causes())
    })
}
