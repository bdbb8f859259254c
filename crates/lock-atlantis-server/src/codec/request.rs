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
    use proptest::prelude::*;

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

    /// The commands and the end of bytes that come in these pieces.
    fn in_pieces(bytes: &[u8], cuts: &[usize]) -> (Vec<Vec<Bytes>>, Option<Malformed>) {
        let (mut decoder, mut commands) = (Decoder::default(), Vec::new());
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for piece in cuts.windows(2) {
            decoder.buffer().extend_from_slice(&bytes[piece[0]..piece[1]]);
            loop {
                match decoder.next(LIMIT) {
                    Ok(Some(command)) => commands.push(command),
                    Ok(None) => break,
                    Err(malformed) => return (commands, Some(malformed)),
                }
            }
        }
        (commands, None)
    }

    /// Bytes that resemble commands, with any byte in them.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => Just(b"\r\n".to_vec()),
            2 => (0_usize..200).prop_map(|number| format!("*{number}\r\n").into_bytes()),
            4 => (0_usize..200).prop_map(|number| format!("${number}\r\n").into_bytes()),
            2 => "[*$:+0-9-]{1,20}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..20),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// `LOCK_FUZZ_CASES` has the number of cases of each of these.
    fn cases() -> ProptestConfig {
        let cases = std::env::var("LOCK_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
        ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(cases.unwrap_or(1000))
        }
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn pieces_make_no_difference_whatever_the_bytes(
            bytes in hostile(),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            prop_assert_eq!(in_pieces(&bytes, &cuts), in_pieces(&bytes, &[]));
        }

        #[test]
        fn command_is_read_as_it_was_written(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..5),
            cuts in prop::collection::vec(any::<usize>(), 0..20),
        ) {
            let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
            for part in &parts {
                bytes.extend(format!("${}\r\n", part.len()).bytes());
                bytes.extend(part);
                bytes.extend(b"\r\n");
            }
            let parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(in_pieces(&bytes, &cuts), (vec![parts], None));
        }
    }
}
