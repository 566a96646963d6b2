//! Signing in: the OAuth 2.0 password grant (RFC 6749 section 4.3), for programs that have it.

use arborgate_contracts::auth::{Password, SignIn};
use arborgate_contracts::{ErrorCode, Fault};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi};
use serde::Serialize;

use super::Tag;
use super::payload::{Rendered, State};
use crate::front::admitted::Anybody;
use crate::front::body;
use crate::front::problem::Problem;

pub(super) struct Api(pub State);

/// An access token.
#[derive(Object, Serialize)]
struct Token {
    /// To be sent as `Authorization: Bearer …`.
    access_token: String,
    /// Always `bearer`.
    token_type: String,
    /// Its life, in seconds.
    expires_in: u64,
}

/// The form of RFC 6749 section 4.3.2.
struct Form {
    username: String,
    password: Password,
}

const FORM: &str = "application/x-www-form-urlencoded";

impl Form {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let (mut username, mut password, mut grant_type) = (None, None, None);
        let mut faults = Vec::new();
        let mut fault = |name: &str, detail: &str| {
            faults.push(Fault { pointer: name.to_owned(), detail: detail.to_owned() });
        };
        for (name, value) in form_urlencoded::parse(bytes) {
            let slot = match name.as_ref() {
                "username" => &mut username,
                "password" => &mut password,
                "grant_type" => &mut grant_type,
                // What OAuth clients send along (sections 2.3.1, 3.3) says nothing here.
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                fault(&name, "is given twice");
            }
        }
        if grant_type.is_some_and(|grant| grant != "password") {
            fault("grant_type", "must be 'password', or absent");
        }
        for (name, value) in [("username", &username), ("password", &password)] {
            if value.as_ref().is_none_or(String::is_empty) {
                fault(name, "is missing");
            }
        }
        match (username, password) {
            (Some(username), Some(password)) if faults.is_empty() => {
                Ok(Self { username, password: Password(password) })
            }
            _ => Err(Problem::invalid(faults)),
        }
    }
}

impl<'a> ApiExtractor<'a> for Form {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let text = |format| MetaSchemaRef::Inline(Box::new(MetaSchema { format, ..MetaSchema::new("string") }));
        let grant = MetaSchema { enum_items: vec!["password".into()], ..MetaSchema::new("string") };
        let schema = MetaSchema {
            required: vec!["username", "password"],
            properties: vec![
                ("grant_type", MetaSchemaRef::Inline(Box::new(grant))),
                ("username", text(None)),
                ("password", text(Some("password"))),
            ],
            ..MetaSchema::new("object")
        };
        let content = vec![MetaMediaType { content_type: FORM, schema: MetaSchemaRef::Inline(Box::new(schema)) }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        content: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        body::check_type(request.headers(), FORM)?;
        let limits = Anybody::of(request)?.sizes;
        let bytes = body::read(content, request.headers(), limits.of(false)).await?;
        Ok(Self::parse(&bytes)?)
    }
}

#[OpenApi(tag = "Tag::Token")]
impl Api {
    /// Sign in
    ///
    /// An access token for a user's name and password.
    #[oai(path = "/token", method = "post", operation_id = "token")]
    async fn token(&self, anybody: Anybody, form: Form) -> Result<Rendered<Token>, Problem> {
        let shared = self.0.get()?;
        if !shared.config.password_grant {
            let detail = "signing in with a password is off on this server";
            return Err(Problem::new(ErrorCode::Forbidden, detail));
        }
        let question = SignIn { username: form.username, password: form.password };
        let token = shared.auth.call(&question, None, anybody.meta).await?;
        Rendered::of(&Token {
            access_token: token.token,
            token_type: "bearer".to_owned(),
            expires_in: token.expires_in,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_oauth() {
        let form =
            Form::parse(b"grant_type=password&username=ann%40example.org&password=a+b%26c&scope=&client_id=x").unwrap();
        assert_eq!((form.username.as_str(), form.password.0.as_str()), ("ann@example.org", "a b&c"));
        assert!(Form::parse(b"username=a&password=b").is_ok());
    }

    #[test]
    fn every_fault_of_the_form_is_told() {
        let faults = |body: &[u8]| {
            let problem = Form::parse(body).err().unwrap();
            problem.faults.into_iter().map(|f| f.pointer).collect::<Vec<_>>()
        };
        assert_eq!(faults(b""), ["username", "password"]);
        assert_eq!(faults(b"grant_type=refresh_token&username=a&username=b"), ["username", "grant_type", "password"]);
        assert_eq!(faults(b"\xff=%ff&username=&password=x"), ["username"]);
    }
}
