//! Signing keys through time: published before they sign, good until their last token has ended, then removed.

use std::time::Instant;

use arborgate_actor::Address;
use arborgate_bus::{Bus, Meta, local};
use arborgate_contracts::auth::{AccessToken, PublicKey, SignIn};
use arborgate_contracts::{Service, Subject, bucket};
use arborgate_runtime::master_key::MasterKey;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::*;
use crate::record::UserRecord;
use crate::signer::{self, Message, Parts};
use crate::token::{CurrentKey, Issuer};

const LIFE: u64 = 3600;
const TOKEN_LIFE: u64 = 300;

/// One replica's signer.
struct Replica {
    signer: Address<Message>,
    issuer: Issuer,
}

struct Keys {
    bucket: Arc<Memory>,
    seconds: Arc<AtomicU64>,
}

impl Keys {
    fn new() -> Self {
        Self { bucket: Arc::default(), seconds: Arc::new(AtomicU64::new(TODAY)) }
    }

    fn replica(&self) -> Replica {
        let (clock, metrics, current) = (Clock::set_by(self.seconds.clone()), Metrics::new(), CurrentKey::default());
        let issuer =
            Issuer { current: current.clone(), token_life: TOKEN_LIFE, clock: clock.clone(), metrics: metrics.clone() };
        let bucket = Bucket::new(self.bucket.clone());
        let signer = signer::start(Parts { bucket, current, life: LIFE, token_life: TOKEN_LIFE, clock, metrics });
        Replica { signer, issuer }
    }

    fn at(&self, seconds: u64) {
        self.seconds.store(TODAY + seconds, Ordering::SeqCst);
    }

    async fn published(&self) -> Vec<PublicKey> {
        self.bucket.list(None).await.unwrap().iter().map(|entry| entry.json().unwrap()).collect()
    }
}

impl Replica {
    async fn tick(&self) -> Result<(), Error> {
        self.signer.ask(Instant::now() + Duration::from_secs(30), Message::Tick).await.unwrap()
    }

    /// The id of the key that signs now.
    fn signs(&self) -> String {
        let token = self.issuer.issue(&ann()).unwrap().token;
        jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
    }
}

fn ann() -> UserRecord {
    UserRecord {
        format: 1,
        name: user("ann"),
        uid: uuid::Uuid::nil(),
        hash: String::new(),
        roles: vec![Role::User],
        created: 0,
        generation: 7,
    }
}

/// What an edge does with a token at a time.
fn verifies(token: &str, published: &[PublicKey], now: u64) -> bool {
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let Some(key) = published.iter().find(|key| key.kid == kid) else { return false };
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.set_audience(&["arborgate-api"]);
    let verifier = DecodingKey::from_ed_components(&key.x).unwrap();
    let claims =
        jsonwebtoken::decode::<arborgate_contracts::auth::Claims>(token, &verifier, &validation).unwrap().claims;
    claims.iat <= key.signs_until && now <= claims.exp && now <= key.verifies_until
}

#[tokio::test]
async fn a_key_is_published_before_it_signs_and_verifies_to_the_end() {
    let keys = Keys::new();
    let replica = keys.replica();
    assert!(matches!(replica.issuer.issue(&ann()), Err(Error::NoSigningKey)));
    replica.tick().await.unwrap();
    let first = replica.signs();
    let published = keys.published().await;
    assert_eq!((published.len(), &published[0].kid), (1, &first));
    assert_eq!((published[0].signs_until, published[0].verifies_until), (TODAY + 3600, TODAY + 3600 + 300 + 5));

    keys.at(3539);
    replica.tick().await.unwrap();
    assert_eq!(keys.published().await.len(), 1);
    keys.at(3540);
    replica.tick().await.unwrap();
    assert_eq!((keys.published().await.len(), replica.signs()), (2, first.clone()), "published, not yet in use");
    keys.at(3569);
    replica.tick().await.unwrap();
    assert_eq!(replica.signs(), first);
    let last = replica.issuer.issue(&ann()).unwrap().token;
    keys.at(3570);
    replica.tick().await.unwrap();
    let second = replica.signs();
    assert_ne!(second, first);

    assert!(verifies(&last, &keys.published().await, TODAY + 3569 + 300));
    keys.at(3600 + 305 + 60);
    replica.tick().await.unwrap();
    assert_eq!(keys.published().await.len(), 2, "clocks differ");
    keys.at(3600 + 305 + 60 + 301);
    replica.tick().await.unwrap();
    let left: Vec<_> = keys.published().await.into_iter().map(|key| key.kid).collect();
    assert_eq!(left, [second]);
}

