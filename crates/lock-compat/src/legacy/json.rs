//! JSON as Go's `encoding/json` writes and reads it.

use std::fmt;
use std::io;

use serde::de::{DeserializeOwned, DeserializeSeed, Visitor};
use serde::{Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::ser::{Formatter, Serializer};
use serde_json::value::RawValue;

/// Value stored under a key that cannot be decoded.
///
/// It names the position of the fault and never the contents, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record {key:?} cannot be read: {reason}")]
#[non_exhaustive]
pub struct Damaged {
    /// The key of the record.
    pub key: String,
    /// The flaw.
    pub reason: String,
}

impl Damaged {
    /// The record of this key cannot be read for this reason.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }

    fn because(key: &str, error: &serde_json::Error) -> Self {
        // The text of the error may quote a value.
        let what = match error.classify() {
            Category::Eof => "it ends too early",
            Category::Data => "a value of another type",
            Category::Syntax | Category::Io => "it is not JSON",
        };
        Self::new(key, format!("{what} at line {} column {}", error.line(), error.column()))
    }
}

/// Writes a value to the byte as Go does: nothing between the words, and `<`, `>`, `&`, U+2028 and
/// U+2029 escaped.
///
/// # Panics
/// When a key of a map is no text, which no type of this module has.
#[must_use]
pub fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Go);
    value.serialize(&mut serializer).expect("a vector can be written to, and every key is a text");
    bytes
}

/// Reads a value as Go does: names of fields in any case, fields in any order, `null` and what is
/// missing as zero values.
///
/// Input that Go repairs silently and never writes is refused: invalid UTF-8, lone surrogates,
/// `null` in a list of strings. Of a duplicate name, only the last value counts.
///
/// # Errors
/// [`Damaged`], naming `key`, when the bytes are no such value.
pub fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Damaged> {
    // In Go null is the zero value also of the whole.
    serde_json::from_slice(bytes).map_err(|error| Damaged::because(key, &error))
}

/// Escapes the characters that Go escapes.
struct Go;

impl Formatter for Go {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = special.chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Fields that this version does not know, as they were written and in their order.
#[derive(Clone, Default)]
pub(super) struct Unknown(Vec<(String, Box<RawValue>)>);

impl Unknown {
    pub(super) fn push(&mut self, name: String, value: Box<RawValue>) {
        self.0.push((name, value));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, Box<RawValue>)> {
        self.0.iter()
    }
}

impl PartialEq for Unknown {
    fn eq(&self, other: &Self) -> bool {
        let text = |(name, value): &(String, Box<RawValue>)| (name.clone(), value.get().to_owned());
        self.0.iter().map(text).eq(other.0.iter().map(text))
    }
}

impl Eq for Unknown {}

/// Shows the names alone.
impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Reads the name of a field: one of these in any case, or else the text.
#[derive(Clone, Copy)]
pub(super) struct Names<'a>(pub(super) &'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Names<'_> {
    type Value = Result<&'static str, String>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Names<'_> {
    type Value = Result<&'static str, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let known = self.0.iter().find(|name| name.eq_ignore_ascii_case(text));
        Ok(known.copied().ok_or_else(|| text.to_owned()))
    }
}

/// Declares a record as Go has it: its fields by the names that are written, in the order in which
/// they are. A field `if present` is left out where it is `None`.
macro_rules! record {
    (
        $(#[$doc:meta])*
        pub struct $record:ident {
            $($(#[$field_doc:meta])* $name:literal $field:ident: $type:ty $(, if $present:ident)?;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $record {
            $($(#[$field_doc])* pub $field: $type,)*
            /// Unknown fields written by others, which are preserved.
            unknown: $crate::legacy::json::Unknown,
        }

        impl serde::Serialize for $record {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                $(record!(@write map, $name, &self.$field $(, $present)?);)*
                for (name, value) in self.unknown.iter() {
                    serde::ser::SerializeMap::serialize_entry(&mut map, name, value)?;
                }
                serde::ser::SerializeMap::end(map)
            }
        }

        impl<'de> serde::Deserialize<'de> for $record {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $record;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("a ", stringify!($record)))
                    }
                    fn visit_unit<E>(self) -> Result<$record, E> {
                        Ok($record::default())
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$record, A::Error> {
                        let mut record = $record::default();
                        let names = $crate::legacy::json::Names(&[$($name),*]);
                        while let Some(name) = map.next_key_seed(names)? {
                            let name = match name {
                                Ok(name) => name,
                                Err(unknown) => {
                                    record.unknown.push(unknown, map.next_value()?);
                                    continue;
                                }
                            };
                            $(if name == $name {
                                record!(@read map, record.$field $(, $present)?);
                                continue;
                            })*
                        }
                        Ok(record)
                    }
                }
                reader.deserialize_any(Fields)
            }
        }
    };
    // What is null stays zero.
    (@read $map:ident, $target:expr) => {
        if let Some(value) = $map.next_value()? {
            $target = value;
        }
    };
    (@read $map:ident, $target:expr, present) => {
        $target = Some($map.next_value::<Option<_>>()?.unwrap_or_default());
    };
    (@write $map:ident, $name:literal, $value:expr) => {
        serde::ser::SerializeMap::serialize_entry(&mut $map, $name, $value)?
    };
    (@write $map:ident, $name:literal, $value:expr, present) => {
        if let Some(value) = $value {
            serde::ser::SerializeMap::serialize_entry(&mut $map, $name, value)?;
        }
    };
}

/// Declares an enumeration that is written as a number, and keeps numbers that it does not know.
macro_rules! number {
    (
        $(#[$doc:meta])*
        pub enum $enum:ident {
            $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $enum {
            $($(#[$variant_doc])* $variant,)*
            /// A number of another version.
            Other(i64),
        }

        impl $enum {
            /// The number that is written.
            #[must_use]
            pub const fn number(self) -> i64 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(number) => number,
                }
            }
        }

        impl From<i64> for $enum {
            fn from(number: i64) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    number => Self::Other(number),
                }
            }
        }

        /// Meaning of the number 0, as in Go.
        impl Default for $enum {
            fn default() -> Self {
                Self::from(0)
            }
        }

        impl serde::Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.number())
            }
        }

        impl<'de> serde::Deserialize<'de> for $enum {
            fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                i64::deserialize(reader).map(Self::from)
            }
        }
    };
}

pub(super) use {number, record};
