//! How many connections there may be: in all, and from one address (IPv6: its /64).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::limits::network;

#[derive(Default)]
struct Counts {
    all: usize,
    by_network: HashMap<String, usize>,
}

/// Counts connections.
#[derive(Clone)]
pub struct Caps {
    most: usize,
    most_by_address: usize,
    counts: Arc<parking_lot::Mutex<Counts>>,
}

/// A connection that counts until this is dropped.
pub struct Permit {
    network: String,
    counts: Arc<parking_lot::Mutex<Counts>>,
}

impl Caps {
    /// At most so many.
    pub fn new(most: usize, most_by_address: usize) -> Self {
        Self { most, most_by_address, counts: Arc::default() }
    }

    /// A place for a connection, if there is one.
    pub fn admit(&self, address: IpAddr) -> Option<Permit> {
        let network = network(address);
        let mut counts = self.counts.lock();
        let here = counts.by_network.get(&network).copied().unwrap_or(0);
        if counts.all >= self.most || here >= self.most_by_address {
            return None;
        }
        counts.all += 1;
        counts.by_network.insert(network.clone(), here + 1);
        drop(counts);
        Some(Permit { network, counts: Arc::clone(&self.counts) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.all -= 1;
        if let Some(here) = counts.by_network.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                counts.by_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let caps = Caps::new(3, 2);
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = caps.admit(ip("192.0.2.1")).unwrap();
        let _second = caps.admit(ip("192.0.2.1")).unwrap();
        assert!(caps.admit(ip("192.0.2.1")).is_none());
        let _third = caps.admit(ip("192.0.2.2")).unwrap();
        assert!(caps.admit(ip("192.0.2.3")).is_none());
        drop(first);
        assert!(caps.admit(ip("192.0.2.1")).is_some());
    }
}
