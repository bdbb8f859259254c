//! The commands that are known, of all that Redis has.

use bytes::Bytes;

use crate::codec::{Protocol, Reply};
use crate::script::Script;

/// A command that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Hello {
        protocol: Option<Protocol>,
        secret: Option<Bytes>,
    },
    Auth {
        secret: Bytes,
    },
    Ping(Option<Bytes>),
    Echo(Bytes),
    /// What a client tells of itself, which nothing here depends on.
    Told,
    ClientId,
    Quit,
    Scan {
        pattern: Bytes,
    },
    Get {
        key: Bytes,
    },
    Set {
        key: Bytes,
        value: Bytes,
        form: SetForm,
    },
    Del {
        key: Bytes,
    },
    Eval {
        script: Script,
        key: Bytes,
        arguments: Vec<Bytes>,
    },
}

/// How a `SET` that finds something in its way is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetForm {
    /// By an error.
    Plain,
    /// By nothing: `SET key value NX`.
    IfFree,
    /// By 0: `SETNX`.
    IfFreeByNumber,
}

impl Command {
    /// The command of these parts, or what to answer in its place.
    pub(crate) fn parse(parts: Vec<Bytes>) -> Result<Self, Reply> {
        let mut parts = parts.into_iter();
        let name = parts.next().unwrap_or_default();
        let rest: Vec<Bytes> = parts.collect();
        match (&*upper(&name), &*rest) {
            ("HELLO", options) => Self::hello(options),
            ("AUTH", [secret]) | ("AUTH", [_, secret]) => Ok(Self::Auth { secret: secret.clone() }),
            ("CLIENT", [name, options @ ..]) => Self::client(name, options),
            ("PING", []) => Ok(Self::Ping(None)),
            ("PING", [text]) => Ok(Self::Ping(Some(text.clone()))),
            ("ECHO", [text]) => Ok(Self::Echo(text.clone())),
            ("SELECT", [number]) if &**number == b"0" => Ok(Self::Told),
            ("SELECT", [_]) => {
                Err(Reply::error("DB index is out of range: this lock server has one database, 0"))
            }
            ("QUIT", []) => Ok(Self::Quit),
            ("SCAN", [cursor, options @ ..]) => Self::scan(cursor, options),
            ("GET", [key]) => Ok(Self::Get { key: key.clone() }),
            ("SET", [key, value]) => Ok(Self::set(key, value, SetForm::Plain)),
            ("SET", [key, value, option]) if upper(option) == "NX" => {
                Ok(Self::set(key, value, SetForm::IfFree))
            }
            ("SET", [_, _, ..]) => Err(Reply::error(
                "syntax error: this lock server keeps no time to live, and SET has the option NX alone",
            )),
            ("SETNX", [key, value]) => Ok(Self::set(key, value, SetForm::IfFreeByNumber)),
            ("DEL", [key]) => Ok(Self::Del { key: key.clone() }),
            ("DEL", [_, ..]) => Err(Reply::error("this lock server deletes one key at a time")),
            ("EVAL", [script, count, rest @ ..]) => Self::eval(script, count, rest),
            (
                known @ ("AUTH" | "CLIENT" | "PING" | "ECHO" | "SELECT" | "QUIT" | "SCAN" | "GET"
                | "SET" | "SETNX" | "DEL" | "EVAL"),
                _,
            ) => Err(Reply::error(format!(
                "wrong number of arguments for '{}' command",
                known.to_ascii_lowercase()
            ))),
            _ => Err(unknown(&name)),
        }
    }

    fn hello(options: &[Bytes]) -> Result<Self, Reply> {
        let Some((version, mut options)) = options.split_first() else {
            return Ok(Self::Hello { protocol: None, secret: None });
        };
        let protocol = match &**version {
            b"2" => Protocol::Resp2,
            b"3" => Protocol::Resp3,
            _ => return Err(Reply::Error("NOPROTO", "unsupported protocol version".into())),
        };
        let mut secret = None;
        while let Some((option, rest)) = options.split_first() {
            options = match (&*upper(option), rest) {
                ("AUTH", [_, given, rest @ ..]) => {
                    secret = Some(given.clone());
                    rest
                }
                ("SETNAME", [_, rest @ ..]) => rest,
                _ => return Err(Reply::error("syntax error in HELLO")),
            };
        }
        Ok(Self::Hello { protocol: Some(protocol), secret })
    }

    fn client(name: &Bytes, options: &[Bytes]) -> Result<Self, Reply> {
        match (&*upper(name), options) {
            ("SETINFO", [_, _]) | ("SETNAME", [_]) => Ok(Self::Told),
            ("ID", []) => Ok(Self::ClientId),
            _ => Err(Reply::error(format!(
                "unknown subcommand '{}': this is a lock server for Atlantis",
                printable(name)
            ))),
        }
    }

