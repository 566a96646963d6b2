//! The log of one key: which permits are out, and until when each counts. Pure: it has no clock and knows no bus, so
//! that what it promises is tested as arithmetic.
//!
//! Time is milliseconds. A window of `W` that ends at `x` is half-open, `(x - W, x]`: a permit spent at `t` is free
//! again exactly at `t + W`.
//!
//! **The promise**: of the permits that were given under a limit of `N` in `W`, at most `N` are spent in any window, and
//! a permit given under any limit finds at most that limit's number spent in the window before it.
//!
//! **Why it holds.** A [`Charge`] of `n` permits carries `at`, the latest moment at which they can be spent. Permits that
//! can be spent from `s` on are given only when the charges with `at > s - W` leave room for them. Of all permits spent
//! in a window ending at `x`, look at those that were given last: they can be spent from some `s <= x` on. All others
//! were in the log already, each with `at > x - W >= s - W`, and so were counted.
//!
//! Charges may be merged into a later one, and time stands still while the clock is behind: both only count more. A
//! window that was not asked of a key within its own length can not count what was forgotten meanwhile.
//!
//! **What loans can use**: a client that borrows, spends and returns at full rate holds a permit for its window and for
//! the loan's length of a twentieth more, so it gets about 95 % of the limit; less of windows under a second, whose loans
//! are 50 ms long.

mod codec;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use arborgate_contracts::limiter::{Decision, Loan};

pub(crate) use codec::LogError;

/// The largest `permits` of a limit that is decided request by request. Higher limits are for loans.
pub const MAX_DECIDED: u32 = 10_000;
/// Loans of one key that may be out at a time.
pub(crate) const MAX_OPEN: usize = 1_024;
/// Closed charges of one key that are kept apart.
const MAX_CLOSED: usize = 1_024;
/// Ids that are kept beyond [`MAX_DECIDED`] before some are forgotten.
const SLACK: usize = 256;
/// The longest that a permit is booked ahead, in milliseconds: no request lives longer.
pub(crate) const MAX_WAIT_MS: u64 = 600_000;
/// Later than any clock says; so that sums can not overflow.
const MAX_TIME: u64 = 1 << 45;
/// Bounds of a loan's length, in milliseconds; between them it is a twentieth of the window.
const LOAN_MS: (u64, u64) = (50, 5_000);

/// What holds for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// At least 1.
    pub(crate) permits: u64,
    /// At least 1.
    pub(crate) window_ms: u64,
}

impl Rule {
    /// How long a loan lasts. A permit that is spent at once is held for a window and up to this.
    pub(crate) fn loan_ms(self) -> u64 {
        (self.window_ms / 20).clamp(LOAN_MS.0, LOAN_MS.1)
    }

    /// Fewer than these are not lent: a loan of one permit would cost as much as deciding.
    fn least_loan(self) -> u64 {
        (self.permits / 100).max(1)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One permit, given to the request of this id, which spends it at `at`.
    Decided(u64),
    /// A loan of this id, that may be spent until `at`.
    Open(u64),
    /// Spent at `at` at the latest; by whom is forgotten.
    Closed,
}

/// Permits that are out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Charge {
    at: u64,
    permits: u64,
    kind: Kind,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log {
    /// Time never goes behind this.
    clock: u64,
    /// Charges are kept for this long: the longest window that is asked for.
    window: u64,
    /// When it was last asked for, or up to half of it before.
    asked: u64,
    /// The longest of the other windows that were asked for; what is kept when the longest no longer is.
    other: u64,
    /// By `at`.
    charges: Vec<Charge>,
}

/// An answer, and whether the log has changed so that it must be written before the answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<T> {
    pub(crate) reply: T,
    pub(crate) changed: bool,
}

