//! Jobs: a model answers a file of rows.

mod answers;
mod files;
mod view;

use std::sync::Arc;

use arborgate_contracts::jobs::{FileKind, Kind, Wish};
use poem_openapi::OpenApi;
use poem_openapi::param::{Path, Query};

use super::payload::{Rendered, State};
use super::predict::{Route, find};
use super::{Shared, Tag};
use crate::front::admitted::Admitted;
use crate::front::problem::Problem;
use crate::jobs::Download;
use crate::models::catalog::Served;
use answers::{Accepted, Ended, Events};
use files::{Asked, Rows};
use view::{JobKindName, JobOutputName, JobView};

pub(super) struct Api(pub State);

/// What is wanted of a file.
struct Options {
    kind: Option<JobKindName>,
    output: Option<JobOutputName>,
    by_order: bool,
    ignore_extra: bool,
}

impl Options {
    fn wish(self, input: FileKind) -> Wish {
        let kind = match self.kind.unwrap_or_default() {
            JobKindName::Label => Kind::Label,
            JobKindName::Proba => Kind::Proba,
            JobKindName::Raw => Kind::Raw,
            JobKindName::Shap => Kind::Shap,
        };
        let output = match (self.output, input) {
            (Some(JobOutputName::Csv), _) | (None, FileKind::Csv) => FileKind::Csv,
            (Some(JobOutputName::Parquet), _) | (None, FileKind::Parquet | FileKind::Arrow) => FileKind::Parquet,
            (Some(JobOutputName::Npy), _) | (None, FileKind::Npy) => FileKind::Npy,
        };
        Wish { kind, input, output, by_order: self.by_order, ignore_extra: self.ignore_extra }
    }
}

async fn create(
    shared: &Shared,
    served: &Arc<Served>,
    admitted: &Admitted,
    options: Options,
    rows: Rows,
) -> Result<Accepted, Problem> {
    let wish = options.wish(rows.kind);
    shared.jobs.create(&admitted.caller, &served.manifest, wish, rows.upload).await.map(Accepted)
}

#[OpenApi(tag = "Tag::Jobs")]
impl Api {
    /// Make a job
    ///
    /// A model answers every row of a file. The version that answers now does so to the end. The file may be large: it is not
    /// bounded as a prediction's body is.
    #[oai(path = "/v1/models/:model/jobs", method = "post", operation_id = "create_job")]
    #[allow(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn create(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// What is answered to a row; absent: `proba`.
        kind: Query<Option<JobKindName>>,
        /// What the result is; absent: as the file, and Parquet for Arrow.
        output: Query<Option<JobOutputName>>,
        /// Whether columns are taken in their order, whatever their names.
        #[oai(default)]
        by_order: Query<bool>,
        /// Whether columns that are no features are left out.
        #[oai(default)]
        ignore_extra: Query<bool>,
        rows: Rows,
    ) -> Result<Accepted, Problem> {
        let shared = self.0.get()?;
        let served = find(shared, &model, |versions| Route::of(versions, admitted.who()))?.served;
        let (by_order, ignore_extra) = (by_order.0, ignore_extra.0);
        let options = Options { kind: kind.0, output: output.0, by_order, ignore_extra };
        create(shared, &served, &admitted, options, rows).await
    }

    /// Make a job of a version
    #[oai(path = "/v1/models/:model/versions/:version/jobs", method = "post", operation_id = "create_version_job")]
    #[allow(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn create_of_version(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
        /// What is answered to a row; absent: `proba`.
        kind: Query<Option<JobKindName>>,
        /// What the result is; absent: as the file, and Parquet for Arrow.
        output: Query<Option<JobOutputName>>,
        /// Whether columns are taken in their order, whatever their names.
        #[oai(default)]
        by_order: Query<bool>,
        /// Whether columns that are no features are left out.
        #[oai(default)]
        ignore_extra: Query<bool>,
        rows: Rows,
    ) -> Result<Accepted, Problem> {
        let shared = self.0.get()?;
        let served = find(shared, &model, |versions| Route::to(versions, &version))?.served;
        let (by_order, ignore_extra) = (by_order.0, ignore_extra.0);
        let options = Options { kind: kind.0, output: output.0, by_order, ignore_extra };
        create(shared, &served, &admitted, options, rows).await
    }

    /// List jobs
    ///
    /// The caller's own; of an administrator all.
    #[oai(path = "/v1/jobs", method = "get", operation_id = "list_jobs")]
    async fn list(&self, admitted: Admitted) -> Result<Rendered<Vec<JobView>>, Problem> {
        let jobs = self.0.get()?.jobs.list(&admitted.caller).await?;
        Rendered::of(&jobs.iter().map(JobView::of).collect::<Vec<_>>())
    }

    /// See a job
    #[oai(path = "/v1/jobs/:id", method = "get", operation_id = "get_job")]
    async fn get(
        &self,
        admitted: Admitted,
        /// The job's id.
        id: Path<String>,
    ) -> Result<Rendered<JobView>, Problem> {
        let seen = self.0.get()?.jobs.get(&admitted.caller, &id).await?;
        Rendered::of(&JobView::of(&seen))
    }

    /// Follow a job
    ///
    /// Server-sent events: one whenever something changes, and one when the job is over.
    #[oai(path = "/v1/jobs/:id/events", method = "get", operation_id = "watch_job")]
    async fn watch(
        &self,
        admitted: Admitted,
        /// The job's id.
        id: Path<String>,
        asked: Asked,
    ) -> Result<Events, Problem> {
        let shared = self.0.get()?;
        let last = asked.last_event.as_deref();
        shared.jobs.watch(shared, &admitted.caller, &id, last, JobView::line).await.map(Events)
    }

    /// Download a result
    ///
    /// Only by who made the job. `Range` with one range of bytes goes on with a download that broke.
    #[oai(path = "/v1/jobs/:id/result", method = "get", operation_id = "get_job_result")]
    async fn result(
        &self,
        admitted: Admitted,
        /// The job's id.
        id: Path<String>,
        asked: Asked,
    ) -> Result<Download, Problem> {
        let shared = self.0.get()?;
        // RFC 9110 section 13.1.5: of another result the whole is wanted.
        let seen = shared.jobs.get(&admitted.caller, &id).await?;
        let tag = seen.job.result.map(|result| format!("\"{}\"", result.digest));
        let range = asked.range.filter(|_| asked.if_range.is_none() || asked.if_range == tag);
        shared.jobs.result(&admitted.caller, &id, range).await
    }

    /// Cancel or remove a job
    ///
    /// One that is not over is cancelled; one that is over is removed, with its result.
    #[oai(path = "/v1/jobs/:id", method = "delete", operation_id = "delete_job")]
    async fn delete(
        &self,
        admitted: Admitted,
        /// The job's id.
        id: Path<String>,
    ) -> Result<Ended, Problem> {
        self.0.get()?.jobs.remove(&admitted.caller, &id).await.map(Ended)
    }
}
