//! Declaration of validated texts: checked once, cheap to clone.

/// Declares a validated text: one line says the name of the field and its limit.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $limit:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Maximum length, in bytes of UTF-8.
            pub const MAX_BYTES: usize = $limit;

            /// Validates `text`.
            ///
            /// # Errors
            /// [`InvalidInput`](crate::InvalidInput) when the text is empty, too long, or has a control character.
            pub fn parse(text: impl AsRef<str>) -> Result<Self, $crate::InvalidInput> {
                let text = text.as_ref();
                $crate::model::invalid::check_text($field, Self::MAX_BYTES, text)?;
                Ok(Self(std::sync::Arc::from(text)))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::InvalidInput;
            fn try_from(text: &str) -> Result<Self, $crate::InvalidInput> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::InvalidInput;
            fn try_from(text: String) -> Result<Self, $crate::InvalidInput> {
                Self::parse(text)
            }
        }

        impl TryFrom<&String> for $name {
            type Error = $crate::InvalidInput;
            fn try_from(text: &String) -> Result<Self, $crate::InvalidInput> {
                Self::parse(text)
            }
        }

        impl From<&$name> for $name {
            fn from(text: &$name) -> Self {
                text.clone()
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::InvalidInput;
            fn from_str(text: &str) -> Result<Self, $crate::InvalidInput> {
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

pub(crate) use text;
