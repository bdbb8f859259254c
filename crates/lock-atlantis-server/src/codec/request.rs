//! Commands: arrays of byte strings, which RESP2 and RESP3 write alike.

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

/// Maximum number of parts of a command.
const MOST_PARTS: usize = 64;
/// Maximum number of bytes of the line of a length.
const LONGEST_LINE: usize = 16;

/// Cuts commands from the bytes of a connection, in whatever pieces they come.
///
/// Nothing is allocated for what is only announced, and no byte is looked at twice.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    buffer: BytesMut,
    /// The parts of the present command so far.
    parts: Vec<Bytes>,
    /// The number of its parts that are missing.
    missing: usize,
    /// The length of the part that is read; `None` before its line.
    length: Option<usize>,
    /// The bytes of the present command that were announced.
    announced: usize,
}

/// What is no command of the protocol, or too large. The connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Something else than an array of byte strings.
    NoCommand,
    /// A length that is no number, or no line.
    Length,
    /// Too many parts.
    Parts,
    /// Too many bytes.
    Bytes,
}

impl Decoder {
    /// Where to add bytes.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Returns `true` if a part of a command is there.
    pub(crate) fn is_within_a_command(&self) -> bool {
        !self.buffer.is_empty() || self.missing > 0
    }

    /// The parts of the next command, of at most `limit` bytes; `None` if more bytes are needed.
    pub(crate) fn next(&mut self, limit: usize) -> Result<Option<Vec<Bytes>>, Malformed> {
        while self.missing == 0 {
            let Some(parts) = self.line(b'*')? else { return Ok(None) };
            if parts > MOST_PARTS {
                return Err(Malformed::Parts);
            }
            // An empty array is no command, and has no answer.
            (self.missing, self.announced) = (parts, 0);
        }
        while self.missing > 0 {
            let length = match self.length {
                Some(length) => length,
                None => {
                    let Some(length) = self.line(b'$')? else { return Ok(None) };
                    self.announced = self.announced.saturating_add(length);
                    if self.announced > limit {
                        return Err(Malformed::Bytes);
                    }
                    *self.length.insert(length)
                }
            };
            if self.buffer.len() < length + 2 {
                return Ok(None);
            }
            self.parts.push(self.buffer.split_to(length).freeze());
            if self.buffer[..2] != *b"\r\n" {
                return Err(Malformed::Length);
            }
            self.buffer.advance(2);
            self.length = None;
            self.missing -= 1;
        }
        Ok(Some(std::mem::take(&mut self.parts)))
    }

    /// The number on a line that begins with `mark`; `None` if the line is not whole yet.
    fn line(&mut self, mark: u8) -> Result<Option<usize>, Malformed> {
        let Some(&first) = self.buffer.first() else { return Ok(None) };
        if first != mark {
            return Err(Malformed::NoCommand);
        }
        let seen = &self.buffer[..self.buffer.len().min(LONGEST_LINE)];
        let Some(end) = seen.iter().position(|&byte| byte == b'\n') else {
            return if seen.len() < LONGEST_LINE { Ok(None) } else { Err(Malformed::Length) };
        };
        let digits = seen[1..end].strip_suffix(b"\r").ok_or(Malformed::Length)?;
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed::Length);
        }
        let number = digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        self.buffer.advance(end + 1);
        Ok(Some(number))
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCommand => "Protocol error: a command is an array of byte strings",
            Self::Length => "Protocol error: invalid length",
            Self::Parts => "Protocol error: the command has too many parts",
            Self::Bytes => "Protocol error: the command is too large",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    fn all(bytes: &[u8]) -> Result<Vec<Vec<Bytes>>, Malformed> {
        let mut decoder = Decoder::default();
        decoder.buffer().extend_from_slice(bytes);
        let mut commands = Vec::new();
        while let Some(command) = decoder.next(LIMIT)? {
            commands.push(command);
        }
        Ok(commands)
    }

    #[test]
    fn commands_are_cut_from_a_pipeline() {
        let commands =
            all(b"*1\r\n$4\r\nPING\r\n*0\r\n*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n*1\r\n$4\r\nPI");
        assert_eq!(commands.unwrap(), [vec!["PING"], vec!["GET", "\r\n"]]);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Malformed::NoCommand),
            (b"PING\r\n", Malformed::NoCommand),
            (b"*1\r\n:4\r\n", Malformed::NoCommand),
            (b"*1\r\n*1\r\n", Malformed::NoCommand),
            (b"*-1\r\n", Malformed::Length),
            (b"*\r\n", Malformed::Length),
            (b"*1\n", Malformed::Length),
            (b"*1\r\n$-1\r\n", Malformed::Length),
            (b"*0000000000000000000001\r\n", Malformed::Length),
            (b"*1\r\n$4\r\nPINGPONG", Malformed::Length),
            (b"*1000000000\r\n", Malformed::Parts),
            (b"*1\r\n$101\r\n", Malformed::Bytes),
            (b"*2\r\n$1\r\nx\r\n$100\r\n", Malformed::Bytes),
            (b"*1\r\n$99999999999\r\n", Malformed::Bytes),
        ] {
            assert_eq!(all(bytes).unwrap_err(), expected, "{}", bytes.escape_ascii());
        }
    }
}
