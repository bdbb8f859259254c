//! What a client hands back and must not read.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::token::{hex, unhex};

/// Keys of this process, with which it hides what a client hands back. They are gone with the process:
/// a page of another process is refused, and its listing begins again.
pub(super) struct Seal {
    cursors: LessSafeKey,
    names: hmac::Key,
    random: SystemRandom,
}

impl Seal {
    pub(super) fn random() -> Self {
        let random = SystemRandom::new();
        let mut bytes = [0; 32];
        random.fill(&mut bytes).expect("the system has random bytes");
        let cursors = UnboundKey::new(&CHACHA20_POLY1305, &bytes).expect("the key has 32 bytes");
        let names = hmac::Key::generate(hmac::HMAC_SHA256, &random);
        let names = names.expect("the system has random bytes");
        Self { cursors: LessSafeKey::new(cursors), names, random }
    }

    /// Makes a text unreadable. It is opened for the same purpose alone.
    pub(super) fn closed(&self, purpose: &str, text: &str) -> String {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).expect("the system has random bytes");
        let mut bytes = text.as_bytes().to_vec();
        let sealed = Nonce::assume_unique_for_key(nonce);
        let sealed = self.cursors.seal_in_place_append_tag(sealed, Aad::from(purpose), &mut bytes);
        sealed.expect("the text is short");
        hex(&[&nonce[..], &bytes].concat())
    }

    /// Reads what this process made unreadable for this purpose.
    pub(super) fn opened(&self, purpose: &str, text: &str) -> Option<String> {
        let bytes = unhex(text)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.cursors.open_in_place(nonce, Aad::from(purpose), &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }

    /// Another identity in place of one: the same for the same, and of no use.
    pub(super) fn pseudonym(&self, bits: u128) -> u128 {
        let tag = hmac::sign(&self.names, &bits.to_be_bytes());
        tag.as_ref().iter().take(16).fold(0, |bits, byte| bits << 8 | u128::from(*byte))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_by_the_process_that_sealed_it_alone() {
        let (seal, other) = (Seal::random(), Seal::random());
        let closed = seal.closed("locks", "secret/key");
        assert_eq!(seal.opened("locks", &closed).unwrap(), "secret/key");
        assert_eq!((other.opened("locks", &closed), seal.opened("waits", &closed)), (None, None));
        for text in ["", "00", "secret/key", &closed[2..]] {
            assert_eq!(seal.opened("locks", text), None, "{text}");
        }
    }

    #[test]
    fn pseudonym_is_steady_and_tells_nothing() {
        let (seal, other) = (Seal::random(), Seal::random());
        assert_eq!(seal.pseudonym(7), seal.pseudonym(7));
        assert!(seal.pseudonym(7) != seal.pseudonym(8) && seal.pseudonym(7) != 7);
        assert_ne!(seal.pseudonym(7), other.pseudonym(7));
    }
}
