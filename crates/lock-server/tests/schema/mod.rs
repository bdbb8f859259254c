//! The description, and the part of JSON Schema that it uses.

use reqwest::Method;
use serde_json::{Map, Value};

/// The description of the service.
pub(crate) struct Description {
    pub(crate) document: Value,
}

/// A request that the description shows.
pub(crate) struct Example {
    /// Path and query.
    pub(crate) at: String,
    pub(crate) body: Option<Value>,
}

impl Description {
    pub(crate) fn read() -> Self {
        Self { document: serde_json::from_str(include_str!("../../openapi.json")).unwrap() }
    }

    /// Method, path and description of each operation.
    pub(crate) fn operations(&self) -> Vec<(Method, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap().iter();
        let operations = paths.flat_map(|(path, operations)| {
            operations.as_object().unwrap().iter().map(move |(method, operation)| {
                (method.to_uppercase().parse().unwrap(), path.as_str(), operation)
            })
        });
        operations.collect()
    }

    fn operation(&self, method: &Method, path: &str) -> &Value {
        &self.document["paths"][path][method.as_str().to_lowercase()]
    }

    /// The body of a request.
    pub(crate) fn body(&self, method: &Method, path: &str) -> &Value {
        &self.operation(method, path)["requestBody"]["content"]["application/json"]
    }

    /// An answer, which must be described.
    pub(crate) fn answer(&self, method: &Method, path: &str, status: u16) -> &Value {
        let answer = &self.operation(method, path)["responses"][status.to_string()];
        assert!(answer.is_object(), "{method} {path}: {status} is not described");
        self.resolved(answer)
    }

    /// The examples of a request: each body, or the parameters with their examples.
    pub(crate) fn examples(&self, method: &Method, path: &str, operation: &Value) -> Vec<Example> {
        if operation.get("requestBody").is_some() {
            let examples = self.body(method, path)["examples"].as_object().unwrap().values();
            let bodies = examples.map(|example| Some(example["value"].clone()));
            return bodies.map(|body| Example { at: path.to_owned(), body }).collect();
        }
        let (mut at, mut query) = (path.to_owned(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let Some(example) = parameter.get("example") else { continue };
            let faults = self.faults(&parameter["schema"], example);
            assert_eq!(faults, [""; 0], "{path}: {parameter}");
            let name = parameter["name"].as_str().unwrap();
            let value = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str().unwrap() {
                "path" => at = at.replace(&format!("{{{name}}}"), &value),
                _ => query.push(format!("{name}={value}")),
            }
        }
        vec![Example { at: format!("{at}?{}", query.join("&")), body: None }]
    }

    /// Everything that has a schema and examples: the bodies of requests and answers.
    pub(crate) fn contents(&self) -> Vec<&Value> {
        let mut contents = Vec::new();
        let mut values = vec![&self.document];
        while let Some(value) = values.pop() {
            if let Some(content) = value.get("content").and_then(Value::as_object) {
                contents.extend(content.values());
            }
            match value {
                Value::Array(items) => values.extend(items),
                Value::Object(fields) => values.extend(fields.values()),
                _ => {}
            }
        }
        contents
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(name) => self.document.pointer(name.strip_prefix('#').unwrap()).unwrap(),
            None => value,
        }
    }

    /// Where a value is not as its schema says.
    pub(crate) fn faults(&self, schema: &Value, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(schema, value, "", &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = schema.as_object().unwrap();
        for (word, rule) in schema {
            let is_kept = match word.as_str() {
                "$ref" => {
                    let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    self.check(self.document.pointer(target).unwrap(), value, at, faults);
                    true
                }
                "oneOf" => {
                    let fits = |schema: &&Value| self.faults(schema, value).is_empty();
                    rule.as_array().unwrap().iter().filter(fits).count() == 1
                }
                "type" => is_of_type(rule, value),
                "const" => rule == value,
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_u64().is_none_or(|it| it >= rule.as_u64().unwrap()),
                "maximum" => value.as_u64().is_none_or(|it| it <= rule.as_u64().unwrap()),
                "minLength" => text(value).is_none_or(|it| it >= rule.as_u64().unwrap()),
                "maxLength" => text(value).is_none_or(|it| it <= rule.as_u64().unwrap()),
                "pattern" => {
                    assert_eq!(rule, "^[0-9a-f]{32}$", "a pattern that this test does not know");
                    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                    value.as_str().is_some_and(|it| it.len() == 32 && it.chars().all(is_digit))
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}/{index}"), faults);
                    }
                    true
                }
                "required" => {
                    let names = rule.as_array().unwrap().iter();
                    let names = names.map(|name| name.as_str().unwrap());
                    let missing = names.filter(|name| value.get(name).is_none());
                    faults.extend(missing.map(|name| format!("{at}/{name} is missing")));
                    true
                }
                "properties" => {
                    self.check_fields(schema, value, at, faults);
                    true
                }
                "additionalProperties" => {
                    if !schema.contains_key("properties") {
                        self.check_fields(schema, value, at, faults);
                    }
                    true
                }
                "description" | "default" => true,
                unknown => panic!("this test does not know `{unknown}`"),
            };
            if !is_kept {
                faults.push(format!("{at}: {value} is not `{word}` {rule}"));
            }
        }
    }

    fn check_fields(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        for (name, field) in value.as_object().into_iter().flatten() {
            let at = format!("{at}/{name}");
            let known = schema.get("properties").and_then(|properties| properties.get(name));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(Value::Bool(false)) => faults.push(format!("{at} is not described")),
                Some(schema) => self.check(schema, field, &at, faults),
                None => {}
            }
        }
    }
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("this test does not know the type {other}"),
    };
    rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
}

/// The length of a text.
fn text(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}
