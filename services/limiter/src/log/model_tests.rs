//! Loans against a simulated world: edges that borrow over a slow and lossy network from replicas whose clocks differ,
//! spend while they may, return or crash. What they spent is counted in real time.

use proptest::prelude::*;

use super::*;

/// Replicas' clocks are ahead of real time by up to this.
const SKEW: u64 = 30;

#[derive(Debug, Clone)]
struct World {
    permits: u64,
    window: u64,
    edges: Vec<Behaviour>,
    /// Replicas: how far ahead.
    clocks: Vec<u64>,
    /// Choices of fate, used one after another.
    fate: Vec<u8>,
    length: u64,
}

#[derive(Debug, Clone)]
struct Behaviour {
    /// Permits it would spend in a millisecond, in thousandths.
    demand: u64,
    /// Holds a loan back and spends it all in its last milliseconds, this many.
    last: Option<u64>,
    want: u32,
    /// Longest way of a message.
    latency: u64,
    returns: bool,
    /// In 256.
    loses_replies: u8,
    crashes: u8,
}

#[derive(Debug, Clone, Default)]
struct Edge {
    credit: u64,
    loan: Option<Held>,
    over: Vec<(u64, u32)>,
    asking: Option<Ask>,
    rest_until: u64,
    loans: u64,
}

#[derive(Debug, Clone)]
struct Held {
    id: u64,
    left: u32,
    spent: u32,
    until: u64,
}

#[derive(Debug, Clone)]
struct Ask {
    id: u64,
    sent: u64,
    arrives: u64,
    again: Option<u64>,
    returned: Vec<(u64, u32)>,
    reply: Option<(u64, Loan)>,
}

struct Fate<'a>(std::iter::Cycle<std::slice::Iter<'a, u8>>);

impl Fate<'_> {
    fn below(&mut self, bound: u64) -> u64 {
        u64::from(*self.0.next().unwrap()) % bound.max(1)
    }

    fn strikes(&mut self, chance: u8) -> bool {
        *self.0.next().unwrap() < chance
    }
}

/// Plays the world; gives when permits were spent.
fn play(world: &World) -> Vec<u64> {
    let rule = Rule { permits: world.permits, window_ms: world.window + SKEW };
    let (mut log, mut spends, mut fate) = (Log::default(), Vec::new(), Fate(world.fate.iter().cycle()));
    let mut edges = vec![Edge::default(); world.edges.len()];
    for now in 1_000..1_000 + world.length {
        for (number, (edge, behaviour)) in edges.iter_mut().zip(&world.edges).enumerate() {
            edge.spend(now, behaviour, &mut spends);
            edge.reach(now, behaviour, &mut fate, number as u64);
            let Some(ask) = &mut edge.asking else { continue };
            if ask.arrives == now || ask.again == Some(now) {
                let clock = now + world.clocks[fate.below(world.clocks.len() as u64) as usize];
                log = Log::decode(&log.encode()).unwrap();
                let loan = log.borrow(clock, rule, ask.id, behaviour.want, &ask.returned).reply;
                let back = now + fate.below(behaviour.latency);
                if ask.reply.is_none() && !(ask.again.is_some_and(|a| a > now) || fate.strikes(behaviour.loses_replies))
                {
                    ask.reply = Some((back, loan));
                }
            }
            edge.hear(now, behaviour);
        }
    }
    spends
}

impl Edge {
    fn spend(&mut self, now: u64, behaviour: &Behaviour, spends: &mut Vec<u64>) {
        // Demand that is not met is lost, but for a little.
        self.credit = self.credit.saturating_add(behaviour.demand).min(1_000 + behaviour.demand);
        let Some(held) = &mut self.loan else { return };
        if let Some(last) = behaviour.last {
            self.credit = if now + last >= held.until { u64::MAX } else { 0 };
        }
        while self.credit >= 1_000 && held.left > 0 && now < held.until {
            self.credit -= 1_000;
            held.left -= 1;
            held.spent += 1;
            spends.push(now);
        }
        if held.left == 0 || now >= held.until {
            if behaviour.returns {
                self.over.push((held.id, held.spent));
            }
            self.loan = None;
        }
    }

    /// Crashes, or asks for a loan when it has none.
    fn reach(&mut self, now: u64, behaviour: &Behaviour, fate: &mut Fate<'_>, number: u64) {
        if behaviour.crashes > 0 && now.is_multiple_of(97) && fate.strikes(behaviour.crashes) {
            *self = Self { loans: self.loans + 1, ..Self::default() };
        }
        if self.loan.is_some() || self.asking.is_some() || now < self.rest_until {
            return;
        }
        self.loans += 1;
        let arrives = now + fate.below(behaviour.latency);
        // Now and then the question is asked twice, by the same id.
        let again = fate.strikes(40).then(|| arrives + 1 + fate.below(behaviour.latency));
        let returned = std::mem::take(&mut self.over);
        self.asking = Some(Ask { id: number << 32 | self.loans, sent: now, arrives, again, returned, reply: None });
    }

