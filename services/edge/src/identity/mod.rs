//! Who asks: an access token or an API key, decided in the edge's memory. What is remembered is trusted only as long as
//! the edge holds a lease on being current (`standings`); without one the auth service is asked for each request.

mod api_key;
mod standings;
mod token;

use std::sync::Arc;

use arborgate_bus::{Bus, BusError, Client, Meta, StoreError};
use arborgate_contracts::ErrorCode;
use arborgate_contracts::auth::Principal;
use arborgate_contracts::permission::{Permissions, Role};
use http::{HeaderMap, header};

use crate::front::problem::Problem;

/// The header of an API key.
const API_KEY: &str = "x-api-key";

/// Who a request comes from, and what they may do.
#[derive(Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// What they may.
    pub permissions: Permissions,
    /// Their roles.
    pub roles: Vec<Role>,
    /// By what they may: their principal, as it travels with their rows.
    pub grant: Arc<str>,
}

impl Caller {
    /// A principal in roles.
    pub fn new(principal: Principal, roles: &[Role]) -> Self {
        let grant = principal.to_string().into();
        Self { principal, permissions: Permissions::of_roles(roles), roles: roles.to_vec(), grant }
    }
}

/// Why callers can not be told.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A bucket.
    #[error("reading what tokens are verified by failed")]
    Store(#[from] StoreError),
    /// The bus.
    #[error("listening for the auth service failed")]
    Bus(#[from] BusError),
}

/// Tells who asks.
pub struct Authenticator {
    tokens: token::Tokens,
    api_keys: api_key::ApiKeys,
    standings: Arc<standings::Standings>,
    auth: Client,
}

impl Authenticator {
    /// Follows the public keys and the standings; `remember` credentials at most.
    pub async fn start(bus: &Bus, auth: Client, remember: usize) -> Result<Self, IdentityError> {
        Ok(Self {
            tokens: token::Tokens::start(bus, remember).await?,
            api_keys: api_key::ApiKeys::new(remember),
            standings: standings::Standings::start(bus, auth.clone()).await?,
            auth,
        })
    }

    /// Who sent these headers. Refusals: 400 for two credentials, 401 for none or a bad bearer, 403 for a wrong key.
    pub async fn identify(&self, headers: &HeaderMap, meta: Meta) -> Result<Arc<Caller>, Problem> {
        let bearer = one(headers, header::AUTHORIZATION.as_str())?;
        let key = one(headers, API_KEY)?;
        match (bearer, key) {
            (Some(_), Some(_)) => Err(Problem::new(
                ErrorCode::BadRequest,
                "both an Authorization header and an X-API-Key were sent; send one of them",
            )),
            (None, None) => Err(Problem::new(
                ErrorCode::Unauthenticated,
                "no credential was sent; send 'Authorization: Bearer …' with a token of POST /token, or 'X-API-Key: …'",
            )),
            (Some(bearer), None) => self.tokens.identify(bearer, &self.standings, &self.auth, meta).await,
            (None, Some(key)) => Box::pin(self.api_keys.identify(key, &self.standings, &self.auth, meta)).await,
        }
    }
}

/// Whether a request says who sends it, truly or not.
pub fn sends_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) || headers.contains_key(API_KEY)
}

/// The only value of a header.
fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h [u8]>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Problem::new(ErrorCode::BadRequest, format!("the header {name} was sent twice")));
    }
    Ok(first.map(|value| value.as_bytes()))
}
