//! The crypto service: Fernet tokens by a ring of keys that rotates. The newest key encrypts, every one decrypts; each is
//! kept wrapped by the master key. It knows no HTTP and no user: who may ask is decided at the edge.
//!
//! | module | what |
//! |---|---|
//! | [`fernet`] | the token format |
//! | `ring` | a key as it is stored; the keys that can be used |
//! | `keyring` | the snapshot of them, kept current by a watch |
//! | `keeper` | the actor that makes new keys and reads again what a watch may not have shown yet |
//! | `service` | the operations of [`arborgate_contracts::crypto`] |
//!
//! A ring is rotated to at most [`MAX_KEYS`] keys, which are all tried on a token that none of them made.

mod config;
mod error;
pub mod fernet;
mod keeper;
mod keyring;
mod metrics;
mod ring;
mod service;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arborgate_actor::{Address, Options};
use arborgate_bus::{Bus, Follower, Presence, Serving, follow, serve};
use arborgate_contracts::bucket::KEYRING;
use arborgate_contracts::crypto::{Decrypt, Encrypt, ExportKeys, RotateKey};
use arborgate_contracts::{InstanceId, Service};
use arborgate_runtime::master_key::MasterKey;
use futures_util::future::join_all;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

pub use config::Config;
pub use error::Error;
pub use keeper::seed;
pub use ring::MAX_KEYS;

use keeper::{Keeper, Message};
use keyring::Keyring;
use metrics::Metrics;
use service::Crypto;

/// What a reply is beside its ciphertext, generously.
const ENVELOPE: usize = 256;
/// What a token is beside its plaintext, at most: header, padding, HMAC.
const OVERHEAD: usize = 73;

/// The service, live until it is drained or dropped.
#[must_use = "the service ends when this is dropped"]
pub struct Running {
    presence: Presence,
    servings: Vec<Serving>,
    keeper: Address<Message>,
    _follower: Follower,
}

/// Starts the service and returns when its subscriptions are live.
///
/// # Errors
/// A configuration that can not work, a keyring that is empty or does not open with `master`, a bus or state that can not
/// be reached.
pub async fn start(
    config: Config,
    bus: Bus,
    instance: InstanceId,
    registry: &mut Registry,
    master: Arc<MasterKey>,
) -> Result<Running, Error> {
    if let Some((key, problem)) = config.problems().into_iter().next() {
        return Err(Error::Config { key, problem });
    }
    let metrics = Metrics::register(registry);
    let keyring = Arc::new(Keyring::new(master, metrics.clone()));
    let bucket = bus.bucket(&KEYRING).await?;
    let applied = Arc::clone(&keyring);
    let follower = follow(bucket.clone(), move |change| applied.apply(change)).await?;
    keyring.verify()?;

    // as many questions as the four subscriptions with some can have under way
    let options = Options { capacity: config.capacity.saturating_mul(4), ..Options::default() };
    let kept = (Arc::clone(&keyring), metrics.clone());
    let keeper =
        arborgate_actor::spawn(options, move || Keeper::new(bucket.clone(), Arc::clone(&kept.0), kept.1.clone()));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let crypto = Arc::new(Crypto {
        keyring,
        keeper: keeper.clone(),
        max_plaintext: max_plaintext(&config, bus.max_payload()),
        blocking: Arc::new(Semaphore::new(threads)),
        metrics,
    });
    let servings = serve_all(&bus, &instance, config.capacity, &crypto).await?;
    let presence = Presence::start(&bus, Service::Crypto, instance).await?;
    Ok(Running { presence, servings, keeper, _follower: follower })
}

async fn serve_all(
    bus: &Bus,
    instance: &InstanceId,
    capacity: usize,
    crypto: &Arc<Crypto>,
) -> Result<Vec<Serving>, Error> {
    let of = || Arc::clone(crypto);
    let (encrypt, decrypt, rotate, export) = (of(), of(), of(), of());
    let mut servings = Vec::new();
    servings.extend(
        serve(bus, instance, capacity, move |request: Encrypt, meta| {
            let crypto = Arc::clone(&encrypt);
            async move { crypto.encrypt(request, meta).await }
        })
        .await?,
    );
    servings.extend(
        serve(bus, instance, capacity, move |request: Decrypt, meta| {
            let crypto = Arc::clone(&decrypt);
            async move { crypto.decrypt(request, meta).await }
        })
        .await?,
    );
    servings.extend(
        serve(bus, instance, capacity, move |_: RotateKey, meta| {
            let crypto = Arc::clone(&rotate);
            async move { crypto.rotate(meta).await }
        })
        .await?,
    );
    servings.extend(
        serve(bus, instance, capacity, move |_: ExportKeys, _| {
            let crypto = Arc::clone(&export);
            async move { crypto.export() }
        })
        .await?,
    );
    Ok(servings)
}

/// The configured limit, or less where the bus could not carry the token back.
fn max_plaintext(config: &Config, max_payload: usize) -> usize {
    let configured = config.max_plaintext.as_usize();
    let carried = (max_payload.saturating_sub(ENVELOPE) / 4).saturating_mul(3).saturating_sub(OVERHEAD);
    if carried < configured {
        tracing::info!(
            configured,
            carried,
            "the bus carries less than crypto.max_plaintext; the limit is what it carries"
        );
    }
    configured.min(carried)
}

impl Running {
    /// Says that it leaves, takes nothing new, and waits until what is under way is answered, all within `grace`.
    pub async fn drain(self, grace: Duration) {
        let end = Instant::now() + grace;
        let left = || end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left(), self.presence.leave()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the crypto service could not say that it leaves"),
            Err(_) => tracing::warn!("the crypto service could not say in time that it leaves"),
        }
        join_all(self.servings.into_iter().map(|serving| serving.drain(left()))).await;
        self.keeper.drain(left()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_the_longest_plaintext_fits_on_the_bus() {
        let config = Config::default();
        assert_eq!(max_plaintext(&config, 8 << 20), 1 << 20);
        for max_payload in [0, 1, 256, 353, 1000, 1 << 20] {
            let plaintext = max_plaintext(&config, max_payload);
            assert!(plaintext == 0 || fernet::token_len(plaintext) + ENVELOPE <= max_payload, "{max_payload}");
        }
        assert!(max_plaintext(&config, 1 << 20) > 780_000);
    }
}