    fn hear(&mut self, now: u64, behaviour: &Behaviour) {
        let Some(ask) = &self.asking else { return };
        match ask.reply {
            Some((at, loan)) if at <= now => {
                if loan.granted > 0 {
                    let until = ask.sent + u64::from(loan.valid_ms);
                    self.loan = Some(Held { id: ask.id, left: loan.granted, spent: 0, until });
                } else {
                    self.rest_until = now + u64::from(loan.reset_ms).max(1);
                }
                self.asking = None;
            }
            None if now > ask.arrives.max(ask.again.unwrap_or(0)) + 2 * behaviour.latency => self.asking = None,
            _ => {}
        }
    }
}

/// The most that were spent in any window.
fn busiest(spends: &[u64], window: u64) -> u64 {
    let mut most = 0;
    let mut start = 0;
    for (end, at) in spends.iter().enumerate() {
        while spends[start] + window <= *at {
            start += 1;
        }
        most = most.max(end + 1 - start);
    }
    most as u64
}

fn behaviours() -> impl Strategy<Value = Behaviour> {
    let demand = prop_oneof![0..4_000u64, Just(1_000_000)];
    let last = prop_oneof![2 => Just(None), 1 => (1..8u64).prop_map(Some)];
    let chance = || prop_oneof![2 => Just(0u8), 1 => Just(50)];
    let want = prop_oneof![1..20u32, Just(1_000)];
    (demand, last, want, prop_oneof![Just(1u64), 1..60u64], any::<bool>(), chance(), chance()).prop_map(
        |(demand, last, want, latency, returns, loses_replies, crashes)| Behaviour {
            demand,
            last,
            want,
            latency,
            returns,
            loses_replies,
            crashes,
        },
    )
}

