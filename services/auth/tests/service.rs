//! The auth service through its interface, on the bus inside the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use arborgate_auth::{Error, Seeded, reset_password, seed};
use arborgate_bus::{BusError, RequestError, StoreError};
use arborgate_contracts::auth::*;
use arborgate_contracts::bucket::STANDINGS;
use arborgate_contracts::permission::Role;
use arborgate_contracts::{ErrorCode, Key, Service, Subject, api_key};
use arborgate_runtime::master_key::MasterKey;
use support::*;

#[tokio::test]
async fn a_user_is_made_signs_in_and_goes() {
    let world = World::start().await;
    let made =
        world.ask(&create("ann@example.org", PASSWORD, &[Role::User, Role::Predictor, Role::User])).await.unwrap();
    assert_eq!(made.roles, [Role::Predictor, Role::User]);
    assert!(made.created_at.ends_with('Z') && made.created_at.len() == 20, "{}", made.created_at);
    assert_eq!(world.ask(&ListUsers {}).await.unwrap(), [made]);

    let token = world.sign_in("ann@example.org", PASSWORD).await.unwrap();
    let claims = claims_of(&token.token);
    world.ask(&check(&claims)).await.unwrap();
    world.ask(&DeleteUser { name: claims.sub.clone() }).await.unwrap();
    assert_eq!(world.code(&check(&claims)).await, ErrorCode::Unauthenticated);
    assert_eq!(world.code(&DeleteUser { name: claims.sub.clone() }).await, ErrorCode::NotFound);
    assert!(world.ask(&ListUsers {}).await.unwrap().is_empty());
    assert!(world.standing(&["user", claims.sub.as_str()]).await > claims.generation);
}

#[tokio::test]
async fn a_token_has_exactly_the_header_and_the_claims_of_the_contract() {
    let world = World::start().await;
    world.ask(&create("ann", PASSWORD, &[Role::Admin, Role::Predictor])).await.unwrap();
    let before = now();
    let AccessToken { token, expires_in } = world.sign_in("ann", PASSWORD).await.unwrap();
    assert_eq!(expires_in, 300);
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(parts.len(), 3);
    let keys = world.public_keys().await;
    assert_eq!(keys.len(), 1);

    let header: serde_json::Value = serde_json::from_slice(&base64url(parts[0])).unwrap();
    assert_eq!(header, serde_json::json!({"alg": "EdDSA", "typ": "at+jwt", "kid": keys[0].kid}));
    let body: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&base64url(parts[1])).unwrap();
    let names: Vec<_> = body.keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "client_id", "exp", "gen", "iat", "iss", "jti", "roles", "sub"]);
    let claims = claims_of(&token);
    assert_eq!((claims.iss.as_str(), claims.aud.as_str()), ("arborgate", "arborgate-api"));
    assert_eq!((claims.sub.as_str(), claims.client_id.as_str()), ("ann", arborgate_auth::PASSWORD_CLIENT));
    assert_eq!(claims.roles, [Role::Admin, Role::Predictor]);
    assert!((before..=now()).contains(&claims.iat) && claims.exp == claims.iat + 300);
    assert_eq!(claims.generation, world.standing(&["user", "ann"]).await);
    let another = claims_of(&world.sign_in("ann", PASSWORD).await.unwrap().token);
    assert_ne!(claims.jti, another.jti);
}

#[tokio::test]
async fn tokens_verify_with_the_published_key_by_two_libraries() {
    let world = World::start().await;
    world.ask(&create("ann", PASSWORD, &[Role::User])).await.unwrap();
    let token = world.sign_in("ann", PASSWORD).await.unwrap().token;
    let key = world.public_keys().await.remove(0);
    assert!(key.signs_until > now() + 86_000 && key.verifies_until >= key.signs_until + 300);

    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::EdDSA);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    let verifier = jsonwebtoken::DecodingKey::from_ed_components(&key.x).unwrap();
    let decoded = jsonwebtoken::decode::<Claims>(&token, &verifier, &validation).unwrap();
    assert_eq!(decoded.claims.sub.as_str(), "ann");

    let (message, signature) = token.rsplit_once('.').unwrap();
    let public = base64url(&key.x);
    let by_hand = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, &public);
    by_hand.verify(message.as_bytes(), &base64url(signature)).unwrap();
    let tampered = message.replace('a', "b");
    assert!(by_hand.verify(tampered.as_bytes(), &base64url(signature)).is_err());
}

