//! Argon2id (RFC 9106), whose memory goes back to the system after each hash: the argon2 crate's own is kept by the C
//! library for the next sign-in, which doubles what a process at rest holds.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{CustomizedPasswordHasher, Error, PasswordHasher, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Blocks of 1 KiB. glibc maps at least what is larger than 32 MiB for itself alone (mallopt(3), `M_MMAP_THRESHOLD`);
/// of what is mapped only the blocks that are used take memory.
const MAPPED: usize = (32 << 10) + 64;

/// Hashes with these parameters; verifies with those of the hash.
pub(crate) struct Argon2id(pub(crate) Params);

impl PasswordHasher<PasswordHash> for Argon2id {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> Result<PasswordHash> {
        self.hash_password_customized(password, salt, None, None, self.0.clone())
    }
}

/// With this the password_hash crate verifies, in constant time.
impl CustomizedPasswordHasher<PasswordHash> for Argon2id {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> Result<PasswordHash> {
        let algorithm = algorithm.map_or(Ok(Algorithm::Argon2id), Algorithm::try_from)?;
        let version = version.map_or(Ok(Version::V0x13), Version::try_from)?;
        let (salt, text) = (Salt::new(salt)?, ParamsString::try_from(&params)?);
        let mut output = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let output = output.get_mut(..length).ok_or(Error::OutputSize)?;
        let blocks = params.block_count();
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks.max(MAPPED)).map_err(|_| argon2::Error::OutOfMemory)?;
        memory.resize(blocks, Block::default());
        Argon2::new(algorithm, version, params).hash_password_into_with_memory(password, &salt, output, &mut memory)?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: text,
            salt: Some(salt),
            hash: Some(Output::new(output)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier;

    use super::*;

    /// The argon2 crate's own way, which its tests hold against the reference implementation.
    #[test]
    fn hashes_are_those_of_the_crate() {
        let params = Params::new(64, 2, 1, None).unwrap();
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let ours = Argon2id(params);
        let salt = [7; 16];
        let hash = ours.hash_password_with_salt(b"correct horse", &salt).unwrap();
        assert_eq!(hash, theirs.hash_password_with_salt(b"correct horse", &salt).unwrap());
        for other in [Algorithm::Argon2i, Algorithm::Argon2d] {
            let theirs = Argon2::new(other, Version::V0x10, Params::new(32, 3, 2, Some(24)).unwrap());
            let hash = theirs.hash_password_with_salt(b"correct horse", &salt).unwrap();
            ours.verify_password(b"correct horse", &hash).unwrap();
            assert!(matches!(ours.verify_password(b"correct horsE", &hash), Err(Error::PasswordInvalid)));
        }
    }
}
