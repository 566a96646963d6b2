//! Decisions one by one, against a model that forgets nothing; and the stored form.

use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000;

fn rule(permits: u64, window_ms: u64) -> Rule {
    Rule { permits, window_ms }
}

/// Writes and reads the log, as between two decisions of different replicas.
fn stored(log: &Log) -> Log {
    Log::decode(&log.encode()).unwrap()
}

fn decide(log: &mut Log, now: u64, rule: Rule, id: u64) -> Decision {
    log.decide(now, rule, id, 0).reply
}

#[test]
fn five_in_a_minute_are_five() {
    let mut log = Log::default();
    let rule = rule(5, MINUTE);
    for n in 0..5 {
        let decision = decide(&mut log, 1_000_000 + n * 1_000, rule, n);
        assert!(decision.allowed);
        assert_eq!(u64::from(decision.remaining), 4 - n);
        assert_eq!(u64::from(decision.reset_ms), MINUTE - n * 1_000);
        log = stored(&log);
    }
    let refused = log.decide(1_010_000, rule, 9, 0);
    assert_eq!(refused.reply, Decision { allowed: false, remaining: 0, reset_ms: 50_000, wait_ms: 0 });
    assert!(!refused.changed, "a refusal writes nothing");
    // The window is half-open: at 59.999 s not yet, at 60 s the first is free.
    assert!(!decide(&mut log, 1_059_999, rule, 10).allowed);
    assert!(decide(&mut log, 1_060_000, rule, 10).allowed);
    assert!(!decide(&mut log, 1_060_000, rule, 11).allowed);
    assert!(decide(&mut log, 1_061_000, rule, 11).allowed);
}

#[test]
fn the_same_question_is_counted_once() {
    let mut log = Log::default();
    let rule = rule(2, 1_000);
    let first = log.decide(5_000, rule, 7, 0);
    let again = stored(&log).decide(5_000, rule, 7, 0);
    assert_eq!((first.reply, first.changed, again.changed), (again.reply, true, false));
    assert!(decide(&mut log, 5_999, rule, 7).allowed);
    assert_eq!(log.used(5_999, rule), 1);
    // A window later it is another question.
    assert!(decide(&mut log, 6_000, rule, 7).allowed);
    assert_eq!(log.used(6_000, rule), 1);
    // Also when a longer window keeps the log from forgetting it.
    let longer = super::Rule { permits: 10, window_ms: 9_000 };
    assert!(decide(&mut log, 6_100, longer, 8).allowed);
    assert!(log.decide(7_050, rule, 7, 0).changed);
}

#[test]
fn a_permit_may_be_booked_ahead_in_order() {
    let mut log = Log::default();
    let rule = rule(2, 1_000);
    assert!(decide(&mut log, 10_000, rule, 1).allowed);
    assert!(decide(&mut log, 10_400, rule, 2).allowed);
    let third = log.decide(10_500, rule, 3, 500).reply;
    assert_eq!((third.allowed, third.wait_ms), (true, 500));
    let fourth = log.decide(10_500, rule, 4, 10_000).reply;
    assert_eq!((fourth.allowed, fourth.wait_ms), (true, 900));
    let fifth = log.decide(10_500, rule, 5, 10_000).reply;
    assert_eq!((fifth.allowed, fifth.wait_ms), (true, 1_500));
    assert!(!log.decide(10_500, rule, 6, 1_899).reply.allowed);
    assert_eq!(log.decide(10_500, rule, 6, 1_899).reply.reset_ms, 1_900);
    // Nobody passes those who wait.
    assert!(!decide(&mut log, 11_000, rule, 7).allowed);
    // Who waits asks again: what is left to wait.
    assert_eq!(log.decide(11_300, rule, 4, 10_000).reply.wait_ms, 100);
    assert_eq!(log.decide(11_500, rule, 4, 10_000).reply.wait_ms, 0);
}

#[test]
fn time_never_goes_back() {
    let mut log = Log::default();
    let rule = rule(1, 1_000);
    assert!(decide(&mut log, 50_000, rule, 1).allowed);
    let mut log = stored(&log);
    assert_eq!(decide(&mut log, 10_000, rule, 2).reset_ms, 1_000);
    assert!(!decide(&mut log, 50_999, rule, 2).allowed);
    assert!(decide(&mut log, 51_000, rule, 2).allowed);
    let mut log = stored(&log);
    assert_eq!(log.decide(0, rule, 3, 5_000).reply.wait_ms, 1_000);
    // A clock from beyond all time breaks nothing.
    assert!(decide(&mut log, u64::MAX, rule, 4).allowed);
    assert!(!decide(&mut stored(&log), u64::MAX, rule, 5).allowed);
}

