//! Where a request comes from: the socket's address, and what a configured proxy says of it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    /// Over the network.
    Address(SocketAddr),
    /// Over the owner-only socket of an all-in-one.
    Operator,
}

/// Proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Default)]
pub struct Proxies(Vec<IpNet>);

/// Addresses in a header that are looked at.
const MOST: usize = 32;

impl Proxies {
    /// These networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: `X-Forwarded-For` from right to left, as long as each is a proxy that is believed.
    pub fn client(&self, socket: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = socket.ip().to_canonical();
        if self.0.is_empty() || !self.trusts(address) {
            return address;
        }
        let values: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(','));
        for hop in hops.take(MOST) {
            let hop = hop.trim();
            let parsed = hop.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|s| s.ip()));
            let Ok(next) = parsed else { return address };
            address = next.to_canonical();
            if !self.trusts(address) {
                return address;
            }
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(socket: &str, forwarded: &[&str]) -> String {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        proxies.client(socket.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_a_configured_proxy_is_believed() {
        assert_eq!(client("192.0.2.1:5", &["203.0.113.9"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1:5", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:5", &[]), "10.0.0.1");
    }

    #[test]
    fn what_a_client_adds_on_the_left_is_not_believed() {
        assert_eq!(client("10.0.0.1:5", &["1.2.3.4, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:5", &["1.2.3.4", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1:5", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("[::ffff:10.0.0.1]:5", &["[2001:db8::1]:443"]), "2001:db8::1");
    }
}
