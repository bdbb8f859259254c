//! The secret that a client sends.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// The first letters of a token, by which scanners for secrets find it.
const MARK: &str = "lockctl_";

/// A secret of 256 random bits, by which the service knows a client.
///
/// It is random and not chosen by a person, so its SHA-256 is enough to keep.
pub struct AccessToken(String);

impl AccessToken {
    /// Makes a new token.
    ///
    /// # Panics
    /// When the system has no random bytes.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).expect("the system has random bytes");
        Self(format!("{MARK}{}", hex(&bytes)))
    }

    /// The secret itself, for the client alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the secret, in hexadecimal digits, for the file of tokens.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex(&hash(self.0.as_bytes()))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// The hash under which a token is kept.
pub(super) fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits; `None` if the text is something else.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_long_and_new_each_time_and_not_printed() {
        let (one, other) = (AccessToken::random(), AccessToken::random());
        assert_eq!(one.reveal().len(), MARK.len() + 64);
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(format!("{one:?}"), "AccessToken(..)");
        assert_eq!(unhex(&one.sha256()).unwrap(), hash(one.reveal().as_bytes()));
    }

    #[test]
    fn digits_are_bytes_or_nothing() {
        assert_eq!(unhex("00fF").unwrap(), [0, 255]);
        for text in ["0", "0x", "é0", " 1"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
