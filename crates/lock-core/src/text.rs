//! The validated texts of the vocabulary: cheap to clone, checked once.

use std::fmt;
use std::sync::Arc;

use crate::invalid::{InvalidInput, check_text};

/// Declares a validated text: one line says the name of the field and its limit.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
        pub struct $name(Arc<str>);

        impl $name {
            /// The most bytes of UTF-8 that are allowed.
            pub const MAX_BYTES: usize = $limit;

            /// Checks `text` and keeps it.
            ///
            /// # Errors
            /// [`InvalidInput`] when the text is empty, too long, or has a control character.
            pub fn parse(text: impl AsRef<str>) -> Result<Self, InvalidInput> {
                let text = text.as_ref();
                check_text($field, Self::MAX_BYTES, text)?;
                Ok(Self(Arc::from(text)))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidInput;
            fn try_from(text: &str) -> Result<Self, InvalidInput> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidInput;
            fn try_from(text: String) -> Result<Self, InvalidInput> {
                Self::parse(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = InvalidInput;
            fn try_from(text: &String) -> Result<Self, InvalidInput> {
                Self::parse(text)
            }
        }

        impl From<&$name> for $name {
            fn from(text: &$name) -> Self {
                text.clone()
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidInput;
            fn from_str(text: &str) -> Result<Self, InvalidInput> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text! {
    /// What is locked: 1 to 1,024 bytes of UTF-8 without control characters.
    ///
    /// A key means nothing to the system: no character is special, no key contains another.
    ///
    /// # Examples
    /// ```
    /// use lock_core::LockKey;
    ///
    /// assert_eq!(LockKey::parse("acme/infra/prod")?.as_str(), "acme/infra/prod");
    /// let error = LockKey::parse("acme\0").unwrap_err();
    /// assert_eq!(error.to_string(), "key has a control character at byte 4");
    /// # Ok::<(), lock_core::InvalidInput>(())
    /// ```
    LockKey, "key", 1024
}

text! {
    /// Who holds or waits: a pull request, a process, a person; 1 to 1,024 bytes of UTF-8 without
    /// control characters.
    ///
    /// One owner may hold many keys, and may ask for one key more than once: each
    /// [`RequestId`](crate::RequestId) stands for itself.
    OwnerId, "owner", 1024
}

text! {
    /// Why an operator evicted a lease: 1 to 1,024 bytes of UTF-8 without control characters.
    Reason, "reason", 1024
}