impl Log {
    /// May a request pass, now or after at most `max_wait` (which is cut to [`MAX_WAIT_MS`])? The limit must not be above
    /// [`MAX_DECIDED`].
    pub(crate) fn decide(&mut self, now: u64, rule: Rule, id: u64, max_wait: u64) -> Answer<Decision> {
        let (now, mut changed) = self.begin(now, rule);
        let horizon = now.saturating_sub(rule.window_ms);
        let known = self.charges.iter().rev().take_while(|c| c.at > horizon).find(|c| c.kind == Kind::Decided(id));
        let at = match known {
            Some(charge) => charge.at.max(now),
            None => {
                let at = self.earliest(now, rule);
                if at - now > max_wait.min(MAX_WAIT_MS) {
                    let reply = Decision {
                        allowed: false,
                        remaining: self.left(now, rule),
                        reset_ms: ms(at - now),
                        wait_ms: 0,
                    };
                    return Answer { reply, changed };
                }
                self.insert(Charge { at, permits: 1, kind: Kind::Decided(id) });
                self.forget_ids();
                changed = true;
                at
            }
        };
        let reset = self.first_counted(now, rule).map_or(0, |first| first + rule.window_ms - now);
        let reply = Decision {
            allowed: true,
            remaining: self.left(now, rule),
            reset_ms: ms(reset),
            wait_ms: ms(at.saturating_sub(now)),
        };
        Answer { reply, changed }
    }

    /// Takes loans back (id and how many were spent), then lends at most `want`.
    pub(crate) fn borrow(&mut self, now: u64, rule: Rule, id: u64, want: u32, returned: &[(u64, u32)]) -> Answer<Loan> {
        let (now, mut changed) = self.begin(now, rule);
        for (id, spent) in returned {
            changed |= self.take_back(now, *id, u64::from(*spent));
        }
        self.merge_closed();
        if let Some(open) = self.charges.iter().find(|c| c.kind == Kind::Open(id)).copied() {
            // The first answer was lost. What is left of the loan is counted from now, for who asks again may measure
            // from when it asked again.
            let left = open.at.saturating_sub(now);
            let granted = if left == 0 { 0 } else { open.permits };
            return Answer { reply: self.loan(now, rule, granted, left), changed };
        }
        let granted = self.lendable(now, rule).min(u64::from(want));
        if granted > 0 {
            self.insert(Charge { at: now + rule.loan_ms(), permits: granted, kind: Kind::Open(id) });
            changed = true;
        }
        Answer { reply: self.loan(now, rule, granted, rule.loan_ms()), changed }
    }

    /// Half of what is left, so that others find some; nothing when that is little or too many loans are out.
    fn lendable(&self, now: u64, rule: Rule) -> u64 {
        let free = rule.permits.saturating_sub(self.used(now, rule));
        let open = self.charges.iter().filter(|c| matches!(c.kind, Kind::Open(_))).count();
        if free < rule.least_loan() || open >= MAX_OPEN { 0 } else { free.div_ceil(2).max(rule.least_loan()) }
    }

    fn loan(&self, now: u64, rule: Rule, granted: u64, valid: u64) -> Loan {
        let (valid, reset) = if granted > 0 { (valid, 0) } else { (0, self.until_lendable(now, rule)) };
        Loan { granted: ms(granted), valid_ms: ms(valid), remaining: self.left(now, rule), reset_ms: ms(reset) }
    }

    /// Moves time on and forgets what no window counts. Gives the time that holds, and whether what is to be kept for how
    /// long has changed.
    fn begin(&mut self, now: u64, rule: Rule) -> (u64, bool) {
        let now = now.min(MAX_TIME).max(self.clock);
        self.clock = now;
        let changed = self.keep_for(now, rule.window_ms);
        let horizon = now.saturating_sub(self.window);
        let past = self.charges.partition_point(|c| c.at <= horizon);
        self.charges.drain(..past);
        (now, changed && !self.charges.is_empty())
    }

    /// A window counts while it is asked for at least once in its own length.
    fn keep_for(&mut self, now: u64, window: u64) -> bool {
        let age = now - self.asked;
        let before = (self.window, self.asked, self.other);
        if window > self.window {
            (self.window, self.asked, self.other) = (window, now, self.window);
        } else if window == self.window {
            // Written now and then, not with every question.
            self.asked = if age > window / 2 { now } else { self.asked };
        } else if age > self.window + self.window / 2 {
            (self.window, self.asked, self.other) = (self.other.max(window), now, 0);
        } else {
            self.other = self.other.max(window);
        }
        before != (self.window, self.asked, self.other)
    }

