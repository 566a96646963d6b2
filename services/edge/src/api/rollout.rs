//! Which version of a model answers: promoted, rolled back, split, compared, loaded and unloaded.

use std::slice;

use arborgate_contracts::inference::{Change, ChangeRollout};
use arborgate_contracts::rollout::{MOST_SHARES, Rollout, Shadow, Share, Split, Sticky, WHOLE};
use arborgate_contracts::{ErrorCode, ModelName, Version};
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use serde_json::Value;

use super::Tag;
use super::models::legal;
use super::payload::{RawJson, Rendered, Shown, State};
use crate::front::admitted::Admitted;
use crate::front::body::Fields;
use crate::front::problem::Problem;
use crate::models::catalog::Versions;
use crate::models::held;
use crate::models::shadow::Found;

pub(super) struct Api(pub State);

/// Values of a shadow agree that differ by at most this, relative to the value.
const TOLERANCE: f64 = 1e-6;

/// A version's share of the requests that name none.
#[derive(Object, Serialize)]
struct ShareView {
    /// Which.
    #[oai(validator(max_length = 64, pattern = "^[A-Za-z0-9](\\.?[A-Za-z0-9_-])*\\.?$"))]
    version: String,
    /// From 0.01 to 100; rounded to two decimals.
    #[oai(validator(minimum(value = "0.01"), maximum(value = "100")))]
    percent: f64,
}

/// A version that is asked as well; its answers are compared and dropped.
#[derive(Object, Serialize)]
struct ShadowView {
    /// Which.
    version: String,
    /// Of the requests.
    percent: f64,
    /// Values agree that differ by at most this, relative to the greater of 1 and the value.
    tolerance: f64,
    /// Rows with the same answer, since the edge that tells it started.
    agreed: u64,
    /// Rows with another answer.
    differed: u64,
    /// Rows without an answer.
    failed: u64,
    /// Rows that were not asked: too much was under way.
    skipped: u64,
    /// Between two values of the same row, at most.
    greatest_difference: f64,
}

/// How requests that name no version are divided.
#[derive(Object, Serialize)]
pub(crate) struct RolloutView {
    /// What no share takes.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// What was current before, the last one last: what a rollback goes back to.
    history: Vec<String>,
    /// Versions with a share.
    shares: Vec<ShareView>,
    /// `principal`, or a header's name: what has the same version answer again.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky: Option<String>,
    /// A version that is compared.
    #[oai(skip_serializing_if_is_none)]
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<ShadowView>,
    /// Versions that no worker holds.
    unloaded: Vec<String>,
    /// RFC 3339.
    changed_at: String,
    /// Who.
    changed_by: String,
}

fn percent(basis_points: u32) -> f64 {
    f64::from(basis_points) / 100.0
}

impl RolloutView {
    /// Of a record, and what was found of its shadow.
    pub(crate) fn of(rollout: &Rollout, found: Found) -> Self {
        let share =
            |share: &Share| ShareView { version: share.version.to_string(), percent: percent(share.basis_points) };
        let sticky = rollout.split.as_ref().and_then(|split| split.sticky.as_ref()).map(|sticky| match sticky {
            Sticky::Principal => PRINCIPAL.to_owned(),
            Sticky::Header(name) => name.clone(),
        });
        let shadow = rollout.shadow.as_ref().map(|shadow| ShadowView {
            version: shadow.version.to_string(),
            percent: percent(shadow.basis_points),
            tolerance: shadow.tolerance,
            agreed: found.agreed,
            differed: found.differed,
            failed: found.failed,
            skipped: found.skipped,
            greatest_difference: found.greatest_difference,
        });
        Self {
            current: rollout.current.as_ref().map(ToString::to_string),
            history: rollout.history.iter().map(ToString::to_string).collect(),
            shares: rollout.split.iter().flat_map(|split| &split.shares).map(share).collect(),
            sticky,
            shadow,
            unloaded: rollout.unloaded.keys().map(ToString::to_string).collect(),
            changed_at: rollout.changed_at.clone(),
            changed_by: rollout.changed_by.clone(),
        }
    }
}

/// Versions that are to have a share of the requests that name none; the current one answers the rest.
#[derive(Object)]
struct NewSplit {
    /// One to sixteen, of different versions, together at most 100 per cent.
    #[oai(validator(min_items = 1, max_items = 16))]
    shares: Vec<ShareView>,
    /// `principal`, or the name of a header: the same one is answered by the same version; absent: chance decides.
    sticky: Option<String>,
}
impl Shown for NewSplit {}