#[tokio::test]
async fn whatever_is_wrong_with_a_sign_in_is_refused_alike_and_costs_a_hash() {
    let world = World::start().await;
    world.ask(&create("ann", PASSWORD, &[Role::User])).await.unwrap();
    let long = "x".repeat(100_000);
    let cases = [
        ("ann", "wrong password"),
        ("ann", ""),
        ("nobody", PASSWORD),
        ("", ""),
        ("no name\r\n", PASSWORD),
        ("ann", &long),
    ];
    for (name, password) in cases {
        let error = world.sign_in(name, password).await.unwrap_err();
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Unauthenticated, "Incorrect username or password"));
        assert!(error.faults.is_empty());
    }
    let metrics = world.metrics();
    for line in [
        "auth_password_hashes_total{of=\"unknown\"} 3",
        "auth_password_hashes_total{of=\"known\"} 3",
        "auth_password_hashes_total{of=\"new\"} 1",
        "auth_password_hash_seconds_count 7",
        "auth_sign_ins_total{outcome=\"refused\"} 6",
        "auth_tokens_total 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn of_many_who_take_one_name_one_gets_it() {
    let world = World::start().await;
    let creates = (0..8).map(|n| {
        let client = world.client.clone();
        tokio::spawn(async move {
            client.call(&create("ann", &format!("{PASSWORD}{n}"), &[Role::User]), None, soon()).await
        })
    });
    let mut winner = None;
    for (n, outcome) in creates.collect::<Vec<_>>().into_iter().enumerate() {
        match outcome.await.unwrap() {
            Ok(_) => assert_eq!(winner.replace(n), None),
            Err(error) => assert_eq!(error.into_service_error().code, ErrorCode::Conflict),
        }
    }
    world.sign_in("ann", &format!("{PASSWORD}{}", winner.unwrap())).await.unwrap();
}

#[tokio::test]
async fn bad_users_are_refused_and_change_nothing() {
    let world = World::start().await;
    for password in ["short", "éééééééé", &"x".repeat(129), ""] {
        let error = world.ask(&create("ann", password, &[Role::User])).await.unwrap_err();
        assert_eq!((error.code, error.faults[0].pointer.as_str()), (ErrorCode::Invalid, "/password"));
        assert!(!error.detail.contains("short"));
    }
    // Twelve characters, 48 bytes; 128 characters, 512 bytes.
    for (name, password) in [("twelve", "🔑".repeat(12)), ("most", "🔑".repeat(128))] {
        world.ask(&create(name, &password, &[Role::User])).await.unwrap();
        world.sign_in(name, &password).await.unwrap();
    }
    // A name that is none never becomes a request.
    let subject = Subject::group(Service::Auth, "create-user");
    let raw = br#"{"name":"../x","password":"correct horse battery","roles":["admin"]}"#;
    let refused = world.bus.request(&subject, raw.to_vec().into(), soon()).await;
    let Err(RequestError::Service(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert!(!error.detail.contains("correct horse"));
    let names: Vec<_> = world.ask(&ListUsers {}).await.unwrap().into_iter().map(|user| user.name.to_string()).collect();
    assert_eq!(names, ["most", "twelve"]);
}

#[tokio::test]
async fn an_api_key_is_shown_once_checked_and_revoked() {
    let world = World::start().await;
    let made = world.ask(&key_request(&[Role::Predictor])).await.unwrap();
    assert_eq!(api_key::parse(&made.secret).unwrap(), made.key.id);
    assert_eq!((made.key.name.as_str(), made.key.created_by.as_str()), ("ci", "user:ann"));
    let question = question(&made.secret);
    let grant = world.ask(&question).await.unwrap();
    assert_eq!((grant.roles.as_slice(), grant.expires_at), ([Role::Predictor].as_slice(), None));
    assert_eq!(world.standing(&["api-key", made.key.id.as_str()]).await, grant.generation);
    let listed = world.ask(&ListApiKeys {}).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&made.key));

    world.ask(&DeleteApiKey { id: made.key.id.clone() }).await.unwrap();
    assert_eq!(world.code(&question).await, ErrorCode::Forbidden);
    assert!(world.standing(&["api-key", made.key.id.as_str()]).await > grant.generation);
    assert_eq!(world.code(&DeleteApiKey { id: made.key.id.clone() }).await, ErrorCode::NotFound);
    assert!(world.ask(&ListApiKeys {}).await.unwrap().is_empty());
    let metrics = world.metrics();
    assert!(metrics.contains("api_key_checks_total{outcome=\"ok\"} 1"), "{metrics}");
    assert!(metrics.contains("api_key_checks_total{outcome=\"refused\"} 1"), "{metrics}");
}