#[test]
fn the_largest_log_fits_its_bucket_and_stays_exact() {
    let rule = rule(u64::from(MAX_DECIDED), 86_400_000);
    let start = 1_800_000_000_000;
    let full = |step: u64| {
        let id = |n: u64| Kind::Decided(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let charges = (1..=rule.permits).map(|n| Charge { at: start + n * step, permits: 1, kind: id(n) }).collect();
        Log { clock: start + rule.permits * step, window: rule.window_ms, asked: start, other: 0, charges }
    };
    let mut log = full(8_000);
    let now = log.clock;
    let refused = decide(&mut log, now, rule, 1);
    assert_eq!((refused.allowed, u64::from(refused.reset_ms)), (false, 86_400_000 - (rule.permits - 1) * 8_000));
    assert!(log.encode().len() <= arborgate_contracts::bucket::LIMITS.max_value / 2, "{}", log.encode().len());
    assert_eq!(stored(&log), log);
    // Booked ahead beyond what is kept: the oldest ids are forgotten and nothing else.
    let burst = super::Rule { permits: 500, window_ms: 1_000 };
    let mut log = Log { window: 1_000, ..full(0) };
    assert_eq!(log.decide(start, burst, 1, 0).reply.reset_ms, 1_000);
    for n in 0..900u64 {
        let wait = log.decide(start, burst, n, 600_000).reply.wait_ms;
        assert_eq!(u64::from(wait), 1_000 + n / 500 * 1_000);
    }
    assert!(log.charges.len() <= MAX_DECIDED as usize + SLACK);
    assert_eq!(log.charges.iter().map(|c| c.permits).sum::<u64>(), rule.permits + 900);
    assert_eq!(stored(&log), log);
}

#[derive(Debug, Clone)]
struct Question {
    now: u64,
    rule: Rule,
    id: u64,
    max_wait: u64,
    store: bool,
}

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let rules =
        prop_oneof![3 => Just(rule(3, 40)), 1 => Just(rule(2, 100)), 1 => Just(rule(5, 25)), 1 => Just(rule(1, 10))];
    let step = prop_oneof![6 => 0..12i64, 2 => -60..0i64, 1 => 30..150i64];
    let wait = prop_oneof![2 => Just(0u64), 1 => 0..120u64];
    let one = (step, rules, 0..40u64, wait, any::<bool>());
    prop::collection::vec(one, 1..120).prop_map(|all| {
        let mut now = 1_000i64;
        all.into_iter()
            .map(|(step, rule, id, max_wait, store)| {
                now = (now + step).max(0);
                Question { now: now.unsigned_abs(), rule, id, max_wait, store }
            })
            .collect()
    })
}

/// All permits that were ever given, and all windows that were asked for.
#[derive(Default)]
struct Model {
    given: Vec<Given>,
    asked: Vec<(u64, u64)>,
}

#[derive(Clone, Copy)]
struct Given {
    id: u64,
    at: u64,
    /// No window that is asked for at least once in its length reaches back to it, at some time since.
    may_be_forgotten: bool,
}

impl Model {
    fn ask(&mut self, now: u64, window: u64) {
        self.asked.push((now, window));
        let kept = self.asked.iter().filter(|(at, window)| now.saturating_sub(*at) <= *window).map(|(_, w)| *w).max();
        for given in &mut self.given {
            given.may_be_forgotten |= given.at + kept.unwrap() <= now;
        }
    }

    /// The first moment from `now` on at which the windows that end there or later have room: tried one by one.
    fn earliest(&self, now: u64, rule: Rule, all: bool) -> u64 {
        let counts = |t: u64| {
            let held = self.given.iter().filter(|g| (all || !g.may_be_forgotten) && g.at + rule.window_ms > t);
            held.count() as u64
        };
        (now..).find(|t| counts(*t) < rule.permits).unwrap()
    }

    fn known(&self, now: u64, id: u64, window: u64, all: bool) -> Option<Given> {
        let within = |g: &&Given| g.id == id && g.at + window > now && (all || !g.may_be_forgotten);
        self.given.iter().rev().find(within).copied()
    }
}