/// A version that is to be asked as well.
#[derive(Object)]
struct NewShadow {
    /// Which.
    #[oai(validator(max_length = 64, pattern = "^[A-Za-z0-9](\\.?[A-Za-z0-9_-])*\\.?$"))]
    version: String,
    /// Of the requests: from 0.01 to 100, rounded to two decimals; absent: all.
    #[oai(validator(minimum(value = "0.01"), maximum(value = "100")))]
    percent: Option<f64>,
    /// Values agree that differ by at most this, relative to the greater of 1 and the value; absent: 0.000001.
    #[oai(validator(minimum(value = "0")))]
    tolerance: Option<f64>,
}
impl Shown for NewShadow {}

/// Why a version is unloaded.
#[derive(Object)]
struct NewUnload {
    /// For people, up to 256 characters.
    #[oai(validator(max_length = 256))]
    reason: Option<String>,
}
impl Shown for NewUnload {}

const PRINCIPAL: &str = "principal";

#[OpenApi(tag = "Tag::Rollout")]
impl Api {
    /// Promote a version
    ///
    /// It answers every request of the model that names no version; a split ends. Waits until a worker holds it.
    #[oai(path = "/v1/models/:model/versions/:version/promote", method = "post", operation_id = "promote_version")]
    async fn promote(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let (model, version) = legal(&model, &version)?;
        held::all(&self.0.get()?.catalog, &model, slice::from_ref(&version)).await?;
        self.change(admitted, model, Change::Promote(version)).await
    }

    /// Roll back
    ///
    /// The version that answered before the last promotion answers every request that names none. Waits until a worker holds it.
    #[oai(path = "/v1/models/:model/rollback", method = "post", operation_id = "roll_back_model")]
    async fn roll_back(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let model = name(&model)?;
        let catalog = &self.0.get()?.catalog;
        let before = catalog.now().model(model.as_str()).and_then(before);
        if let Some(version) = before {
            held::all(catalog, &model, &[version]).await?;
        }
        self.change(admitted, model, Change::Rollback).await
    }

    /// Split the traffic
    ///
    /// The versions must take the same features and answer alike. Takes the place of an earlier split.
    #[oai(path = "/v1/models/:model/split", method = "put", operation_id = "split_model")]
    async fn split(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        body: RawJson<NewSplit>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let model = name(&model)?;
        let mut fields = Fields::parse(&body.bytes)?;
        let shares = fields.required("shares", "a list of versions with their per cent", shares);
        let sticky = fields.optional("sticky", |value| match value {
            Value::String(text) if text == PRINCIPAL => Ok(Sticky::Principal),
            Value::String(text) => Ok(Sticky::Header(text.to_ascii_lowercase())),
            _ => Err("must be 'principal' or the name of a header".to_owned()),
        });
        fields.finish()?;
        let versions: Vec<Version> = shares.iter().map(|share| share.version.clone()).collect();
        held::all(&self.0.get()?.catalog, &model, &versions).await?;
        self.change(admitted, model, Change::Split(Some(Split { shares, sticky }))).await
    }

    /// End the split
    #[oai(path = "/v1/models/:model/split", method = "delete", operation_id = "end_split")]
    async fn end_split(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        self.change(admitted, name(&model)?, Change::Split(None)).await
    }

    /// Shadow the model
    ///
    /// The version is asked as well; its answers are compared with those that callers got, counted, and dropped.
    #[oai(path = "/v1/models/:model/shadow", method = "put", operation_id = "shadow_model")]
    async fn shadow(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        body: RawJson<NewShadow>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let mut fields = Fields::parse(&body.bytes)?;
        let version = fields.required("version", "a version", |value| version(&value).map(Some));
        let basis_points = fields.optional("percent", |value| basis_points(&value)).unwrap_or(WHOLE);
        let tolerance = fields.optional("tolerance", |value| {
            value.as_f64().filter(|of| *of >= 0.0).ok_or_else(|| "must be a number from 0".to_owned())
        });
        fields.finish()?;
        let Some(version) = version else { return Err(arborgate_contracts::ServiceError::internal().into()) };
        let shadow = Shadow { version, basis_points, tolerance: tolerance.unwrap_or(TOLERANCE) };
        self.change(admitted, name(&model)?, Change::Shadow(Some(shadow))).await
    }

