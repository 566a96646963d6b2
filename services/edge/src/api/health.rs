//! Whether the server lives and is ready. What is not ready is told on the operations listener, not to the world.

use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::Tag;
use super::payload::{Rendered, State};
use crate::front::problem::Problem;
use arborgate_contracts::ErrorCode;

pub(super) struct Api(pub State);

/// Whether.
#[derive(Object, Serialize)]
struct Status {
    /// `ok`.
    status: String,
}

fn ok() -> Result<Rendered<Status>, Problem> {
    Rendered::of(&Status { status: "ok".to_owned() })
}

#[OpenApi(tag = "Tag::Operations")]
impl Api {
    /// Does the server live?
    #[oai(path = "/livez", method = "get", operation_id = "livez")]
    async fn livez(&self) -> Result<Rendered<Status>, Problem> {
        ok()
    }

    /// Is the server ready?
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self) -> Result<Rendered<Status>, Problem> {
        if self.0.get()?.health.is_ready() {
            return ok();
        }
        Err(Problem { retry_after_ms: Some(1000), ..Problem::new(ErrorCode::Unavailable, "the server is not ready") })
    }
}
