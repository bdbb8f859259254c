//! The identities that clients make: 128 random bits each, of requests, sessions and mailboxes.

use std::fmt;

use crate::model::invalid::{InvalidInput, Violation};

/// Declares an identity of 128 bits: one line says the name of the field.
macro_rules! identity {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
        pub struct $name {
            // Two halves, so that the alignment is that of a word.
            high: u64,
            low: u64,
        }

        impl $name {
            /// Makes a new identity.
            #[must_use]
            pub fn random() -> Self {
                Self::from_bits(crate::model::random::random())
            }

            /// The identity with these bits.
            #[must_use]
            pub const fn from_bits(bits: u128) -> Self {
                Self { high: (bits >> 64) as u64, low: bits as u64 }
            }

            /// The bits of the identity.
            #[must_use]
            pub const fn to_bits(self) -> u128 {
                (self.high as u128) << 64 | self.low as u128
            }

            /// Reads the form that [`Display`](fmt::Display) writes: 32 lower-case hexadecimal
            /// digits.
            ///
            /// # Errors
            /// [`InvalidInput`] when the text has another form.
            pub fn parse(text: &str) -> Result<Self, InvalidInput> {
                parse($field, text).map(Self::from_bits)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}{:016x}", self.high, self.low)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidInput;
            fn try_from(text: String) -> Result<Self, InvalidInput> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(identity: $name) -> Self {
                identity.to_string()
            }
        }
    };
}

identity! {
    /// One attempt to get one key: 128 random bits made by the caller.
    ///
    /// It is the idempotency key: the same request sent twice has one effect, whatever the network
    /// did in between. The granted lease keeps it.
    RequestId, "request"
}

identity! {
    /// Session of an owner: one line of work that holds leases while it waits for more.
    ///
    /// Deadlocks are between sessions, never between owners: two tasks of one process may share an
    /// owner. A request without a session has its own, with the bits of the request.
    SessionId, "session"
}

identity! {
    /// Mailbox for the notices of a manager, one per manager.
    ///
    /// See [`LockBackend::listen`](crate::LockBackend::listen).
    MailboxId, "mailbox"
}

impl From<RequestId> for SessionId {
    /// The session of a request that stands alone.
    fn from(request: RequestId) -> Self {
        Self::from_bits(request.to_bits())
    }
}

fn parse(field: &'static str, text: &str) -> Result<u128, InvalidInput> {
    let malformed =
        || InvalidInput::new(field, Violation::Malformed { expected: "32 lower-case hex digits" });
    let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 32 || !text.bytes().all(digit) {
        return Err(malformed());
    }
    u128::from_str_radix(text, 16).map_err(|_| malformed())
}
