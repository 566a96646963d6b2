//! API keys: their end, another master key, a removal that was cut off, what is stored.

use arborgate_contracts::api_key;
use arborgate_contracts::auth::{CreateApiKey, NewApiKey, SecretDigest};
use arborgate_runtime::master_key::MasterKey;
use aws_lc_rs::digest;

use super::*;
use crate::api_keys::ApiKeys;

struct Keys {
    bucket: Arc<Memory>,
    seconds: Arc<AtomicU64>,
    standings: Standings,
    clock: Clock,
    keys: ApiKeys,
}

fn keys(master: &MasterKey) -> Keys {
    let world = World::new();
    let (bucket, clock) = (Arc::new(Memory::default()), world.users.clock.clone());
    let keys = ApiKeys::new(Bucket::new(bucket.clone()), world.standings.clone(), master, clock.clone());
    Keys { bucket, seconds: world.seconds, standings: world.standings, clock, keys }
}

fn request(expires_in_s: Option<u64>) -> CreateApiKey {
    CreateApiKey {
        name: "ci".into(),
        roles: vec![Role::Predictor, Role::User, Role::Predictor],
        expires_in_s,
        created_by: "user:admin".into(),
    }
}

fn sha256(text: &str) -> SecretDigest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    SecretDigest::from_sha256(&bytes)
}

impl Keys {
    async fn verify(&self, key: &NewApiKey) -> Result<Vec<Role>, Error> {
        let id = api_key::parse(&key.secret).unwrap();
        assert_eq!(id, key.key.id);
        Ok(self.keys.verify(&id, &sha256(&key.secret)).await?.roles)
    }
}

#[tokio::test]
async fn a_key_is_good_until_its_end() {
    let world = keys(&MasterKey::generate().unwrap());
    let key = world.keys.create(request(Some(60))).await.unwrap();
    assert_eq!(key.key.created_at, "2026-11-23T22:00:00Z");
    assert_eq!(key.key.expires_at.as_deref(), Some("2026-11-23T22:01:00Z"));
    let forever = world.keys.create(request(None)).await.unwrap();
    world.seconds.store(TODAY + 59, Ordering::SeqCst);
    assert_eq!(world.verify(&key).await.unwrap(), [Role::Predictor, Role::User]);
    world.seconds.store(TODAY + 60, Ordering::SeqCst);
    assert_eq!(code(world.verify(&key).await), ErrorCode::Forbidden);
    assert_eq!(world.verify(&forever).await.unwrap(), [Role::Predictor, Role::User]);
}

#[tokio::test]
async fn under_another_master_key_no_key_is_good() {
    let world = keys(&MasterKey::generate().unwrap());
    let key = world.keys.create(request(None)).await.unwrap();
    let other = MasterKey::generate().unwrap();
    let stolen = ApiKeys::new(Bucket::new(world.bucket.clone()), world.standings.clone(), &other, world.clock.clone());
    assert_eq!(code(stolen.verify(&key.key.id, &sha256(&key.secret)).await), ErrorCode::Forbidden);
    world.verify(&key).await.unwrap();
}

#[tokio::test]
async fn wrong_keys_are_refused_in_the_same_words() {
    let world = keys(&MasterKey::generate().unwrap());
    let key = world.keys.create(request(None)).await.unwrap();
    let other = world.keys.create(request(None)).await.unwrap();
    let unknown = "unknown0".parse().unwrap();
    let mut details = Vec::new();
    for (id, digest) in [
        (&key.key.id, sha256(&other.secret)),
        (&unknown, sha256(&key.secret)),
        (&key.key.id, SecretDigest(String::new())),
        (&key.key.id, SecretDigest(sha256(&key.secret).0.to_uppercase())),
    ] {
        let Err(Error::Refused(error)) = world.keys.verify(id, &digest).await else { panic!("not refused") };
        assert_eq!(error.code, ErrorCode::Forbidden);
        details.push(error.detail);
    }
    details.dedup();
    assert_eq!(details.len(), 1);
}

#[tokio::test]
async fn a_removal_that_is_cut_off_leaves_the_key_refused() {
    let world = keys(&MasterKey::generate().unwrap());
    let key = world.keys.create(request(None)).await.unwrap();
    world.bucket.broken.store(true, Ordering::SeqCst);
    broken(world.keys.delete(&key.key.id).await);
    assert_eq!(code(world.verify(&key).await), ErrorCode::Forbidden);
    world.bucket.broken.store(false, Ordering::SeqCst);
    world.keys.delete(&key.key.id).await.unwrap();
    assert_eq!(code(world.keys.delete(&key.key.id).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn neither_the_key_nor_its_plain_hash_is_stored() {
    let world = keys(&MasterKey::generate().unwrap());
    let key = world.keys.create(request(None)).await.unwrap();
    let entries = world.bucket.list(None).await.unwrap();
    let stored = String::from_utf8(entries[0].value.to_vec()).unwrap();
    let secret = key.secret.split('_').nth(3).unwrap();
    assert!(stored.contains("\"mac\"") && !stored.contains(secret) && !stored.contains(&sha256(&key.secret).0));
}

#[tokio::test]
async fn every_fault_of_a_request_is_named() {
    let world = keys(&MasterKey::generate().unwrap());
    let faults = async |request: CreateApiKey| match world.keys.create(request).await {
        Err(Error::Refused(error)) => {
            assert_eq!(error.code, ErrorCode::Invalid);
            error.faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
        }
        other => panic!("not refused: {other:?}"),
    };
    let wrong = CreateApiKey { name: "a\nb".into(), created_by: String::new(), ..request(Some(0)) };
    assert_eq!(faults(wrong).await, ["/name", "/created_by", "/expires_in"]);
    assert_eq!(
        faults(CreateApiKey { name: "é".repeat(65), ..request(Some(u64::MAX)) }).await,
        ["/name", "/expires_in"]
    );
    assert_eq!(faults(CreateApiKey { name: String::new(), ..request(None) }).await, ["/name"]);
    world.keys.create(CreateApiKey { name: "é".repeat(64), ..request(Some(1)) }).await.unwrap();
    assert_eq!(world.keys.list().await.unwrap().len(), 1);
}