    fn scan(cursor: &Bytes, options: &[Bytes]) -> Result<Self, Reply> {
        if &**cursor != b"0" {
            return Err(Reply::error("invalid cursor: this lock server answers SCAN in one piece"));
        }
        let mut pattern = None;
        for option in options.chunks(2) {
            match option {
                [name, value] if upper(name) == "MATCH" => pattern = Some(value.clone()),
                // All keys are answered at once.
                [name, _] if upper(name) == "COUNT" => {}
                _ => return Err(Reply::error("syntax error in SCAN")),
            }
        }
        let text = "this lock server scans for MATCH pr/*, pr* and pr/REPOSITORY* alone";
        pattern.map(|pattern| Self::Scan { pattern }).ok_or_else(|| Reply::error(text))
    }

    fn set(key: &Bytes, value: &Bytes, form: SetForm) -> Self {
        Self::Set { key: key.clone(), value: value.clone(), form }
    }

    fn eval(script: &Bytes, count: &Bytes, rest: &[Bytes]) -> Result<Self, Reply> {
        let Some(known) = Script::parse(script) else {
            return Err(Reply::error(
                "unknown script: this lock server executes none, and knows those of Atlantis that have one key",
            ));
        };
        match (&**count, rest) {
            (b"1", [key, arguments @ ..]) => {
                Ok(Self::Eval { script: known, key: key.clone(), arguments: arguments.to_vec() })
            }
            _ => Err(Reply::error("wrong number of keys for this script")),
        }
    }
}

/// A command that is not served.
fn unknown(name: &[u8]) -> Reply {
    Reply::error(format!(
        "unknown command '{}': this is a lock server for Atlantis, and no Redis",
        printable(name)
    ))
}

fn upper(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..32).unwrap_or(name)).to_ascii_uppercase()
}

/// The beginning of a text that a client sent, for an error.
pub(crate) fn printable(text: &[u8]) -> String {
    text.get(..64).unwrap_or(text).escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, String> {
        let parts = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        Command::parse(parts).map_err(|reply| match reply {
            Reply::Error(code, text) => format!("{code} {text}"),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn commands_that_atlantis_sends_are_known_in_any_case() {
        let secret = Some(Bytes::from("s"));
        let hello = Command::Hello { protocol: Some(Protocol::Resp3), secret };
        assert_eq!(parsed(&["hello", "3", "auth", "default", "s", "SETNAME", "n"]), Ok(hello));
        for words in [
            &["client", "setinfo", "LIB-NAME", "go-redis(,go1.25)"][..],
            &["CLIENT", "SETNAME", "x"],
            &["select", "0"],
        ] {
            assert_eq!(parsed(words), Ok(Command::Told), "{words:?}");
        }
        let scan = Command::Scan { pattern: Bytes::from("pr/*") };
        assert_eq!(parsed(&["scan", "0", "match", "pr/*"]), Ok(scan.clone()));
        assert_eq!(parsed(&["SCAN", "0", "COUNT", "10", "MATCH", "pr/*"]), Ok(scan));
        for (words, form) in [
            (&["set", "k", "v"][..], SetForm::Plain),
            (&["set", "k", "v", "nx"], SetForm::IfFree),
            (&["setnx", "k", "v"], SetForm::IfFreeByNumber),
        ] {
            assert_eq!(parsed(words), Ok(Command::set(&"k".into(), &"v".into(), form)));
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        for (words, expected) in [
            (&["KEYS", "*"][..], "unknown command 'KEYS': this is a lock server"),
            (&["EVALSHA", "x", "1", "k"], "unknown command 'EVALSHA'"),
            (&["FLUSHALL"], "unknown command 'FLUSHALL'"),
            (&["\r\n+OK"], "unknown command '\\r\\n+OK'"),
            (&[""], "unknown command ''"),
            (&["client", "maint_notifications", "ON"], "unknown subcommand 'maint_notifications'"),
            (&["SET", "k", "v", "EX", "1"], "no time to live"),
            (&["SET", "k"], "wrong number of arguments for 'set'"),
            (&["GET"], "wrong number of arguments for 'get'"),
            (&["DEL", "a", "b"], "one key at a time"),
            (&["SELECT", "1"], "one database"),
            (&["SCAN", "0"], "pr/REPOSITORY*"),
            (&["SCAN", "7", "MATCH", "pr/*"], "in one piece"),
            (&["SCAN", "0", "TYPE", "string"], "syntax error"),
            (&["HELLO", "4"], "NOPROTO"),
            (&["HELLO", "3", "AUTH", "x"], "syntax error in HELLO"),
            (&["EVAL", "return 1", "0"], "unknown script"),
        ] {
            let said = parsed(words).unwrap_err();
            assert!(said.contains(expected), "{words:?}: {said}");
        }
    }

    #[test]
    fn known_script_takes_one_key() {
        let script = crate::script::UNLOCK;
        assert!(parsed(&["EVAL", script, "1", "pr/a", "7"]).is_ok());
        assert!(parsed(&["EVAL", script, "2", "pr/a", "pr/b", "7"]).is_err());
        assert!(parsed(&["EVAL", script, "1"]).is_err());
    }
}