    /// End the shadow
    #[oai(path = "/v1/models/:model/shadow", method = "delete", operation_id = "end_shadow")]
    async fn end_shadow(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        self.change(admitted, name(&model)?, Change::Shadow(None)).await
    }

    /// Load a version
    ///
    /// Workers hold it again, and those that set it aside try again.
    #[oai(path = "/v1/models/:model/versions/:version/load", method = "post", operation_id = "load_version")]
    async fn load(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let (model, version) = legal(&model, &version)?;
        let rendered = self.change(admitted, model.clone(), Change::Load(version.clone())).await?;
        held::again(&self.0.get()?.catalog, &model, slice::from_ref(&version)).await?;
        Ok(rendered)
    }

    /// Unload a version
    ///
    /// Workers let it go when what is under way is answered; its file stays.
    #[oai(path = "/v1/models/:model/versions/:version/unload", method = "post", operation_id = "unload_version")]
    async fn unload(
        &self,
        admitted: Admitted,
        /// The model's name.
        model: Path<String>,
        /// The version.
        version: Path<String>,
        body: RawJson<NewUnload>,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let (model, version) = legal(&model, &version)?;
        let mut fields = Fields::parse(&body.bytes)?;
        let reason = fields.optional("reason", |value| match value {
            Value::String(text) => Ok(text),
            _ => Err("must be a text".to_owned()),
        });
        fields.finish()?;
        held::successor(&self.0.get()?.catalog, &model, &version).await?;
        self.change(admitted, model, Change::Unload(version, reason.unwrap_or_default())).await
    }
}

impl Api {
    async fn change(
        &self,
        admitted: Admitted,
        model: ModelName,
        change: Change,
    ) -> Result<Rendered<RolloutView>, Problem> {
        let shared = self.0.get()?;
        let changed_by = admitted.caller.principal.to_string();
        let question = ChangeRollout { model, change, changed_by };
        let meta = admitted.within(*shared.config.requests.timeout);
        let rollout = shared.inference.call(&question, None, meta).await?;
        Rendered::of(&RolloutView::of(&rollout, shared.catalog.found(&rollout)))
    }
}

/// What a rollback goes back to, if that is still so when it is done.
fn before(versions: &Versions) -> Option<Version> {
    let rollout = versions.rollout()?;
    let is_able = |past: &&Version| {
        versions.get(past.as_str()).is_some()
            && !rollout.unloaded.contains_key(*past)
            && rollout.current.as_ref() != Some(*past)
    };
    rollout.history.iter().rev().find(is_able).cloned()
}

fn name(model: &str) -> Result<ModelName, Problem> {
    model
        .parse()
        .map_err(|_| Problem::new(ErrorCode::NotFound, "there is no such model; GET /v1/models lists what there is"))
}

fn version(value: &Value) -> Result<Version, String> {
    value.as_str().ok_or("must be a text")?.parse::<Version>().map_err(|error| error.to_string())
}

fn basis_points(value: &Value) -> Result<u32, String> {
    match value.as_f64() {
        Some(percent) if (0.01..=100.0).contains(&percent) => Ok((percent * 100.0).round() as u32),
        _ => Err("must be a number of per cent from 0.01 to 100".to_owned()),
    }
}

/// A share in a list: what is wrong is told with its place.
fn shares(value: Value) -> Result<Vec<Share>, String> {
    let Value::Array(all) = value else { return Err("must be a list of versions with their per cent".to_owned()) };
    if all.is_empty() || all.len() > MOST_SHARES {
        return Err(format!("must be 1 to {MOST_SHARES} shares, not {}", all.len()));
    }
    let share = |(place, share): (usize, &Value)| {
        let at = |member: &str, detail: String| format!("number {}, '{member}' {detail}", place + 1);
        let Value::Object(members) = share else { return Err(at("share", "must be an object".to_owned())) };
        if let Some(unknown) = members.keys().find(|name| !["version", "percent"].contains(&name.as_str())) {
            return Err(at(&unknown.chars().take(64).collect::<String>(), "is none of version and percent".to_owned()));
        }
        Ok(Share {
            version: version(members.get("version").unwrap_or(&Value::Null)).map_err(|detail| at("version", detail))?,
            basis_points: basis_points(members.get("percent").unwrap_or(&Value::Null))
                .map_err(|detail| at("percent", detail))?,
        })
    };
    all.iter().enumerate().map(share).collect()
}
