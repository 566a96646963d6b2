//! The OpenAPI document as it is served: to who may predict and see models with operations for each of them, typed by its
//! features and classes; to anybody else what is fixed. Nothing of a model is in the latter.

mod names;
mod schema;
mod typed;
mod whole;

use std::sync::{Arc, Weak};

use arborgate_contracts::permission::{Permission, Permissions};
use aws_lc_rs::digest;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use poem::Response;
use tokio::sync::Mutex;

use crate::front::coding::{Coding, packed};
use crate::models::catalog::{Catalog, Served};
use whole::Fixed;

/// Where it is.
pub(crate) const PATH: &str = "/openapi.json";

/// It is kept only by who asked, who asks each time whether it has changed.
const CACHED: HeaderValue = HeaderValue::from_static("private, no-cache");
const VARY: HeaderValue = HeaderValue::from_static("accept-encoding, authorization, x-api-key");

/// What is served, once written.
struct Rendition {
    plain: Bytes,
    gzip: Option<Bytes>,
    /// Weak: it is the same packed or not.
    tag: HeaderValue,
}

/// The document with some versions, which it does not keep.
struct Kept {
    of: Vec<Weak<Served>>,
    rendition: Arc<Rendition>,
}

/// The document, as each may see it.
pub struct Documents {
    fixed: Arc<Fixed>,
    without: Arc<Rendition>,
    with: Mutex<Option<Kept>>,
    catalog: Catalog,
}

/// Whether somebody may see models in the document: their features are what GET of a model tells, and what is shown is how
/// to predict.
fn sees_models(permissions: Permissions) -> bool {
    [Permission::ModelsRead, Permission::ModelsPredict].into_iter().all(|needed| permissions.contains(needed))
}

impl Documents {
    /// With what is fixed, and the models.
    pub async fn new(catalog: Catalog, most_rows: u32) -> Self {
        let fixed = Fixed::new(crate::api::document(), crate::api::refusals("predict_model"), most_rows);
        let without = Arc::new(Rendition::of(fixed.text().to_owned()).await);
        Self { fixed: Arc::new(fixed), without, with: Mutex::default(), catalog }
    }

    /// For who holds `permissions`; `None`: nobody is known.
    pub async fn answer(&self, permissions: Option<Permissions>, headers: &HeaderMap) -> Response {
        let rendition = match permissions {
            Some(permissions) if sees_models(permissions) => self.with_models().await,
            _ => Arc::clone(&self.without),
        };
        rendition.answer(headers)
    }

    /// Written once for the versions that answer, however many ask at once. Which of several does is each request's; it is
    /// told of the one that answers what no share takes.
    async fn with_models(&self) -> Arc<Rendition> {
        let mut kept = self.with.lock().await;
        let snapshot = Arc::clone(&self.catalog.now());
        let models: Vec<Arc<Served>> =
            snapshot.models().values().filter_map(|versions| versions.current().cloned()).collect();
        let of: Vec<Weak<Served>> = models.iter().map(Arc::downgrade).collect();
        if let Some(known) = &*kept
            && known.of.len() == of.len()
            && known.of.iter().zip(&of).all(|(one, other)| one.ptr_eq(other))
        {
            return Arc::clone(&known.rendition);
        }
        let fixed = Arc::clone(&self.fixed);
        let Ok(text) = tokio::task::spawn_blocking(move || fixed.with(&models)).await else {
            tracing::error!("writing the document with its models panicked; it is served without");
            return Arc::clone(&self.without);
        };
        let rendition = Arc::new(Rendition::of(text).await);
        *kept = Some(Kept { of, rendition: Arc::clone(&rendition) });
        rendition
    }
}

impl Rendition {
    async fn of(text: String) -> Self {
        let plain = Bytes::from(text);
        let digest = digest::digest(&digest::SHA256, &plain);
        let tag = format!("W/\"{}\"", hex::encode(digest.as_ref().get(..16).unwrap_or_default()));
        let (gzip, coding) = packed(plain.clone(), Coding::Gzip).await;
        // Hexadecimal digits are legal in a header.
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("W/\"\""));
        Self { plain, gzip: coding.map(|_| gzip), tag }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let mut response = if is_known(headers, &self.tag) {
            Response::builder().status(StatusCode::NOT_MODIFIED).finish()
        } else {
            self.whole(headers)
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.tag.clone());
        headers.insert(header::CACHE_CONTROL, CACHED);
        headers.insert(header::VARY, VARY);
        response
    }

    fn whole(&self, headers: &HeaderMap) -> Response {
        let gzip = self.gzip.as_ref().filter(|_| Coding::takes_gzip(headers));
        let body = gzip.unwrap_or(&self.plain).clone();
        let mut response = Response::builder().content_type("application/json").body(body);
        if gzip.is_some() {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Whether `If-None-Match` names it (RFC 9110 section 13.1.2), compared weakly.
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let ours = tag.to_str().map(opaque).unwrap_or_default();
    let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|list| list.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == ours)
}

#[cfg(test)]
mod tests {
    use arborgate_contracts::permission::Role;

    use super::*;

    fn asking(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn models_are_seen_by_who_may_predict_and_see_them() {
        let seeing: Vec<Role> = Role::ALL.into_iter().filter(|role| sees_models(role.permissions())).collect();
        assert_eq!(seeing, [Role::Admin, Role::Predictor]);
        assert!(!sees_models(Permissions::of_roles(&[])));
    }

    #[tokio::test]
    async fn what_is_known_already_is_not_sent_again() {
        let rendition = Rendition::of("{\"openapi\":\"3.0.0\"}".repeat(100)).await;
        let tag = rendition.tag.to_str().unwrap().to_owned();
        let strong = tag.trim_start_matches("W/");
        for known in [tag.clone(), strong.to_owned(), format!("\"other\", {tag}"), "*".to_owned()] {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(known).unwrap())]);
            let answer = rendition.answer(&headers);
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(answer.headers().get(header::ETAG), Some(&rendition.tag));
            assert_eq!(answer.headers().get(header::CACHE_CONTROL), Some(&CACHED));
            assert!(answer.into_body().into_vec().await.unwrap().is_empty());
        }
        let other = rendition.answer(&asking(header::IF_NONE_MATCH, "\"other\""));
        assert_eq!((other.status(), other.headers().get(header::VARY)), (StatusCode::OK, Some(&VARY)));
        assert_eq!(other.into_body().into_vec().await.unwrap(), rendition.plain);
    }

    #[tokio::test]
    async fn it_is_packed_for_who_takes_it() {
        let rendition = Rendition::of("{\"openapi\":\"3.0.0\"}".repeat(100)).await;
        let packed = rendition.answer(&asking(header::ACCEPT_ENCODING, "br, gzip"));
        assert_eq!(packed.header(header::CONTENT_ENCODING), Some("gzip"));
        assert!(packed.into_body().into_vec().await.unwrap().len() < rendition.plain.len());
        for not in ["gzip;q=0", "br", ""] {
            assert!(rendition.answer(&asking(header::ACCEPT_ENCODING, not)).header(header::CONTENT_ENCODING).is_none());
        }
    }
}