#[tokio::test]
async fn api_keys_are_listed_oldest_first() {
    let world = World::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.ask(&key_request(&[Role::User])).await.unwrap().key);
    }
    assert_eq!(world.ask(&ListApiKeys {}).await.unwrap(), made);
}

#[tokio::test]
async fn a_service_with_another_master_key_refuses_the_api_keys() {
    let world = World::start().await;
    let made = world.ask(&key_request(&[Role::Predictor])).await.unwrap();
    world.ask(&question(&made.secret)).await.unwrap();
    let other = world.again(MasterKey::generate().unwrap()).await;
    assert_eq!(other.code(&question(&made.secret)).await, ErrorCode::Forbidden);
}

#[tokio::test]
async fn a_lease_names_a_revision_that_covers_what_was_answered() {
    let world = World::start().await;
    let empty = world.ask(&Lease {}).await.unwrap();
    assert_eq!((empty.revision, empty.valid_ms), (0, 5000));
    let made = world.ask(&key_request(&[Role::User])).await.unwrap();
    let first = world.ask(&Lease {}).await.unwrap().revision;
    world.ask(&DeleteApiKey { id: made.key.id.clone() }).await.unwrap();
    let second = world.ask(&Lease {}).await.unwrap().revision;
    assert!(second > first && first > 0);
    let bucket = world.bus.bucket(&STANDINGS).await.unwrap();
    let entry = bucket.get(&Key::of(&["api-key", made.key.id.as_str()])).await.unwrap().unwrap();
    assert!(entry.revision <= second && entry.revision > first);
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let world = World::start().await;
    for name in ["one", "two"] {
        world.ask(&create(name, PASSWORD, &[Role::Admin])).await.unwrap();
    }
    let deletes = ["one", "two"].map(|name| {
        let client = world.client.clone();
        tokio::spawn(async move { client.call(&DeleteUser { name: name.parse().unwrap() }, None, soon()).await })
    });
    let mut conflicts = 0;
    for delete in deletes {
        if let Err(error) = delete.await.unwrap() {
            assert_eq!(error.into_service_error().code, ErrorCode::Conflict);
            conflicts += 1;
        }
    }
    let users = world.ask(&ListUsers {}).await.unwrap();
    assert_eq!((conflicts, users.len()), (1, 1));
    assert_eq!(world.code(&DeleteUser { name: users[0].name.clone() }).await, ErrorCode::Conflict);
}

#[tokio::test]
async fn two_replicas_have_a_key_each_and_one_state() {
    let one = World::start().await;
    let two = one.again(MasterKey::generate().unwrap()).await;
    one.ask(&create("ann", PASSWORD, &[Role::User])).await.unwrap();
    let kids: Vec<_> = one.public_keys().await.into_iter().map(|key| key.kid).collect();
    assert_eq!(kids.len(), 2);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        for world in [&one, &two] {
            let token = world.sign_in("ann", PASSWORD).await.unwrap().token;
            seen.insert(jsonwebtoken::decode_header(&token).unwrap().kid.unwrap());
            world.ask(&check(&claims_of(&token))).await.unwrap();
        }
    }
    assert_eq!(seen, kids.into_iter().collect());
}