fn is_in(log: &Log, id: u64, at: u64) -> bool {
    log.charges.iter().any(|c| c.at == at && c.kind == Kind::Decided(id))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_are_those_of_a_model_that_forgets_nothing(questions in questions()) {
        let (mut log, mut model) = (Log::default(), Model::default());
        let mut written = log.encode();
        for q in questions {
            if q.store {
                // Another replica goes on from what was written, as after a lost one.
                log = Log::decode(&written).unwrap();
            }
            let (now, window) = (q.now.max(log.clock), q.rule.window_ms);
            model.ask(now, window);
            let answer = log.decide(q.now, q.rule, q.id, q.max_wait);
            let at = answer.reply.allowed.then(|| now + u64::from(answer.reply.wait_ms));
            if answer.changed {
                written = log.encode();
            }
            prop_assert!(log.charges.is_sorted_by_key(|c| c.at));
            if let Some(known) = model.known(now, q.id, window, false) {
                prop_assert_eq!(at, Some(known.at.max(now)));
                continue;
            }
            let (least, most) = (model.earliest(now, q.rule, false), model.earliest(now, q.rule, true));
            match at {
                // Known longer than it must be.
                Some(at) if model.given.iter().any(|g| g.id == q.id && g.at == at) || !is_in(&log, q.id, at) => {
                    let known = model.known(now, q.id, window, true).map(|known| known.at.max(now));
                    prop_assert_eq!(known, Some(at));
                }
                Some(at) => {
                    prop_assert!(least <= at && at <= most && at - now <= q.max_wait);
                    model.given.push(Given { id: q.id, at, may_be_forgotten: false });
                }
                None => prop_assert!(most - now > q.max_wait, "refused for no cause"),
            }
        }
    }

    #[test]
    fn no_window_holds_more_than_the_limit(questions in questions(), permits in 1..6u64, window in 1..80u64) {
        let (mut log, mut given, limit) = (Log::default(), Vec::new(), rule(permits, window));
        let mut clock = 0;
        for (n, q) in questions.into_iter().enumerate() {
            clock = clock.max(q.now);
            let reply = log.decide(q.now, limit, n as u64, q.max_wait).reply;
            if reply.allowed {
                given.push(clock + u64::from(reply.wait_ms));
            }
            log = stored(&log);
        }
        for end in &given {
            let held = given.iter().filter(|at| *at <= end && *at + window > *end).count();
            prop_assert!(held as u64 <= permits, "{held} in the window ending at {end}");
        }
    }

    #[test]
    fn reading_any_bytes_is_safe(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut versioned = vec![1];
        versioned.extend(&bytes);
        for input in [bytes, versioned] {
            if let Ok(log) = Log::decode(&input) {
                prop_assert_eq!(stored(&log), log.clone());
                // Whatever was read can be decided upon.
                log.clone().decide(1, rule(5, 60), 1, 10);
                log.clone().borrow(1, rule(5_000, 60), 1, 10, &[(1, 1)]);
            }
        }
    }
}

#[test]
fn a_stored_log_that_is_not_one_is_refused() {
    let mut log = Log::default();
    log.decide(1_000, rule(5, 60), 1, 0);
    log.borrow(1_010, rule(500, 60), 2, 10, &[]);
    log.borrow(1_020, rule(500, 60), 3, 10, &[(2, 5)]);
    let good = log.encode();
    assert_eq!(stored(&log), log);
    assert_eq!(log.charges.len(), 3);
    for end in 0..good.len() {
        assert!(matches!(Log::decode(&good[..end]), Err(LogError::Short { .. })), "{end}");
    }
    let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
    assert!(matches!(Log::decode(&longer), Err(LogError::Impossible { .. })));
    let mut newer = good.clone();
    newer[0] = 2;
    assert_eq!(Log::decode(&newer), Err(LogError::Version { found: 2 }));
    // A number of charges that is not there costs nothing; one that is never written is refused.
    assert!(matches!(Log::decode(&[1, 0, 0, 0, 0, 0xff, 0x10]), Err(LogError::Short { .. })));
    assert!(matches!(Log::decode(&[1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]), Err(LogError::Impossible { .. })));
    // Kind 3; no permits; a number without an end.
    assert!(matches!(Log::decode(&[1, 0, 0, 0, 0, 1, 3]), Err(LogError::Impossible { .. })));
    assert!(matches!(Log::decode(&[1, 0, 0, 0, 0, 1, 2, 0]), Err(LogError::Impossible { .. })));
    assert!(matches!(Log::decode(&[&[1][..], &[0xff; 12]].concat()), Err(LogError::Impossible { .. })));
}
