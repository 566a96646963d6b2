//! The operations listener of a process, on loopback by default: `/livez`, `/readyz`, `/metrics`; what it reports; and
//! a client for `arborgate health`.
//!
//! Plain HTTP/1.1 without authentication, for probes and scrapers: nothing else is ever served here.

mod client;
mod health;
mod listener;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

pub use client::{Answer, ask};
pub use health::{CheckHandle, CheckState, Health};
pub use listener::start;

/// Where `arborgate serve` answers probes unless configured otherwise.
pub const DEFAULT_PORT: u16 = 9901;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub listen: Listen,
}

/// `"off"`, or an address with a port; port 0 lets the system choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    At(SocketAddr),
}

impl Default for Listen {
    fn default() -> Self {
        Self::At(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(addr) => addr.fmt(f),
        }
    }
}

struct ListenText;

impl Visitor<'_> for ListenText {
    type Value = Listen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"off\" or an address with a port, such as \"127.0.0.1:9901\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Listen, E> {
        if text == "off" {
            return Ok(Listen::Off);
        }
        text.parse().map(Listen::At).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ListenText)
    }
}

impl Serialize for Listen {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
