//! Backups.

use std::io;

use arborgate_contracts::{ErrorCode, ServiceError};
use http::header;
use poem::{Body, IntoResponse, Request, RequestBody, Response};
use poem_openapi::registry::{
    MetaMediaType, MetaRequest, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, Object, OpenApi};
use serde::Serialize;

use super::Tag;
use super::payload::{Rendered, State};
use crate::backup::{self, RestoreError};
use crate::front::admitted::{Admitted, Anybody};
use crate::front::problem::Problem;
use crate::upload::{Upload, refusal};

pub(super) struct Api(pub State);

const TAR: &str = "application/x-tar";

fn binary() -> MetaMediaType {
    let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new_with_format("string", "binary")));
    MetaMediaType { content_type: TAR, schema }
}

/// A tar stream.
struct Tar(Body);

impl IntoResponse for Tar {
    fn into_response(self) -> Response {
        let name = "attachment; filename=\"arborgate-backup.tar\"";
        Response::builder().content_type(TAR).header(header::CONTENT_DISPOSITION, name).body(self.0)
    }
}

impl ApiResponse for Tar {
    fn meta() -> MetaResponses {
        let response = MetaResponse {
            description: "The backup; without its last entry `arborgate/end.json` it was cut off.",
            status: Some(200),
            status_range: None,
            content: vec![binary()],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_registry: &mut Registry) {}
}

/// A backup on its way in.
struct Incoming(Upload, u64);

impl<'a> ApiExtractor<'a> for Incoming {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest { description: Some("A backup."), content: vec![binary()], required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        crate::front::body::check_type(request.headers(), TAR)?;
        let most = Anybody::of(request)?.sizes.upload;
        Ok(Self(Upload::of(request, body)?, most))
    }
}

/// What was restored.
#[derive(Object, Serialize)]
struct Restored {
    /// Users, keys, manifests.
    records: u64,
    /// Models' files.
    artifacts: u64,
}

#[OpenApi(tag = "Tag::Operations")]
impl Api {
    /// Take a backup
    ///
    /// Users, API keys, encryption keys (wrapped by the master key, which is not in it) and models.
    #[oai(path = "/v1/backup", method = "get", operation_id = "backup")]
    async fn backup(&self, admitted: Admitted) -> Result<Tar, Problem> {
        let shared = self.0.get()?;
        tracing::warn!(by = %admitted.caller.principal, "a backup is taken");
        match backup::stream(shared.bus.clone(), shared.objects.clone()).await {
            Ok(stream) => Ok(Tar(Body::from_bytes_stream(stream))),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no backup");
                Err(ServiceError::internal().into())
            }
        }
    }

    /// Restore a backup
    ///
    /// Users, keys and models become those of the backup.
    #[oai(path = "/v1/backup", method = "put", operation_id = "restore")]
    async fn restore(&self, admitted: Admitted, incoming: Incoming) -> Result<Rendered<Restored>, Problem> {
        let shared = self.0.get()?;
        let by = &admitted.caller.principal;
        let Incoming(upload, most) = incoming;
        let outcome = backup::restore(shared.bus.clone(), shared.objects.clone(), upload.pieces()).await;
        match outcome {
            Ok(restored) => {
                let backup::Restored { records, artifacts } = restored;
                tracing::warn!(%by, records, artifacts, "a backup was restored");
                Rendered::of(&restored)
            }
            Err(error @ (RestoreError::Malformed(_) | RestoreError::Format { .. })) => {
                Err(Problem::new(ErrorCode::Invalid, error.to_string()))
            }
            Err(error @ RestoreError::MasterKey) => Err(Problem::new(ErrorCode::Conflict, error.to_string())),
            Err(RestoreError::Io(error))
                if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::TimedOut) =>
            {
                Err(refusal(&error, most))
            }
            // The reader's own words repeat bytes of the file.
            Err(RestoreError::Io(_)) => Err(Problem::new(
                ErrorCode::Invalid,
                "this is not a whole backup of Arborgate: it is no tar, or is cut off",
            )),
            Err(RestoreError::Store(error)) => {
                tracing::error!(%by, error = &error as &dyn std::error::Error, "a restore was cut off");
                Err(Problem::new(ErrorCode::Unavailable, "the state can not be written now; restore again"))
            }
        }
    }
}
