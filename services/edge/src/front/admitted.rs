//! What is known of a request when its handler is called; as poem-openapi sees it, a security scheme.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use arborgate_bus::Meta;
use arborgate_contracts::RequestId;
use arborgate_contracts::auth::Principal;
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaOAuthFlow, MetaOAuthFlows, MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::problem::Problem;
use crate::BodySizes;
use crate::identity::Caller;

/// A request that may go on.
#[derive(Debug, Clone)]
pub struct Admitted(Arc<Admission>);

/// What is known of it.
#[derive(Debug)]
pub struct Admission {
    /// Who.
    pub caller: Arc<Caller>,
    /// Of this request.
    pub id: RequestId,
    /// Until when, and of which trace.
    pub meta: Meta,
    /// How large its body may be.
    pub sizes: BodySizes,
}

impl Admitted {
    /// With this word of the front handlers are called.
    pub fn new(admission: Admission) -> Self {
        Self(Arc::new(admission))
    }

    /// Of a request. Only the front calls handlers; without its word nobody is let in.
    pub fn of(request: &Request) -> Result<&Self, Problem> {
        request.extensions().get::<Self>().ok_or_else(|| arborgate_contracts::ServiceError::internal().into())
    }
}

impl Deref for Admitted {
    type Target = Admission;

    fn deref(&self) -> &Admission {
        &self.0
    }
}

/// The caller of a public operation: no name, no permission.
pub fn nobody() -> Arc<Caller> {
    static NOBODY: LazyLock<Arc<Caller>> = LazyLock::new(|| Arc::new(Caller::new(Principal::Operator, &[])));
    Arc::clone(&NOBODY)
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
        Ok(Self::of(request)?.clone())
    }
}

/// The same for public operations, which name no security scheme.
#[derive(Debug, Clone)]
pub struct Anybody(pub Admitted);

impl<'a> poem::FromRequest<'a> for Anybody {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(Self(Admitted::of(request)?.clone()))
    }
}
