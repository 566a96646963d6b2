//! What users would otherwise take: MLServer and FastAPI, in environments of their own, with the same model.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arborgate_testkit::process::Program;

use super::{COUNTS, Load, Places, Row, Setup, connections, text};
use crate::command;
use crate::error::{Error, Result};
use crate::{setup, workspace};

const PATIENCE: Duration = Duration::from_secs(60);
/// Of the JWT: HS256 wants 32 bytes.
const JWT_KEY: &str = "a key of the benchmark, no secret";

/// Their environments.
pub(super) struct Others {
    mlserver: PathBuf,
    fastapi: PathBuf,
    sources: PathBuf,
}

impl Others {
    pub(super) fn install() -> Result<Self> {
        let bench = workspace::root().join("xtask/bench");
        let install = |name: &str| {
            let environment = workspace::tools().join("bench").join(name);
            let wanted = bench.join("requirements").join(name).with_extension("txt");
            setup::packages(&environment, &wanted, &format!("installed-{name}.txt"), &["--no-deps"])?;
            Ok::<_, Error>(environment)
        };
        Ok(Self { mlserver: install("mlserver")?, fastapi: install("fastapi")?, sources: bench.join("serve") })
    }

    /// Writes the bodies of every request.
    pub(super) fn bodies(&self, places: &Places) -> Result {
        let mut write = command::program(self.fastapi.join("bin/python"));
        write.arg("-B").arg(self.sources.join("bodies.py")).arg(places.xgb.join("rows.npy")).arg(&places.bodies);
        command::run_within(PATIENCE, &mut write)
    }

    /// Starts each.
    pub(super) fn start(&self, places: &Places) -> Result<[Setup; 3]> {
        let token = self.token()?;
        Ok([
            self.mlserver(places)?,
            self.uvicorn("FastAPI, XGBoost", "fastapi_xgboost", places, &[], None)?,
            self.uvicorn(
                "FastAPI, onnxruntime, TLS, JWT, 2 workers",
                "fastapi_onnxruntime",
                places,
                &TWO,
                Some(token),
            )?,
        ])
    }

    fn mlserver(&self, places: &Places) -> Result<Setup> {
        let folder = places.work.join("mlserver");
        fs::create_dir(&folder).map_err(Error::io("make a folder"))?;
        let (http, grpc, metrics) = (free()?, free()?, free()?);
        let settings = serde_json::json!({
            "host": "127.0.0.1", "http_port": http.port(), "grpc_port": grpc.port(), "metrics_port": metrics.port(),
            "debug": false, "parallel_workers": 0, "load_models_at_startup": true,
        });
        let model = serde_json::json!({
            "name": "xgb", "implementation": "mlserver_xgboost.XGBoostModel",
            "parameters": {"uri": places.xgb.join("model.json"), "version": "1"},
        });
        for (name, content) in [("settings.json", settings), ("model-settings.json", model)] {
            fs::write(folder.join(name), content.to_string()).map_err(Error::io("write MLServer's settings"))?;
        }
        let process = Program::new(self.mlserver.join("bin/mlserver")).arg("start").arg(&folder).start();
        let process = process.map_err(Error::io("start MLServer"))?;
        answering(http, "MLServer")?;
        Ok(Setup { name: "MLServer", address: http.to_string(), token: None, processes: vec![process], nats: None })
    }

    fn uvicorn(
        &self,
        name: &'static str,
        app: &str,
        places: &Places,
        more: &[&str],
        token: Option<String>,
    ) -> Result<Setup> {
        let at = free()?;
        let mut program = Program::new(self.fastapi.join("bin/python"))
            .args(["-B", "-m", "uvicorn", "--log-level", "warning", "--host", "127.0.0.1", "--no-access-log"])
            .arg("--app-dir")
            .arg(&self.sources)
            .args(["--port", &at.port().to_string()])
            .args(more.iter().copied())
            .arg(format!("{app}:app"));
        let model = if token.is_some() { places.iris.join("model.onnx") } else { places.xgb.join("model.json") };
        program = program.env("MODEL", text(&model)).env("JWT_KEY", JWT_KEY);
        if token.is_some() {
            let file = |name: &str| text(&places.tls.join(name));
            program = program.args(["--ssl-certfile", &file("server.pem"), "--ssl-keyfile", &file("server.key")]);
        }
        let process = program.start().map_err(Error::io("start uvicorn"))?;
        answering(at, name)?;
        Ok(Setup { name, address: at.to_string(), token, processes: vec![process], nats: None })
    }

    fn token(&self) -> Result<String> {
        let sign =
            "import jwt, sys, time; print(jwt.encode({'sub': 'bench', 'exp': int(time.time()) + 7200}, sys.argv[1]))";
        let mut python = command::program(self.fastapi.join("bin/python"));
        Ok(command::output(python.args(["-c", sign, JWT_KEY]))?.trim().to_owned())
    }

    /// What is asked of them.
    pub(super) fn rows<'s>(&self, theirs: &'s [Setup; 3], places: &'s Places) -> Vec<Row<'s>> {
        let [mlserver, xgboost, onnx] = theirs;
        let mut rows = Vec::new();
        for (setup, path, body) in [(mlserver, "/v2/models/xgb/infer", "v2.json"), (xgboost, "/predict", "list.json")] {
            for count in COUNTS {
                let connections = connections(count);
                let load = Load::of(&places.load, &setup.address, connections);
                let body = Some(places.bodies.join(format!("{count}.{body}")));
                let load = Load { path: Some(path), body, ..load };
                rows.push(Row { setup, what: "JSON".to_owned(), rows: count, connections, load });
            }
        }
        let what = "JSON, iris".to_owned();
        rows.push(Row { setup: onnx, what, rows: 1, connections: 64, load: super::ours(onnx, places, 64) });
        rows
    }
}

const TWO: [&str; 2] = ["--workers", "2"];

/// A port that was free just now.
fn free() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::io("find a port"))?;
    listener.local_addr().map_err(Error::io("find a port"))
}

fn answering(at: SocketAddr, name: &str) -> Result {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(at).is_err() {
        if Instant::now() > end {
            return Err(Error::Wrong(format!("{name} does not answer")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // It listens before its model is loaded.
    std::thread::sleep(Duration::from_secs(3));
    Ok(())
}
