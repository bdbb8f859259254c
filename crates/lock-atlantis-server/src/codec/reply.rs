//! Answers, in the one or the other version of the protocol.

use std::borrow::Cow;

use bytes::{BufMut as _, Bytes, BytesMut};

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Status(&'static str),
    /// A word in capitals and a text.
    Error(&'static str, Cow<'static, str>),
    Integer(i64),
    Bulk(Bytes),
    Null,
    Array(Vec<Self>),
    /// Pairs, which are a flat array in RESP2.
    Map(Vec<(&'static str, Self)>),
}

impl Protocol {
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

impl Reply {
    pub(crate) const OK: Self = Self::Status("OK");

    /// An error without a special code.
    pub(crate) fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error("ERR", text.into())
    }

    pub(crate) fn bulk(bytes: impl Into<Bytes>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// Adds the bytes of the answer.
    pub(crate) fn write(&self, protocol: Protocol, out: &mut BytesMut) {
        match self {
            Self::Status(text) => line(out, b'+', text),
            Self::Error(code, text) => {
                // A line ends the answer.
                let text = text.replace(|c: char| c.is_control(), " ");
                line(out, b'-', &format!("{code} {text}"));
            }
            Self::Integer(number) => line(out, b':', &number.to_string()),
            Self::Bulk(bytes) => {
                line(out, b'$', &bytes.len().to_string());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Null => out.extend_from_slice(match protocol {
                Protocol::Resp2 => b"$-1\r\n",
                Protocol::Resp3 => b"_\r\n",
            }),
            Self::Array(items) => {
                line(out, b'*', &items.len().to_string());
                items.iter().for_each(|item| item.write(protocol, out));
            }
            Self::Map(pairs) => {
                match protocol {
                    Protocol::Resp2 => line(out, b'*', &(2 * pairs.len()).to_string()),
                    Protocol::Resp3 => line(out, b'%', &pairs.len().to_string()),
                }
                for (name, value) in pairs {
                    Self::bulk(*name).write(protocol, out);
                    value.write(protocol, out);
                }
            }
        }
    }
}

fn line(out: &mut BytesMut, mark: u8, text: &str) {
    out.put_u8(mark);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply, protocol: Protocol) -> String {
        let mut out = BytesMut::new();
        reply.write(protocol, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn answers_have_the_bytes_of_each_version() {
        let reply = Reply::Map(vec![
            ("a", Reply::Null),
            ("b", Reply::Array(vec![Reply::OK, Reply::Integer(-7), Reply::bulk("x\r\n")])),
        ]);
        let rest = "$1\r\nb\r\n*3\r\n+OK\r\n:-7\r\n$3\r\nx\r\n\r\n";
        assert_eq!(written(&reply, Protocol::Resp2), format!("*4\r\n$1\r\na\r\n$-1\r\n{rest}"));
        assert_eq!(written(&reply, Protocol::Resp3), format!("%2\r\n$1\r\na\r\n_\r\n{rest}"));
    }

    #[test]
    fn error_is_one_line_whatever_its_text() {
        let reply = Reply::error("a\r\n+OK\r\nb");
        assert_eq!(written(&reply, Protocol::Resp3), "-ERR a  +OK  b\r\n");
    }
}
