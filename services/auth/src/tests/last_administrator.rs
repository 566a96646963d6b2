//! The last administrator stays: with everything at once, with stale reads, and after writes that were cut off.

use super::*;

async fn admins(world: &World) -> Vec<String> {
    let users = world.users.list().await.unwrap();
    users.into_iter().filter(|user| user.is_admin()).map(|user| user.name.to_string()).collect()
}

async fn delete_all(world: &Arc<World>, names: &[String]) -> Vec<Result<(), Error>> {
    let deletes = names.iter().map(|name| {
        let (world, name) = (Arc::clone(world), user(name));
        tokio::spawn(async move { world.users.delete(&name).await })
    });
    let mut outcomes = Vec::new();
    for delete in deletes.collect::<Vec<_>>() {
        outcomes.push(delete.await.unwrap());
    }
    outcomes
}

#[tokio::test]
async fn the_only_administrator_is_not_removed() {
    let world = World::new();
    world.add("admin", Role::Admin).await.unwrap();
    world.add("ann", Role::Predictor).await.unwrap();
    let token = world.sign_in("admin", PASSWORD).await.unwrap();
    let Err(Error::Refused(refused)) = world.users.delete(&user("admin")).await else { panic!("removed") };
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.detail.contains("last administrator"));
    assert!(world.good_at_edges("admin", token).await, "a refusal revokes nothing");

    world.add("second", Role::Admin).await.unwrap();
    world.users.delete(&user("admin")).await.unwrap();
    assert_eq!(admins(&world).await, ["second"]);
    assert_eq!(code(world.users.delete(&user("second")).await), ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_that_go_at_once_one_stays() {
    for _ in 0..100 {
        let world = Arc::new(World::new());
        world.add("one", Role::Admin).await.unwrap();
        world.add("two", Role::Admin).await.unwrap();
        let outcomes = delete_all(&world, &["one".into(), "two".into()]).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert_eq!(admins(&world).await.len(), 1);
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(code(outcome), ErrorCode::Conflict);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn stale_reads_remove_nobody_too_many() {
    let mut removed = 0;
    for round in 0..100 {
        let world = Arc::new(World::new());
        let names: Vec<_> = (0..3).map(|n| format!("admin{n}")).collect();
        for name in &names {
            world.add(name, Role::Admin).await.unwrap();
        }
        world.users_bucket.stale_every.store(2 + round % 4, Ordering::SeqCst);
        let outcomes = delete_all(&world, &names).await;
        removed += outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(!admins(&world).await.is_empty(), "{outcomes:?}");
        // Whatever was refused because of them can be asked again.
        world.users_bucket.stale_every.store(0, Ordering::SeqCst);
        delete_all(&world, &names).await;
        assert_eq!(admins(&world).await.len(), 1);
    }
    assert!(removed > 0);
}

#[tokio::test]
async fn a_stale_index_without_them_does_not_stand_for_one_that_was_changed() {
    let world = World::new();
    for name in ["one", "two", "three"] {
        world.add(name, Role::Admin).await.unwrap();
    }
    let (three, _) = world.users.get(&user("three")).await.unwrap().unwrap();
    // The first read, of the index, is of before "three" was in it.
    world.users_bucket.reads.store(0, Ordering::SeqCst);
    world.users_bucket.stale_every.store(3, Ordering::SeqCst);
    world.users.admins.release(&three.administrator()).await.unwrap();
    world.users_bucket.stale_every.store(0, Ordering::SeqCst);
    world.users.delete(&user("one")).await.unwrap();
    // "three" has a record still, and would count.
    assert_eq!(code(world.users.delete(&user("two")).await), ErrorCode::Conflict);
}

#[tokio::test]
async fn an_administrator_whose_making_was_cut_off_is_not_counted() {
    let world = World::new();
    world.add("admin", Role::Admin).await.unwrap();
    // In the index, without a record.
    let ghost = crate::record::Administrator { name: user("ghost"), uid: uuid::Uuid::new_v4() };
    world.users.admins.enter(&ghost).await.unwrap();
    assert_eq!(code(world.users.delete(&user("admin")).await), ErrorCode::Conflict);
    // A user of that name who is no administrator does not count either, nor another one of that name.
    world.add("ghost", Role::User).await.unwrap();
    assert_eq!(code(world.users.delete(&user("admin")).await), ErrorCode::Conflict);
    world.users.delete(&user("ghost")).await.unwrap();
    world.add("ghost", Role::Admin).await.unwrap();
    world.users.delete(&user("admin")).await.unwrap();
    assert_eq!(code(world.users.delete(&user("ghost")).await), ErrorCode::Conflict);
}

#[tokio::test]
async fn a_removal_of_an_administrator_that_was_cut_off_can_be_repeated() {
    let world = World::new();
    world.add("one", Role::Admin).await.unwrap();
    world.add("two", Role::Admin).await.unwrap();
    world.standings_bucket.broken.store(true, Ordering::SeqCst);
    broken(world.users.delete(&user("one")).await);
    world.standings_bucket.broken.store(false, Ordering::SeqCst);
    // Half removed, "one" does not count.
    assert_eq!(code(world.users.delete(&user("two")).await), ErrorCode::Conflict);
    world.users.delete(&user("one")).await.unwrap();
    assert_eq!(admins(&world).await, ["two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_make_one_administrator_one_does() {
    let world = Arc::new(World::new());
    let adds: Vec<_> = (0..8)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.add("admin", Role::Admin).await })
        })
        .collect();
    let mut made = 0;
    for add in adds {
        match add.await.unwrap() {
            Ok(()) => made += 1,
            error => assert_eq!(code(error), ErrorCode::Conflict),
        }
    }
    assert_eq!(made, 1);
    // The losers left no trace that would count as another one.
    assert_eq!(code(world.users.delete(&user("admin")).await), ErrorCode::Conflict);
    world.add("second", Role::Admin).await.unwrap();
    world.users.delete(&user("admin")).await.unwrap();
}