#[tokio::test]
async fn a_drained_service_is_gone_and_its_key_ends() {
    let world = World::start().await;
    let bus = world.bus.clone();
    let until = world.public_keys().await[0].signs_until;
    world.running.drain(std::time::Duration::from_secs(10)).await;
    let key = public_keys(&bus).await.remove(0);
    assert!(key.signs_until <= now() && key.signs_until < until && key.verifies_until >= key.signs_until + 300);
    let refused = bus.request(&Subject::group(Service::Auth, "lease"), b"{}".to_vec().into(), soon()).await;
    assert!(
        matches!(refused, Err(RequestError::NoResponders { .. } | RequestError::Bus(BusError::Closed))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_first_administrator_is_made_once() {
    let bus = bus().await;
    let Seeded::Created { generated: Some(password) } = seed(&bus, &config(), None).await.unwrap() else {
        panic!("not made")
    };
    assert_eq!(password.0.len(), 24);
    assert!(password.0.bytes().all(|b| b.is_ascii_alphanumeric() && !b"0Oo1Il".contains(&b)));
    assert_eq!(seed(&bus, &config(), Some(Password("ignored password".into()))).await.unwrap(), Seeded::Existed);
    let world = World::on(bus, MasterKey::generate().unwrap()).await;
    let claims = claims_of(&world.sign_in("admin", &password.0).await.unwrap().token);
    assert_eq!(claims.roles, [Role::Admin]);
    assert_eq!(world.sign_in("admin", "ignored password").await.unwrap_err().code, ErrorCode::Unauthenticated);
    assert_eq!(world.code(&DeleteUser { name: claims.sub }).await, ErrorCode::Conflict);
}

#[tokio::test]
async fn the_first_administrator_may_be_given_a_password() {
    let bus = bus().await;
    let short = seed(&bus, &config(), Some(Password("short".into()))).await;
    assert!(matches!(short, Err(Error::Refused(ref error)) if error.code == ErrorCode::Invalid), "{short:?}");
    let given = Some(Password(PASSWORD.into()));
    assert_eq!(seed(&bus, &config(), given).await.unwrap(), Seeded::Created { generated: None });
    let world = World::on(bus, MasterKey::generate().unwrap()).await;
    world.sign_in("admin", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_forgotten_password_is_set_and_tokens_are_revoked() {
    let world = World::start().await;
    world.ask(&create("ann", PASSWORD, &[Role::User])).await.unwrap();
    let held = claims_of(&world.sign_in("ann", PASSWORD).await.unwrap().token);
    let generated = reset_password(&world.bus, &config(), &held.sub, None).await.unwrap().unwrap();
    assert_eq!(world.code(&check(&held)).await, ErrorCode::Unauthenticated);
    assert!(world.standing(&["user", "ann"]).await > held.generation);
    assert!(world.sign_in("ann", PASSWORD).await.is_err());
    let new = claims_of(&world.sign_in("ann", &generated.0).await.unwrap().token);
    world.ask(&check(&new)).await.unwrap();
    assert!(new.generation >= world.standing(&["user", "ann"]).await);

    let given = Some(Password("a given password".into()));
    assert_eq!(reset_password(&world.bus, &config(), &held.sub, given).await.unwrap(), None);
    world.sign_in("ann", "a given password").await.unwrap();
    let nobody = reset_password(&world.bus, &config(), &"bob".parse().unwrap(), None).await;
    assert!(matches!(nobody, Err(Error::NoSuchUser(_))), "{nobody:?}");
}

#[tokio::test]
async fn it_does_not_start_without_its_buckets_or_with_a_bad_configuration() {
    let start = async |bus, config| {
        let master = std::sync::Arc::new(MasterKey::generate().unwrap());
        let mut registry = prometheus_client::registry::Registry::default();
        arborgate_auth::start(config, bus, instance(), &mut registry, master).await.err().unwrap()
    };
    let error = start(empty_bus(), config()).await;
    assert!(matches!(error, Error::Store(StoreError::NoBucket { .. })), "{error:?}");
    let error = start(bus().await, arborgate_auth::Config { capacity: 0, ..config() }).await;
    assert_eq!(error.to_string(), "auth.capacity must be 1 to 65536");
}

#[tokio::test]
async fn a_list_that_no_message_holds_is_refused_with_its_size() {
    let world = World::on(small_bus(5000).await, MasterKey::generate().unwrap()).await;
    for n in 0..8 {
        world.ask(&create(&format!("user{n}-{}", "x".repeat(100)), PASSWORD, &[Role::User])).await.unwrap();
    }
    let error = world.ask(&ListUsers {}).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.detail.contains("8 entries") && error.detail.contains("5000 bytes"), "{}", error.detail);
}
