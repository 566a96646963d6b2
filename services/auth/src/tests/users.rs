//! Users: the order of writes, names used again, hashes made anew.

use super::*;
use crate::metrics::Of;
use crate::users::REFUSED;

#[tokio::test]
async fn a_removal_that_is_cut_off_leaves_nothing_valid_and_can_be_repeated() {
    let world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let token = world.sign_in("ann", PASSWORD).await.unwrap();
    assert!(world.good_at_edges("ann", token).await);

    world.users_bucket.broken.store(true, Ordering::SeqCst);
    broken(world.users.delete(&user("ann")).await);
    assert!(!world.good_at_edges("ann", token).await);
    assert_eq!(code(world.users.check_token(&user("ann"), token).await), ErrorCode::Unauthenticated);

    world.users_bucket.broken.store(false, Ordering::SeqCst);
    world.users.delete(&user("ann")).await.unwrap();
    assert_eq!(code(world.sign_in("ann", PASSWORD).await), ErrorCode::Unauthenticated);
    assert_eq!(code(world.users.delete(&user("ann")).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_user_whose_removal_was_cut_off_can_sign_in_again() {
    let world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let old = world.sign_in("ann", PASSWORD).await.unwrap();
    world.users_bucket.broken.store(true, Ordering::SeqCst);
    broken(world.users.delete(&user("ann")).await);
    world.users_bucket.broken.store(false, Ordering::SeqCst);

    let new = world.sign_in("ann", PASSWORD).await.unwrap();
    assert!(new > old);
    assert!(world.good_at_edges("ann", new).await && !world.good_at_edges("ann", old).await);
    world.users.check_token(&user("ann"), new).await.unwrap();
    assert_eq!(code(world.users.check_token(&user("ann"), old).await), ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_removal_revokes_also_when_the_standing_can_not_be_written() {
    let world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let token = world.sign_in("ann", PASSWORD).await.unwrap();
    world.standings_bucket.broken.store(true, Ordering::SeqCst);
    // Nothing was revoked, and nothing was removed: the operator learns that it failed.
    broken(world.users.delete(&user("ann")).await);
    world.users.check_token(&user("ann"), token).await.unwrap();
    assert_eq!(world.users.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_addition_that_is_cut_off_revives_nobody() {
    let world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let removed = world.sign_in("ann", PASSWORD).await.unwrap();
    world.users.delete(&user("ann")).await.unwrap();

    world.standings_bucket.broken.store(true, Ordering::SeqCst);
    broken(world.add("ann", Role::User).await);
    let new = world.sign_in("ann", PASSWORD).await.unwrap();
    world.users.check_token(&user("ann"), new).await.unwrap();
    assert!(world.good_at_edges("ann", new).await && !world.good_at_edges("ann", removed).await);
    assert_eq!(code(world.users.check_token(&user("ann"), removed).await), ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn generations_grow_for_a_name_also_when_the_clock_goes_back() {
    let world = World::new();
    let mut last = 0;
    for back in [0, 0, 3600, 7200] {
        world.seconds.store(TODAY - back, Ordering::SeqCst);
        world.add("ann", Role::User).await.unwrap();
        let token = world.sign_in("ann", PASSWORD).await.unwrap();
        assert!(token > last && world.good_at_edges("ann", token).await);
        world.users.delete(&user("ann")).await.unwrap();
        assert!(!world.good_at_edges("ann", token).await);
        last = token;
    }
}

#[tokio::test]
async fn a_new_password_revokes_and_a_cut_off_one_is_safe() {
    let world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let old = world.sign_in("ann", PASSWORD).await.unwrap();
    world.users_bucket.broken.store(true, Ordering::SeqCst);
    broken(world.users.set_password(&user("ann"), plain("another password")).await);
    assert!(!world.good_at_edges("ann", old).await);
    world.users_bucket.broken.store(false, Ordering::SeqCst);
    let between = world.sign_in("ann", PASSWORD).await.unwrap();

    world.users.set_password(&user("ann"), plain("another password")).await.unwrap();
    for token in [old, between] {
        assert!(!world.good_at_edges("ann", token).await);
        assert_eq!(code(world.users.check_token(&user("ann"), token).await), ErrorCode::Unauthenticated);
    }
    assert_eq!(code(world.sign_in("ann", PASSWORD).await), ErrorCode::Unauthenticated);
    let new = world.sign_in("ann", "another password").await.unwrap();
    world.users.check_token(&user("ann"), new).await.unwrap();
    assert!(matches!(
        world.users.set_password(&user("bob"), plain("another password")).await,
        Err(Error::NoSuchUser(name)) if name == user("bob")
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sign_ins_during_a_removal_leave_no_good_token() {
    for _ in 0..50 {
        let world = Arc::new(World::new());
        world.add("ann", Role::User).await.unwrap();
        let sign_ins: Vec<_> = (0..4)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move { world.sign_in("ann", PASSWORD).await })
            })
            .collect();
        world.users.delete(&user("ann")).await.unwrap();
        for sign_in in sign_ins {
            if let Ok(token) = sign_in.await.unwrap() {
                assert!(!world.good_at_edges("ann", token).await);
                assert!(world.users.check_token(&user("ann"), token).await.is_err());
            }
        }
    }
}

#[tokio::test]
async fn a_hash_of_other_settings_is_made_anew_at_sign_in() {
    let mut world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let (before, _) = world.users.get(&user("ann")).await.unwrap().unwrap();
    world.users.hasher = Hasher::new(&config(16), world.metrics.clone()).unwrap();
    assert_eq!(code(world.sign_in("ann", "wrong password").await), ErrorCode::Unauthenticated);
    assert_eq!(world.users.get(&user("ann")).await.unwrap().unwrap().0, before);

    let token = world.sign_in("ann", PASSWORD).await.unwrap();
    let (after, _) = world.users.get(&user("ann")).await.unwrap().unwrap();
    assert!(before.hash.starts_with("$argon2id$v=19$m=8,") && after.hash.starts_with("$argon2id$v=19$m=16,"));
    assert_eq!((token, after.generation), (before.generation, before.generation));
    let hashes = world.metrics.hashes(Of::new);
    world.sign_in("ann", PASSWORD).await.unwrap();
    assert_eq!(world.metrics.hashes(Of::new), hashes);
}

#[tokio::test]
async fn every_refusal_of_a_sign_in_costs_one_hash_and_says_the_same() {
    let world = World::new();
    world.add("ann", Role::User).await.unwrap();
    let long = "a".repeat(1 << 16);
    let cases = [
        ("ann", "wrong password", Of::known),
        ("ann", long.as_str(), Of::known),
        ("bob", PASSWORD, Of::unknown),
        ("", PASSWORD, Of::unknown),
        ("ann\r\nforged line", PASSWORD, Of::unknown),
        ("ADMINS", PASSWORD, Of::unknown),
        ("=.admins", PASSWORD, Of::unknown),
        (long.as_str(), long.as_str(), Of::unknown),
    ];
    for (name, password, of) in cases {
        let before = world.metrics.hashes(of);
        let Err(Error::Refused(error)) = world.sign_in(name, password).await else { panic!("not refused") };
        assert_eq!((error.code, error.detail.as_str()), (ErrorCode::Unauthenticated, REFUSED));
        assert_eq!(world.metrics.hashes(of), before + 1);
    }
}
