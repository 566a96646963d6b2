//! For tests only: what a test of a part, or of the whole, starts and asks.

#[cfg(feature = "faulty")]
pub mod faulty;
#[cfg(feature = "system")]
pub mod nats;
pub mod process;
#[cfg(feature = "system")]
pub mod system;
mod watchdog;
