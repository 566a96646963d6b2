//! The handlers, by area, as poem-openapi knows them. Who may and how often was decided before: see [`crate::front`].

mod accounts;
mod backup;
mod content;
mod documented;
mod encryption;
mod forms;
mod health;
mod jobs;
mod models;
mod oip;
mod payload;
mod predict;
mod rollout;
mod token;

use std::sync::Arc;

use arborgate_bus::{Bus, Client, Objects};
use arborgate_runtime::ops::Health;
use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt, IntoEndpoint, Response};
use poem_openapi::{LicenseObject, OpenApiService, Tags};

pub(crate) use predict::Route;

use crate::config::Config;
use crate::front::problem;
use crate::models::catalog::Catalog;
use crate::operations::OPERATIONS;

/// What handlers share.
pub(crate) struct Shared {
    /// As configured.
    pub config: Config,
    /// The models.
    pub catalog: Catalog,
    /// The state, for backups.
    pub bus: Bus,
    /// Artifacts.
    pub objects: Objects,
    /// Large work.
    pub jobs: crate::jobs::Jobs,
    /// The services.
    pub auth: Client,
    /// The services.
    pub crypto: Client,
    /// The services.
    pub inference: Client,
    /// Of the process.
    pub health: Health,
}

#[derive(Tags)]
enum Tag {
    /// Sign in.
    Token,
    /// Ask models.
    Predictions,
    /// Ask models by the Open Inference Protocol: tensors in JSON or binary. The same over gRPC on the same port.
    OpenInference,
    /// Ask models for many rows: a file in, a file out.
    Jobs,
    /// Models and their versions.
    Models,
    /// Which version of a model answers.
    Rollout,
    /// Encrypt and decrypt.
    Encryption,
    /// Users and API keys.
    Accounts,
    /// Whether the server lives, and the operator's work.
    Operations,
}

type Handlers = (
    token::Api,
    predict::Api,
    oip::Api,
    jobs::Api,
    models::Api,
    rollout::Api,
    encryption::Api,
    accounts::Api,
    health::Api,
    backup::Api,
);
type Apis = documented::Documented<Handlers>;

const DESCRIPTION: &str = "Predictions of tree-ensemble models. Sign in at `POST /token` or send `X-API-Key`. Failures \
    are problem details (RFC 9457).";

fn service(apis: Apis) -> OpenApiService<Apis, ()> {
    OpenApiService::new(apis, "Arborgate", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(LicenseObject::new("Apache-2.0").url("https://www.apache.org/licenses/LICENSE-2.0"))
        .server("/")
}

fn apis(shared: Option<Arc<Shared>>) -> Apis {
    let shared = payload::State(shared);
    documented::Documented((
        token::Api(shared.clone()),
        predict::Api(shared.clone()),
        oip::Api(shared.clone()),
        jobs::Api(shared.clone()),
        models::Api(shared.clone()),
        rollout::Api(shared.clone()),
        encryption::Api(shared.clone()),
        accounts::Api(shared.clone()),
        health::Api(shared.clone()),
        backup::Api(shared),
    ))
}

/// The parameters in the query of each operation.
pub(crate) fn queries() -> Vec<(&'static str, Vec<String>)> {
    documented::queries::<Handlers>()
}

/// The refusals of an operation that reads a body: statuses, and when they are answered.
pub(crate) fn refusals(id: &str) -> impl Iterator<Item = (u16, &'static str)> {
    let known = OPERATIONS.iter().find(|known| known.id == id);
    let shown = problem::shown(&documented::refusals(known, true), false).collect::<Vec<_>>();
    shown.into_iter().filter_map(|response| Some((response.status?, response.description)))
}

/// The handlers.
pub(crate) fn endpoint(shared: Arc<Shared>) -> BoxEndpoint<'static, Response> {
    service(apis(Some(shared))).into_endpoint().boxed()
}

/// Bodies that hold nothing but what their schemas name; poem-openapi has no way to say it.
const CLOSED: [&str; 11] = [
    "Ciphertext",
    "IndexRequest",
    "LoadRequest",
    "ManyRows",
    "NewApiKey",
    "NewShadow",
    "NewSplit",
    "NewUnload",
    "NewUser",
    "Plaintext",
    "ShareView",
];

/// The OpenAPI document.
pub fn document() -> String {
    // OpenAPI 3.0 demands `scopes` of a flow, and poem-openapi leaves an empty list out. As text, for the order of members
    // is that of generated clients' parameters.
    const FLOW: &str = "\"tokenUrl\": \"/token\"";
    let text = service(apis(None)).spec().replacen(FLOW, &format!("{FLOW},\n            \"scopes\": {{}}"), 1);
    let closed = CLOSED.iter().fold(text, |text, name| {
        let begin = format!("\n      \"{name}\": {{");
        text.replacen(&begin, &format!("{begin}\n        \"additionalProperties\": false,"), 1)
    });
    format!("{closed}\n")
}