#[tokio::test]
async fn replicas_have_keys_of_their_own_and_remove_what_others_left() {
    let keys = Keys::new();
    let (one, two) = (keys.replica(), keys.replica());
    one.tick().await.unwrap();
    two.tick().await.unwrap();
    assert_ne!(one.signs(), two.signs());
    assert_eq!(keys.published().await.len(), 2);
    let token = one.issuer.issue(&ann()).unwrap().token;

    // Drained, a key signs no more and stays until its tokens have ended.
    keys.at(10);
    let gone = one.signs();
    one.signer.drain(Duration::from_secs(30)).await;
    assert!(matches!(one.issuer.issue(&ann()), Err(Error::NoSigningKey)));
    let left = keys.published().await.into_iter().find(|key| key.kid == gone).unwrap();
    assert_eq!((left.signs_until, left.verifies_until), (TODAY + 10, TODAY + 10 + 305));
    assert!(verifies(&token, &keys.published().await, TODAY + 300));
    keys.at(10 + 305 + 61);
    two.tick().await.unwrap();
    assert_eq!(keys.published().await.into_iter().map(|key| key.kid).collect::<Vec<_>>(), [two.signs()]);
}

#[tokio::test]
async fn a_state_that_fails_keeps_the_key_until_its_end_and_no_longer() {
    let keys = Keys::new();
    let replica = keys.replica();
    replica.tick().await.unwrap();
    let first = replica.signs();
    keys.bucket.broken.store(true, Ordering::SeqCst);
    keys.at(3600);
    broken(replica.tick().await);
    assert_eq!(replica.signs(), first);
    keys.at(3601);
    broken(replica.tick().await);
    assert!(matches!(replica.issuer.issue(&ann()), Err(Error::NoSigningKey)));

    // Slept past the end: the next key is in use with the first tick.
    keys.bucket.broken.store(false, Ordering::SeqCst);
    keys.at(LIFE * 30);
    replica.tick().await.unwrap();
    assert_ne!(replica.signs(), first);
    assert_eq!(keys.published().await.len(), 1);
}

#[tokio::test]
async fn a_public_key_that_someone_removed_comes_back() {
    let keys = Keys::new();
    let replica = keys.replica();
    replica.tick().await.unwrap();
    let published = keys.published().await;
    let place = Key::of(&[&published[0].kid]);
    keys.bucket.delete(&place, None).await.unwrap();
    keys.at(301);
    replica.tick().await.unwrap();
    assert_eq!(keys.published().await, published);
}

#[tokio::test]
async fn a_first_key_that_can_not_be_published_does_not_sign() {
    let keys = Keys::new();
    keys.bucket.broken.store(true, Ordering::SeqCst);
    let replica = keys.replica();
    broken(replica.tick().await);
    assert!(matches!(replica.issuer.issue(&ann()), Err(Error::NoSigningKey)));
}

#[tokio::test]
async fn a_sign_in_after_the_machine_slept_past_the_key_s_end_makes_the_next() {
    let bus = Bus::new(local::LocalBus::open(local::Config::default()).unwrap());
    for spec in bucket::ALL {
        bus.create_bucket(spec).await.unwrap();
    }
    crate::seed(&bus, &config(8), Some(Password(PASSWORD.into()))).await.unwrap();
    let seconds = Arc::new(AtomicU64::new(TODAY));
    let (clock, master) = (Clock::set_by(seconds.clone()), MasterKey::generate().unwrap());
    let (config, instance) = (config(8), "a".parse().unwrap());
    let _running = crate::start_with(&config, &bus, instance, Metrics::new(), &master, clock).await.unwrap();
    let kid = async || {
        let request = SignIn { username: "admin".into(), password: Password(PASSWORD.into()) };
        let payload = serde_json::to_vec(&request).unwrap().into();
        let meta = Meta::within(Duration::from_secs(60));
        let reply = bus.request(&Subject::group(Service::Auth, "sign-in"), payload, meta).await.unwrap();
        let AccessToken { token, .. } = serde_json::from_slice(&reply).unwrap();
        jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
    };
    let first = kid().await;
    assert_eq!(kid().await, first);
    seconds.store(TODAY + 10 * 86_400, Ordering::SeqCst);
    assert_ne!(kid().await, first);
}
