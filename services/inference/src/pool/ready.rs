//! Lines that have work, in the order of their turns: those that somebody waits for first, and of the others one now and
//! then, so that they come on too.

use std::collections::VecDeque;

use super::schedule::LineId;

/// Of so many turns one is that of a line which nobody waits for, if there is one, whatever else is to be done.
const LATER_EVERY: u32 = 16;

/// Whether somebody waits for the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Urgency {
    /// A request.
    Now,
    /// A job.
    Later,
}

/// See the module. Each line is in it once at most.
#[derive(Default)]
pub(super) struct Ready {
    now: VecDeque<LineId>,
    later: VecDeque<LineId>,
    turns: u32,
}

impl Ready {
    pub(super) fn push(&mut self, id: LineId, urgency: Urgency) {
        match urgency {
            Urgency::Now => self.now.push_back(id),
            Urgency::Later => self.later.push_back(id),
        }
    }

    pub(super) fn pop(&mut self) -> Option<LineId> {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(LATER_EVERY) {
            self.later.pop_front().or_else(|| self.now.pop_front())
        } else {
            self.now.pop_front().or_else(|| self.later.pop_front())
        }
    }

    pub(super) fn remove(&mut self, id: LineId) {
        self.now.retain(|other| *other != id);
        self.later.retain(|other| *other != id);
    }

    pub(super) fn clear(&mut self) {
        self.now.clear();
        self.later.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.now.len() + self.later.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_comes_last_but_comes() {
        let mut ready = Ready::default();
        ready.push(100, Urgency::Later);
        (0..40).for_each(|id| ready.push(id, Urgency::Now));
        let order: Vec<LineId> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(order.len(), 41);
        assert_eq!(order.iter().position(|id| *id == 100), Some(15));
        ready.push(1, Urgency::Later);
        ready.push(2, Urgency::Now);
        assert_eq!((ready.pop(), ready.len()), (Some(2), 1));
        ready.remove(1);
        assert!(ready.is_empty());
    }
}
