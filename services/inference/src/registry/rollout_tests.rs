use arborgate_contracts::rollout::Share;
use proptest::prelude::*;

use super::*;

fn version(number: u8) -> Version {
    number.to_string().parse().unwrap()
}

fn versions(numbers: &[u8]) -> Versions {
    let manifest = |number: &u8| {
        serde_json::from_value(serde_json::json!({
            "format": 1, "model": "m", "version": version(*number), "digest": "", "size": 1, "object": "o",
            "source": "s", "task": "regression", "features": [], "classes": [], "outputs": 1, "trees": 1, "nodes": 1,
            "created_at": "", "created_by": ""
        }))
    };
    Versions(numbers.iter().map(|number| manifest(number).unwrap()).collect())
}

fn split(shares: &[(u8, u32)]) -> Change {
    let share = |(number, basis_points): &(u8, u32)| Share { version: version(*number), basis_points: *basis_points };
    Change::Split(Some(Split { shares: shares.iter().map(share).collect(), sticky: None }))
}

fn changes() -> impl Strategy<Value = Change> {
    let number = 0u8..5;
    prop_oneof![
        number.clone().prop_map(|n| Change::Promote(version(n))),
        Just(Change::Rollback),
        (number.clone(), 0u32..11_000).prop_map(|share| split(&[share])),
        Just(Change::Split(None)),
        number
            .clone()
            .prop_map(|n| { Change::Shadow(Some(Shadow { version: version(n), basis_points: 1, tolerance: 0.0 })) }),
        Just(Change::Shadow(None)),
        number.clone().prop_map(|n| Change::Load(version(n))),
        number.prop_map(|n| Change::Unload(version(n), "why".into())),
        Just(Change::LoadAll),
        Just(Change::UnloadAll("why".into())),
    ]
}

proptest! {
    /// Whatever operators ask: what answers is there and held, if any is, and changes by a promotion, a rollback or as the
    /// last one goes; shares are whole, and a refusal changes nothing.
    #[test]
    fn a_rollout_is_always_one_that_can_be_served(changes in prop::collection::vec(changes(), 0..40)) {
        let there = versions(&[1, 2, 3]);
        let mut rollout = fresh(&"m".parse().unwrap());
        for change in &changes {
            let mut next = rollout.clone();
            let before = there.current(&rollout).cloned();
            if apply(&mut next, &there, change).is_ok() {
                rollout = next;
            }
            let is_held = |version: &Version| there.held(&rollout).any(|held| held == version);
            let answers = there.current(&rollout);
            prop_assert_eq!(answers.is_none(), there.held(&rollout).count() == 0);
            prop_assert!(answers.is_none_or(is_held), "{change:?}: {rollout:?}");
            if matches!(change, Change::Unload(..)) {
                prop_assert!(answers.is_none() || answers == before.as_ref(), "{change:?}: {rollout:?}");
            }
            let shares = rollout.split.iter().flat_map(|split| &split.shares);
            prop_assert!(shares.clone().all(|share| there.get(&share.version).is_some()));
            prop_assert!(shares.map(|share| share.basis_points).sum::<u32>() <= WHOLE);
            let shadow = rollout.shadow.as_ref().map(|shadow| &shadow.version);
            prop_assert!(shadow.is_none() || shadow != rollout.current.as_ref());
            prop_assert!(rollout.history.len() <= LONGEST_HISTORY);
        }
    }
}

#[test]
fn a_rollback_passes_over_what_is_gone() {
    let there = versions(&[1, 2, 3]);
    let mut rollout = fresh(&"m".parse().unwrap());
    for number in [1, 2, 3] {
        apply(&mut rollout, &there, &Change::Promote(version(number))).unwrap();
    }
    // 3 was the newest, and answered before anybody said so.
    assert_eq!(rollout.history, [version(3), version(1), version(2)]);
    let fewer = versions(&[1, 3]);
    apply(&mut rollout, &fewer, &Change::Rollback).unwrap();
    assert_eq!((rollout.current.clone(), rollout.history.clone()), (Some(version(1)), vec![version(3)]));
    apply(&mut rollout, &fewer, &Change::Rollback).unwrap();
    assert_eq!(rollout.current, Some(version(3)));
    assert_eq!(apply(&mut rollout, &fewer, &Change::Rollback).unwrap_err().code, ErrorCode::Conflict);
}

#[test]
fn what_answers_is_unloaded_with_all_or_last() {
    let there = versions(&[1, 2, 3]);
    let mut rollout = fresh(&"m".parse().unwrap());
    let mut go = |change: Change| apply(&mut rollout, &there, &change).map_err(|error| error.detail);
    let unload = |number| Change::Unload(version(number), "why".into());
    // Nobody promoted 3: it was added last.
    let why = "m version 3 can not be unloaded: it is the current version; promote another first";
    assert_eq!(go(unload(3)).unwrap_err(), why);
    go(unload(1)).unwrap();
    go(unload(2)).unwrap();
    go(unload(3)).unwrap();
    go(Change::LoadAll).unwrap();
    go(Change::Promote(version(1))).unwrap();
    go(split(&[(2, 1)])).unwrap();
    assert!(go(unload(2)).unwrap_err().contains("has a share"));
    go(Change::UnloadAll("why".into())).unwrap();
    // One alone answers, though another was promoted.
    go(Change::Load(version(2))).unwrap();
    go(Change::Load(version(3))).unwrap();
    assert_eq!(go(unload(3)).unwrap_err(), why);
}
