//! Users and API keys.

use std::str::FromStr;

use arborgate_contracts::auth::{
    self, CreateApiKey, CreateUser, DeleteApiKey, DeleteUser, ListApiKeys, ListUsers, Password,
};
use arborgate_contracts::name::{KeyId, NameError};
use arborgate_contracts::permission::Role;
use arborgate_contracts::{ErrorCode, UserName};
use poem_openapi::param::Path;
use poem_openapi::{Enum, Object, OpenApi};
use serde::Serialize;
use serde_json::Value;

use super::Tag;
use super::payload::{Gone, Made, RawJson, Rendered, Shown, State};
use crate::front::admitted::Admitted;
use crate::front::body::Fields;
use crate::front::problem::Problem;

pub(super) struct Api(pub State);

/// What a user or a key may do.
#[derive(Enum, Serialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum RoleName {
    /// All.
    Admin,
    /// Predict and see models.
    Predictor,
    /// Sign in and nothing else.
    User,
}

/// A user.
#[derive(Object)]
struct User {
    /// The name.
    name: String,
    /// What the user may do.
    roles: Vec<RoleName>,
    /// RFC 3339.
    created_at: String,
}

/// A user to be added.
#[derive(Object)]
struct NewUser {
    /// 1 to 128 of A-Z, a-z, 0-9, '.', '_', '-', '+' and '@'.
    #[oai(validator(pattern = "^[A-Za-z0-9][A-Za-z0-9._+@-]*$", max_length = 128))]
    name: String,
    /// 12 to 128 characters.
    #[oai(validator(min_length = 12, max_length = 128))]
    password: String,
    /// What the user may do.
    #[oai(validator(min_items = 1))]
    roles: Vec<RoleName>,
}
impl Shown for NewUser {}

/// An API key, without its secret.
#[derive(Object)]
struct ApiKey {
    /// The public part.
    id: String,
    /// What a person calls it.
    name: String,
    /// What it may do.
    roles: Vec<RoleName>,
    /// RFC 3339.
    created_at: String,
    /// Who made it.
    created_by: String,
    /// RFC 3339; null: it does not end.
    expires_at: Option<String>,
}

/// An API key to be made.
#[derive(Object)]
struct NewApiKey {
    /// What a person calls it: 1 to 64 characters, no control characters.
    #[oai(validator(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$"))]
    name: String,
    /// What it may do.
    #[oai(validator(min_items = 1))]
    roles: Vec<RoleName>,
    /// Its life in seconds, at most a hundred years; absent or null: it does not end.
    #[oai(validator(minimum(value = "1"), maximum(value = "3153600000")))]
    expires_in: Option<u64>,
}
impl Shown for NewApiKey {}

/// A new API key with its secret, shown this once.
#[derive(Object)]
struct ApiKeyWithSecret {
    /// What is kept.
    key: ApiKey,
    /// To be sent as `X-API-Key`.
    secret: String,
}

fn roles(value: Value) -> Result<Vec<Role>, String> {
    let wrong = || "must be a list of roles: admin, predictor, user".to_owned();
    let Value::Array(names) = value else { return Err(wrong()) };
    let mut roles: Vec<Role> =
        names.iter().map(|name| name.as_str().and_then(Role::from_name).ok_or_else(wrong)).collect::<Result<_, _>>()?;
    roles.sort();
    roles.dedup();
    if roles.is_empty() { Err(wrong()) } else { Ok(roles) }
}

fn parse<T: FromStr<Err = NameError>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::new(ErrorCode::NotFound, "there is nothing of this name"))
}

#[OpenApi(tag = "Tag::Accounts")]
impl Api {
    /// List users
    #[oai(path = "/v1/users", method = "get", operation_id = "list_users")]
    async fn list_users(&self, admitted: Admitted) -> Result<Rendered<Vec<User>>, Problem> {
        Rendered::of(&self.0.get()?.auth.call(&ListUsers {}, None, admitted.meta).await?)
    }

    /// Add a user
    #[oai(path = "/v1/users", method = "post", operation_id = "create_user")]
    async fn create_user(&self, admitted: Admitted, body: RawJson<NewUser>) -> Result<Made<User>, Problem> {
        let mut fields = Fields::parse(&body.bytes)?;
        let name = fields.required("name", "a user name", |value| {
            let text = value.as_str().ok_or("must be a text")?;
            text.parse::<UserName>().map(Some).map_err(|error| error.to_string())
        });
        let password = Password(fields.text("password"));
        let roles = fields.required("roles", "a list of roles", roles);
        fields.finish()?;
        let Some(name) = name else { return Err(Problem::from(arborgate_contracts::ServiceError::internal())) };
        let question = CreateUser { name, password, roles };
        let user: auth::User = self.0.get()?.auth.call(&question, None, admitted.meta).await?;
        Ok(Made { rendered: Rendered::of(&user)?, created: true })
    }

    /// Remove a user
    ///
    /// What the user holds is refused from now on.
    #[oai(path = "/v1/users/:name", method = "delete", operation_id = "delete_user")]
    async fn delete_user(
        &self,
        admitted: Admitted,
        /// The user's name.
        name: Path<String>,
    ) -> Result<Gone, Problem> {
        let question = DeleteUser { name: parse(&name)? };
        self.0.get()?.auth.call(&question, None, admitted.meta).await?;
        Ok(Gone)
    }

    /// List API keys
    #[oai(path = "/v1/api-keys", method = "get", operation_id = "list_api_keys")]
    async fn list_api_keys(&self, admitted: Admitted) -> Result<Rendered<Vec<ApiKey>>, Problem> {
        Rendered::of(&self.0.get()?.auth.call(&ListApiKeys {}, None, admitted.meta).await?)
    }

    /// Make an API key
    ///
    /// The answer shows its secret, this once.
    #[oai(path = "/v1/api-keys", method = "post", operation_id = "create_api_key")]
    async fn create_api_key(
        &self,
        admitted: Admitted,
        body: RawJson<NewApiKey>,
    ) -> Result<Made<ApiKeyWithSecret>, Problem> {
        let mut fields = Fields::parse(&body.bytes)?;
        let name = fields.text("name");
        let roles = fields.required("roles", "a list of roles", roles);
        let expires_in_s = fields.optional("expires_in", |value| {
            value.as_u64().filter(|s| *s > 0).ok_or_else(|| "must be a whole number of seconds, at least 1".to_owned())
        });
        fields.finish()?;
        let question = CreateApiKey { name, roles, expires_in_s, created_by: admitted.caller.principal.to_string() };
        let made = self.0.get()?.auth.call(&question, None, admitted.meta).await?;
        Ok(Made { rendered: Rendered::of(&made)?, created: true })
    }

    /// Revoke an API key
    #[oai(path = "/v1/api-keys/:id", method = "delete", operation_id = "delete_api_key")]
    async fn delete_api_key(
        &self,
        admitted: Admitted,
        /// The key's public part.
        id: Path<String>,
    ) -> Result<Gone, Problem> {
        let question = DeleteApiKey { id: parse::<KeyId>(&id)? };
        self.0.get()?.auth.call(&question, None, admitted.meta).await?;
        Ok(Gone)
    }
}