    /// The first moment from `now` on at which one more permit has room.
    fn earliest(&self, now: u64, rule: Rule) -> u64 {
        let mut counted = 0;
        for charge in self.charges.iter().rev() {
            let until = charge.at + rule.window_ms;
            if until <= now {
                break;
            }
            counted += charge.permits;
            if counted >= rule.permits {
                return until;
            }
        }
        now
    }

    fn counted(&self, now: u64, rule: Rule) -> impl Iterator<Item = &Charge> {
        let horizon = now.saturating_sub(rule.window_ms);
        let past = self.charges.partition_point(move |c| c.at <= horizon);
        self.charges.iter().skip(past)
    }

    fn used(&self, now: u64, rule: Rule) -> u64 {
        self.counted(now, rule).map(|c| c.permits).sum()
    }

    fn left(&self, now: u64, rule: Rule) -> u32 {
        ms(rule.permits.saturating_sub(self.used(now, rule)))
    }

    fn first_counted(&self, now: u64, rule: Rule) -> Option<u64> {
        self.counted(now, rule).next().map(|c| c.at)
    }

    /// Until there is enough to lend, if loans come back unspent when they end. 0: there is already.
    fn until_lendable(&self, now: u64, rule: Rule) -> u64 {
        let mut lacking = (self.used(now, rule) + rule.least_loan()).saturating_sub(rule.permits);
        if lacking == 0 {
            return if self.lendable(now, rule) > 0 { 0 } else { rule.loan_ms() };
        }
        let freed_at = |c: &Charge| match c.kind {
            Kind::Open(_) if c.at > now => c.at,
            _ => c.at + rule.window_ms,
        };
        let mut frees: Vec<(u64, u64)> = self.counted(now, rule).map(|c| (freed_at(c), c.permits)).collect();
        frees.sort_unstable();
        for (at, permits) in frees {
            if permits >= lacking {
                return at - now;
            }
            lacking -= permits;
        }
        rule.window_ms
    }

    fn insert(&mut self, charge: Charge) {
        let place = self.charges.partition_point(|c| c.at <= charge.at);
        self.charges.insert(place, charge);
    }

    /// What was not spent is free; what was, was spent by now.
    fn take_back(&mut self, now: u64, id: u64, spent: u64) -> bool {
        let Some(place) = self.charges.iter().position(|c| c.kind == Kind::Open(id)) else { return false };
        let loan = self.charges.remove(place);
        let permits = spent.min(loan.permits);
        if permits > 0 {
            self.insert(Charge { at: loan.at.min(now), permits, kind: Kind::Closed });
        }
        true
    }

    /// Bounds the ids that are kept, some at a time. A limit up to [`MAX_DECIDED`] looks no further back than that many
    /// permits.
    fn forget_ids(&mut self) {
        if self.charges.len() <= MAX_DECIDED as usize + SLACK {
            return;
        }
        let decided = self.charges.iter().filter(|c| matches!(c.kind, Kind::Decided(_))).count();
        let surplus = decided.saturating_sub(MAX_DECIDED as usize);
        let oldest = self.charges.iter_mut().filter(|c| matches!(c.kind, Kind::Decided(_))).take(surplus);
        oldest.for_each(|c| c.kind = Kind::Closed);
        self.merge_closed();
    }

    /// Merges closed charges that lie close together into the latest of them, until there are few.
    fn merge_closed(&mut self) {
        let mut grain = (self.window / 128).max(1);
        loop {
            let mut latest: Option<usize> = None;
            for place in (0..self.charges.len()).rev() {
                let Some(charge) = self.charges.get(place).copied().filter(|c| c.kind == Kind::Closed) else {
                    continue;
                };
                match latest.and_then(|l| self.charges.get_mut(l)).filter(|l| l.at / grain == charge.at / grain) {
                    Some(into) => {
                        into.permits += charge.permits;
                        if let Some(gone) = self.charges.get_mut(place) {
                            gone.permits = 0;
                        }
                    }
                    None => latest = Some(place),
                }
            }
            self.charges.retain(|c| c.permits > 0);
            if self.charges.iter().filter(|c| c.kind == Kind::Closed).count() <= MAX_CLOSED {
                return;
            }
            grain = grain.saturating_mul(2);
        }
    }
}

/// As it goes into an answer.
fn ms(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
