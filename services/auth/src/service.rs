//! The operations of the auth service: one function for each, as the contract says them. No state of its own.

use std::sync::Arc;

use arborgate_actor::Address;
use arborgate_bus::{Bus, BusError, Meta, Serving, serve};
use arborgate_contracts::auth::{
    AccessToken, ApiKey, ApiKeyGrant, CheckToken, CreateApiKey, CreateUser, DeleteApiKey, DeleteUser, Lease, Leased,
    ListApiKeys, ListUsers, NewApiKey, SignIn, User, VerifyApiKey,
};
use arborgate_contracts::{ErrorCode, InstanceId, Operation};
use serde::Serialize;

use crate::api_keys::ApiKeys;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::password::plain;
use crate::signer::Message;
use crate::standings::Standings;
use crate::token::Issuer;
use crate::users::Users;

/// What a reply's envelope may add to it, in bytes.
const ENVELOPE: usize = 4096;

/// Everything that an operation needs.
pub(crate) struct Service {
    pub(crate) users: Users,
    pub(crate) api_keys: ApiKeys,
    pub(crate) standings: Standings,
    pub(crate) issuer: Issuer,
    pub(crate) signer: Address<Message>,
    pub(crate) lease_ms: u64,
    /// Of the bus.
    pub(crate) max_payload: usize,
    pub(crate) metrics: Metrics,
}

impl Service {
    async fn sign_in(&self, request: SignIn, meta: Meta) -> Result<AccessToken, Error> {
        let outcome = self.users.sign_in(&request.username, plain(request.password), meta.deadline).await;
        match &outcome {
            Ok(_) => self.metrics.signed_in(true),
            Err(Error::Refused(error)) if error.code == ErrorCode::Unauthenticated => self.metrics.signed_in(false),
            Err(_) => {}
        }
        let user = outcome?;
        match self.issuer.issue(&user) {
            // The machine slept past the key's end: do not wait for the next tick.
            Err(Error::NoSigningKey) => {
                self.signer.ask(meta.deadline.instant(), Message::Tick).await??;
                self.issuer.issue(&user)
            }
            outcome => outcome,
        }
    }

    async fn verify_api_key(&self, request: VerifyApiKey, _: Meta) -> Result<ApiKeyGrant, Error> {
        let outcome = self.api_keys.verify(&request.id, &request.digest).await;
        match &outcome {
            Ok(_) => self.metrics.key_checked(true),
            Err(Error::Refused(_)) => self.metrics.key_checked(false),
            Err(_) => {}
        }
        outcome
    }

    async fn lease(&self, _: Lease, _: Meta) -> Result<Leased, Error> {
        Ok(Leased { revision: self.standings.revision().await?, valid_ms: self.lease_ms })
    }

    async fn check_token(&self, request: CheckToken, _: Meta) -> Result<(), Error> {
        self.users.check_token(&request.sub, request.generation).await
    }

    async fn create_user(&self, request: CreateUser, meta: Meta) -> Result<User, Error> {
        self.users.create(request.name, request.password, request.roles, meta.deadline).await
    }

    async fn list_users(&self, _: ListUsers, _: Meta) -> Result<Vec<User>, Error> {
        let users = self.users.list().await?;
        self.in_one_message(users.iter().map(|user| user.shown()).collect::<Result<_, _>>()?)
    }

    async fn delete_user(&self, request: DeleteUser, _: Meta) -> Result<(), Error> {
        self.users.delete(&request.name).await
    }

    async fn create_api_key(&self, request: CreateApiKey, _: Meta) -> Result<NewApiKey, Error> {
        self.api_keys.create(request).await
    }

    async fn list_api_keys(&self, _: ListApiKeys, _: Meta) -> Result<Vec<ApiKey>, Error> {
        let keys = self.api_keys.list().await?;
        self.in_one_message(keys.iter().map(|key| key.shown()).collect::<Result<_, _>>()?)
    }

    async fn delete_api_key(&self, request: DeleteApiKey, _: Meta) -> Result<(), Error> {
        self.api_keys.delete(&request.id).await
    }

    /// Refuses a list that no message holds.
    fn in_one_message<T: Serialize>(&self, list: Vec<T>) -> Result<Vec<T>, Error> {
        let size = arborgate_bus::to_json(&list)?.len();
        if size.saturating_add(ENVELOPE) > self.max_payload {
            let detail =
                format!("the list of {} entries is over the bus's limit of {} bytes", list.len(), self.max_payload);
            return Err(Error::refused(ErrorCode::TooLarge, detail));
        }
        Ok(list)
    }
}

/// Serves every operation; returns when all are live.
pub(crate) async fn serve_all(
    service: &Arc<Service>,
    bus: &Bus,
    instance: &InstanceId,
    capacity: usize,
) -> Result<Vec<Serving>, BusError> {
    let mut servings = Vec::new();
    macro_rules! operation {
        ($request:ty, $answer:ident) => {{
            let service = Arc::clone(service);
            let answer = move |request: $request, meta: Meta| {
                let service = Arc::clone(&service);
                async move {
                    let outcome = service.$answer(request, meta).await;
                    outcome.map_err(|error| error.into_service_error(<$request as Operation>::NAME))
                }
            };
            servings.extend(serve(bus, instance, capacity, answer).await?);
        }};
    }
    operation!(SignIn, sign_in);
    operation!(VerifyApiKey, verify_api_key);
    operation!(Lease, lease);
    operation!(CheckToken, check_token);
    operation!(CreateUser, create_user);
    operation!(ListUsers, list_users);
    operation!(DeleteUser, delete_user);
    operation!(CreateApiKey, create_api_key);
    operation!(ListApiKeys, list_api_keys);
    operation!(DeleteApiKey, delete_api_key);
    Ok(servings)
}
