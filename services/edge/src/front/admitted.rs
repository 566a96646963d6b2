//! What is known of a request when its handler is called; as poem-openapi sees it, a security scheme.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use arborgate_bus::Meta;
use http::{HeaderName, HeaderValue};
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::problem::Problem;
use crate::BodySizes;
use crate::identity::Caller;
use crate::models::traffic::Who;

/// A request that may go on, whoever sent it: that of a public operation, which names no security scheme.
#[derive(Debug, Clone)]
pub struct Anybody(Arc<Admission>);

/// What is known of it.
#[derive(Debug)]
pub struct Admission {
    /// Who; nobody is known where an operation is public.
    pub caller: Option<Arc<Caller>>,
    /// Until when, and of which trace.
    pub meta: Meta,
    /// How large its body may be.
    pub sizes: BodySizes,
    /// What of its headers a caller stays with a version by.
    pub sticky: Vec<(HeaderName, HeaderValue)>,
}

impl Anybody {
    /// With this word of the front handlers are called.
    pub fn new(admission: Admission) -> Self {
        Self(Arc::new(admission))
    }

    /// Of a request. Only the front calls handlers; without its word nobody is let in.
    pub fn of(request: &Request) -> Result<&Self, Problem> {
        request.extensions().get::<Self>().ok_or_else(|| arborgate_contracts::ServiceError::internal().into())
    }
}

impl Deref for Anybody {
    type Target = Admission;

    fn deref(&self) -> &Admission {
        &self.0
    }
}

/// A request of somebody who is known.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// Who.
    pub caller: Arc<Caller>,
    /// Until when, and of which trace.
    pub meta: Meta,
    sticky: Vec<(HeaderName, HeaderValue)>,
}

impl Admitted {
    /// By what a version is chosen.
    pub fn who(&self) -> Who<'_> {
        Who { principal: &self.caller.grant, headers: &self.sticky }
    }

    /// Of the same trace, with so long from now: when something else was waited for, or takes longer.
    pub fn within(&self, timeout: Duration) -> Meta {
        Meta { trace: self.meta.trace, ..Meta::within(timeout) }
    }
}

impl<'a> ApiExtractor<'a> for Admitted {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |ty, description| MetaSecurityScheme {
            ty,
            description: Some(description),
            name: None,
            key_in: None,
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        let flow =
            MetaOAuthFlow { authorization_url: None, token_url: Some("/token"), refresh_url: None, scopes: Vec::new() };
        let flows =
            MetaOAuthFlows { implicit: None, password: Some(flow), client_credentials: None, authorization_code: None };
        registry.create_security_scheme(
            "bearer",
            MetaSecurityScheme { flows: Some(flows), ..scheme("oauth2", "An access token of `POST /token`.") },
        );
        registry.create_security_scheme(
            "api_key",
            MetaSecurityScheme {
                name: Some("X-API-Key"),
                key_in: Some("header"),
                ..scheme("apiKey", "An API key of `POST /v1/api-keys`.")
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["bearer", "api_key"]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let anybody = Anybody::of(request)?;
        let caller =
            anybody.caller.clone().ok_or_else(|| Problem::from(arborgate_contracts::ServiceError::internal()))?;
        Ok(Self { caller, meta: anybody.meta, sticky: anybody.sticky.clone() })
    }
}

impl<'a> poem::FromRequest<'a> for Anybody {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(Self::of(request)?.clone())
    }
}
