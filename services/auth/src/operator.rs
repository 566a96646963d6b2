//! What the operator does to the state while no auth service need run: making the first administrator, and setting a
//! password that was forgotten.

use arborgate_bus::Bus;
use arborgate_contracts::auth::Password;
use arborgate_contracts::bucket::{STANDINGS, USERS};
use arborgate_contracts::name::NameError;
use arborgate_contracts::permission::Role;
use arborgate_contracts::{Deadline, ErrorCode, UserName};

use crate::admins::Admins;
use crate::clock::Clock;
use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::password::{Hasher, plain};
use crate::random;
use crate::standings::Standings;
use crate::users::Users;

/// The name of the first administrator.
pub const FIRST_ADMINISTRATOR: &str = "admin";

/// 24 of 56 characters: 139 bits.
const GENERATED_LENGTH: usize = 24;

/// What [`seed`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seeded {
    /// There is a user already: nothing was changed, and a given password was ignored.
    Existed,
    /// The administrator [`FIRST_ADMINISTRATOR`] was made.
    Created {
        /// Their password when none was given; it is told nowhere else.
        generated: Option<Password>,
    },
}

async fn users(bus: &Bus, config: &Config) -> Result<Users, Error> {
    config.checked()?;
    let clock = Clock::system();
    let bucket = bus.bucket(&USERS).await?;
    Ok(Users {
        admins: Admins::new(bucket.clone()),
        standings: Standings::new(bus.bucket(&STANDINGS).await?, clock.clone()),
        hasher: Hasher::new(config, Metrics::new())?,
        rules: config.password.clone(),
        bucket,
        clock,
    })
}

/// A password, and whether it was generated.
fn or_generated(given: Option<Password>, config: &Config) -> Result<(Password, Option<Password>), Error> {
    match given {
        Some(password) => Ok((password, None)),
        None => {
            let length = GENERATED_LENGTH.clamp(config.password.min_length, config.password.max_length);
            let password = Password(random::text(length, random::PASSWORD_ALPHABET)?.as_str().to_owned());
            Ok((password.clone(), Some(password)))
        }
    }
}

/// Makes the first administrator if there is no user at all, with the password given or a random one. The buckets must
/// have been made.
///
/// # Errors
/// [`Error::Refused`] for a password that is too short or too long; [`Error::Store`].
pub async fn seed(bus: &Bus, config: &Config, admin: Option<Password>) -> Result<Seeded, Error> {
    let users = users(bus, config).await?;
    if !users.list().await?.is_empty() {
        return Ok(Seeded::Existed);
    }
    let (password, generated) = or_generated(admin, config)?;
    let name = FIRST_ADMINISTRATOR
        .parse()
        .map_err(|error: NameError| Error::refused(ErrorCode::Invalid, error.to_string()))?;
    let deadline = Deadline::after(Deadline::LONGEST);
    match users.create(name, password, vec![Role::Admin], deadline).await {
        Ok(_) => Ok(Seeded::Created { generated }),
        // Another process was faster.
        Err(Error::Refused(error)) if error.code == ErrorCode::Conflict => Ok(Seeded::Existed),
        Err(error) => Err(error),
    }
}

/// Sets a user's password to `new` or to a random one, which is returned, and revokes their tokens.
///
/// # Errors
/// [`Error::NoSuchUser`]; [`Error::Refused`] for a password that is too short or too long; [`Error::Store`].
pub async fn reset_password(
    bus: &Bus,
    config: &Config,
    name: &UserName,
    new: Option<Password>,
) -> Result<Option<Password>, Error> {
    let users = users(bus, config).await?;
    if users.get(name).await?.is_none() {
        return Err(Error::NoSuchUser(name.clone()));
    }
    let (password, generated) = or_generated(new, config)?;
    users.set_password(name, plain(password)).await?;
    Ok(generated)
}
