//! Permissions, roles, and the one table that says which role holds what. Which operation of the API needs which
//! permission stands in the edge, in one table as well.

use serde::{Deserialize, Serialize};

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// Ask a model for predictions.
    #[serde(rename = "models:predict")]
    ModelsPredict,
    /// See models and their signatures.
    #[serde(rename = "models:read")]
    ModelsRead,
    /// Add and remove model versions.
    #[serde(rename = "models:write")]
    ModelsWrite,
    /// Encrypt.
    #[serde(rename = "crypto:encrypt")]
    CryptoEncrypt,
    /// Decrypt.
    #[serde(rename = "crypto:decrypt")]
    CryptoDecrypt,
    /// Rotate and export encryption keys.
    #[serde(rename = "admin:crypto")]
    AdminCrypto,
    /// Manage users.
    #[serde(rename = "admin:users")]
    AdminUsers,
    /// Manage API keys.
    #[serde(rename = "admin:api-keys")]
    AdminApiKeys,
    /// Take and restore backups.
    #[serde(rename = "admin:backup")]
    AdminBackup,
    /// See, cancel and remove everybody's jobs, but not their results.
    #[serde(rename = "admin:jobs")]
    AdminJobs,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 10] = [
        Self::ModelsPredict,
        Self::ModelsRead,
        Self::ModelsWrite,
        Self::CryptoEncrypt,
        Self::CryptoDecrypt,
        Self::AdminCrypto,
        Self::AdminUsers,
        Self::AdminApiKeys,
        Self::AdminBackup,
        Self::AdminJobs,
    ];

    /// The name, as tokens and documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModelsPredict => "models:predict",
            Self::ModelsRead => "models:read",
            Self::ModelsWrite => "models:write",
            Self::CryptoEncrypt => "crypto:encrypt",
            Self::CryptoDecrypt => "crypto:decrypt",
            Self::AdminCrypto => "admin:crypto",
            Self::AdminUsers => "admin:users",
            Self::AdminApiKeys => "admin:api-keys",
            Self::AdminBackup => "admin:backup",
            Self::AdminJobs => "admin:jobs",
        }
    }
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u32);

impl Permissions {
    /// Whether `permission` is in it.
    pub fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    fn of(list: &[Permission]) -> Self {
        Self(list.iter().fold(0, |set, p| set | 1 << *p as u32))
    }

    /// What any of `roles` holds.
    pub fn of_roles(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |set, role| set | role.permissions().0))
    }
}

/// What a user or an API key is in the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May do all.
    Admin,
    /// May predict and see models.
    Predictor,
    /// May sign in and nothing else.
    User,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Predictor, Self::User];

    /// The name, as tokens and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Predictor => "predictor",
            Self::User => "user",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// What it holds: the table of roles.
    pub fn permissions(self) -> Permissions {
        match self {
            Self::Admin => Permissions::of(&Permission::ALL),
            Self::Predictor => Permissions::of(&[Permission::ModelsPredict, Permission::ModelsRead]),
            Self::User => Permissions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_holds_what_the_table_does_not_give() {
        assert!(Permission::ALL.iter().all(|p| Role::Admin.permissions().contains(*p)));
        assert!(Permission::ALL.iter().all(|p| !Role::User.permissions().contains(*p)));
        let held: Vec<_> = Permission::ALL.into_iter().filter(|p| Role::Predictor.permissions().contains(*p)).collect();
        assert_eq!(held, [Permission::ModelsPredict, Permission::ModelsRead]);
        assert_eq!(Permissions::of_roles(&[]), Permissions::default());
    }

    #[test]
    fn names_are_those_that_serde_writes() {
        for p in Permission::ALL {
            assert_eq!(serde_json::to_value(p).unwrap(), p.as_str());
        }
        for r in Role::ALL {
            assert_eq!(serde_json::to_value(r).unwrap(), r.as_str());
            assert_eq!(Role::from_name(r.as_str()), Some(r));
        }
    }
}