fn worlds() -> impl Strategy<Value = World> {
    let clocks = prop_oneof![Just(vec![0]), prop::collection::vec(0..=SKEW, 1..4), Just(vec![0, SKEW])];
    (
        prop_oneof![1..12u64, 12..300u64],
        prop_oneof![30..400u64, 1_000..3_000u64],
        prop::collection::vec(behaviours(), 1..6),
        clocks,
        prop::collection::vec(any::<u8>(), 64..257),
    )
        .prop_map(|(permits, window, edges, clocks, fate)| World {
            permits,
            window,
            edges,
            clocks,
            fate,
            length: 3_000 + window,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_sees_more_spent_than_the_limit(world in worlds()) {
        let spends = play(&world);
        prop_assert!(busiest(&spends, world.window) <= world.permits);
    }
}

fn honest(permits: u64, window: u64, edges: u64, overload: u64, length: u64) -> Vec<u64> {
    let demand = permits * 1_000 * overload / window / edges;
    let want = u32::try_from(permits).unwrap();
    let edge = Behaviour { demand, last: None, want, latency: 3, returns: true, loses_replies: 0, crashes: 0 };
    let fate = (0..=250).map(|n: u8| n.wrapping_mul(41)).filter(|n| *n >= 40).collect();
    play(&World { permits, window, edges: vec![edge; edges as usize], clocks: vec![0], fate, length })
}

#[test]
fn honest_clients_get_nearly_the_whole_limit() {
    // Permits, window, edges, how many times the limit they ask for, and the share that they get at least.
    for (permits, window, edges, overload, least) in
        [(1_000, 10_000, 1, 1, 90), (1_000, 10_000, 4, 3, 88), (600, 60_000, 2, 2, 90), (2_000, 1_000, 3, 2, 80)]
    {
        let length = 8 * window;
        let spends = honest(permits, window, edges, overload, length);
        assert!(busiest(&spends, window) <= permits);
        let share = spends.len() as u64 * 100 / (permits * length / window);
        assert!(
            share >= least,
            "{share} % of {permits} in {window} ms by {edges} edges asking {overload} times as much"
        );
    }
}

#[test]
fn a_loan_is_at_most_half_of_what_is_left_and_nothing_when_that_is_little() {
    let rule = Rule { permits: 1_000, window_ms: 10_000 };
    let mut log = Log::default();
    let first = log.borrow(50_000, rule, 1, 10_000, &[]).reply;
    assert_eq!(first, Loan { granted: 500, valid_ms: 500, remaining: 500, reset_ms: 0 });
    assert_eq!(log.borrow(50_000, rule, 2, 100, &[]).reply.granted, 100);
    let mut id = 2;
    let none = loop {
        id += 1;
        let loan = log.borrow(50_000, rule, id, 10_000, &[]).reply;
        if loan.granted == 0 {
            break loan;
        }
        assert!(loan.granted >= 10);
    };
    assert!(none.remaining < 10);
    assert_eq!(none.reset_ms, 500, "when loans end and may come back");
    // Unspent permits are free at once, spent ones a window after they came back.
    let back = log.borrow(50_100, rule, 90, 0, &[(1, 200), (2, 0), (77, 5)]);
    assert!(back.changed);
    assert_eq!(back.reply.granted, 0);
    assert_eq!(back.reply.remaining, none.remaining + 300 + 100);
    assert!(!log.borrow(50_100, rule, 91, 0, &[(1, 0), (2, 0)]).changed, "a loan comes back once");
    // A loan that never came back counts a window after its end.
    assert_eq!(log.left(60_099, rule), 400 + none.remaining);
    assert_eq!(log.left(60_100, rule), 600 + none.remaining);
    assert_eq!(log.left(60_499, rule), 600 + none.remaining);
    assert_eq!(log.left(60_500, rule), 1_000);
}

#[test]
fn the_same_loan_is_lent_once_and_ends_when_it_ends() {
    let rule = Rule { permits: 100, window_ms: 20_000 };
    let mut log = Log::default();
    assert_eq!(log.borrow(1_000_000, rule, 1, 10, &[]).reply.valid_ms, 1_000);
    let again = log.borrow(1_000_300, rule, 1, 10, &[]);
    assert_eq!((again.reply.granted, again.reply.valid_ms, again.changed), (10, 700, false));
    assert_eq!(log.borrow(1_001_000, rule, 1, 10, &[]).reply.granted, 0);
    assert_eq!(log.used(1_001_000, rule), 10);
    // Nobody spends more than was lent, whatever is said.
    log.borrow(1_002_000, rule, 2, 0, &[(1, u32::MAX)]);
    assert_eq!(log.used(1_002_000, rule), 10);
}

#[test]
fn loans_and_decisions_share_a_limit() {
    let rule = Rule { permits: 10, window_ms: 1_000 };
    let mut log = Log::default();
    assert_eq!(log.borrow(5_000, rule, 1, 5, &[]).reply.granted, 5);
    for id in 0..5 {
        assert!(log.decide(5_010, rule, id, 0).reply.allowed);
    }
    assert!(!log.decide(5_010, rule, 9, 0).reply.allowed);
    assert_eq!(log.borrow(5_010, rule, 2, 5, &[]).reply.granted, 0);
    // Booked behind the decisions, for the loan counts until a window after its end.
    assert_eq!(log.decide(5_010, rule, 9, 2_000).reply.wait_ms, 1_000);
}

#[test]
fn merging_only_ever_counts_longer() {
    let rule = Rule { permits: 1_000, window_ms: 12_800 };
    let mut log = Log::default();
    log.borrow(50_000, rule, 1, 10, &[]);
    log.borrow(50_000, rule, 2, 10, &[]);
    log.borrow(50_010, rule, 3, 0, &[(1, 10)]);
    log.borrow(50_090, rule, 4, 0, &[(2, 7)]);
    assert_eq!(log.charges, [Charge { at: 50_090, permits: 17, kind: Kind::Closed }]);
    assert_eq!(log.left(50_090 + 12_799, rule), 983);
    assert_eq!(log.left(50_090 + 12_800, rule), 1_000);
}

#[test]
fn what_is_kept_stays_small_however_many_loans() {
    let rule = Rule { permits: 10_000_000, window_ms: 86_400_000 };
    let mut log = Log::default();
    let mut now = 1_800_000_000_000;
    for id in 0..20_000u64 {
        let returned: Vec<_> = id.checked_sub(3).map(|id| (id, 400)).into_iter().collect();
        assert_eq!(log.borrow(now, rule, id, 400, &returned).reply.granted, 400);
        now += 4_000;
    }
    assert_eq!(log.used(now, rule), 20_000 * 400);
    assert!(log.charges.len() < 200, "{}", log.charges.len());
    // Loans that are never returned are bounded as well.
    let mut lost = Log::default();
    let granted = (0..2_000).filter(|id| lost.borrow(now, rule, *id, 1, &[]).reply.granted > 0).count();
    assert_eq!(granted, MAX_OPEN);
    assert!(lost.encode().len() < arborgate_contracts::bucket::LIMITS.max_value / 4);
    assert_eq!(lost.borrow(now, rule, 5_000, 1, &[]).reply.reset_ms, 5_000);
}
