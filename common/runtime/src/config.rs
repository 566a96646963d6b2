//! Configuration: defaults compiled in, then the user's TOML file, then the environment, then flags, merged into one
//! typed value. Every fault is reported at once, each with its key and where the value came from.
//!
//! `ARBORGATE__EDGE__LISTEN` sets `edge.listen`: two underscores separate levels and names are lower-cased. A variable
//! with single underscores (`ARBORGATE_ADMIN_PASSWORD`) is not configuration. Values of variables and flags are read as
//! the type that their key has: lists are separated by commas or written as in TOML, tables are written as in TOML,
//! and an empty text is no value where one may be absent.
//!
//! It is not a place where configuration is watched: it is read once, at start.

mod de;
mod error;
mod load;
mod node;
mod secret;
mod units;

pub use error::{ConfigError, Origin, Problem};
pub use load::{Report, load, load_validated, process_env};
pub use secret::{Secret, SecretBytes};
pub use units::{ByteSize, HumanDuration};
