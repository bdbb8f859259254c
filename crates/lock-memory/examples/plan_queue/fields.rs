//! A JSON object read field by field, with a sentence for everything that is wrong with it.

use std::fmt;
use std::mem::take;
use std::time::Duration;

use lock_core::InvalidInput;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

/// The fields of an object that were not read yet, and what is wrong with those that were.
#[derive(Debug)]
pub(crate) struct Fields {
    unread: Vec<(String, Value)>,
    problems: Vec<String>,
}

impl Fields {
    /// Reads one line of JSON.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let Object(unread) = serde_json::from_slice(json).map_err(|error| explain(&error))?;
        Ok(Self { unread, problems: Vec::new() })
    }

    /// Takes out a field that is a text.
    pub(crate) fn text<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, InvalidInput>,
    ) -> Option<T> {
        self.field(name, |value| {
            let text = value.as_str().ok_or_else(|| not_a("string", value))?;
            read(text).map_err(|input| input.violation().to_string())
        })
    }

    /// Takes out a field that is a number of seconds, from 0 to `most`.
    pub(crate) fn seconds(&mut self, name: &str, most: Duration) -> Option<Duration> {
        self.field(name, |value| {
            let seconds = value.as_f64().ok_or_else(|| not_a("number", value))?;
            if seconds < 0.0 {
                return Err("is negative".to_owned());
            }
            Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|span| *span <= most)
                .ok_or_else(|| format!("is above {} seconds", most.as_secs()))
        })
    }

    /// Returns the problems of the object after all known fields were taken out.
    pub(crate) fn problems(mut self) -> Vec<String> {
        for (name, _) in &self.unread {
            // A name of any length is cut, so that the message stays one line.
            let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
            self.problems.push(format!("unknown field `{name}`"));
        }
        self.problems
    }

    fn field<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let (found, unread) = take(&mut self.unread).into_iter().partition(|(it, _)| it == name);
        self.unread = unread;
        let found: Vec<_> = found;
        let read = match found.as_slice() {
            [] => Err("is missing".to_owned()),
            [(_, value)] => read(value),
            _ => Err("stands twice".to_owned()),
        };
        read.map_err(|problem| self.problems.push(format!("field `{name}` {problem}"))).ok()
    }
}

fn not_a(wanted: &str, value: &Value) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    format!("is {kind}, not a {wanted}")
}

fn explain(error: &serde_json::Error) -> String {
    if error.classify() == Category::Data {
        return "not a JSON object".to_owned();
    }
    let (line, column) = (error.line(), error.column());
    let place = format!(" at line {line} column {column}");
    let text = error.to_string();
    format!("bad JSON at column {column}: {}", text.strip_suffix(&place).unwrap_or(&text))
}

/// A JSON object that keeps a field that stands twice.
struct Object(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EveryField)
    }
}

struct EveryField;

impl<'de> Visitor<'de> for EveryField {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object, M::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Object(fields))
    }
}
