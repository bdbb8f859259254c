//! Where one request ends and the next begins, as Redis frames them.

/// Length of the first request in these bytes; `None` while it is incomplete.
///
/// Bytes that are not a request, such as encrypted ones, count as a complete request.
pub(super) fn length(bytes: &[u8]) -> Option<usize> {
    let is_inline = bytes.first()?.is_ascii_alphabetic();
    if !is_inline && bytes[0] != b'*' {
        return Some(bytes.len());
    }
    let (head, mut end) = line(bytes, 0)?;
    let words = if is_inline { 0 } else { number(head) };
    for _ in 0..words {
        let (head, body) = line(bytes, end)?;
        end = body + number(head) + "\r\n".len();
    }
    (end <= bytes.len()).then_some(end)
}

/// The line that begins at `start`, and where the next begins.
fn line(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(start..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    Some((&rest[..end], start + end + 1))
}

/// The number in a line such as `*3` or `$12`; zero if there is none.
fn number(line: &[u8]) -> usize {
    let text = line.get(1..).and_then(|digits| std::str::from_utf8(digits).ok());
    text.and_then(|digits| digits.trim_end().parse().ok()).unwrap_or_default()
}

/// Returns `true` if the bytes stand somewhere in the request.
pub(super) fn contains(request: &[u8], pattern: &[u8]) -> bool {
    pattern.is_empty() || request.windows(pattern.len()).any(|part| part == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_where_its_last_word_does() {
        let request = b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\n";
        let two = [&request[..], b"PING\r\n"].concat();
        for cut in 1..request.len() {
            assert_eq!(length(&request[..cut]), None, "{cut}");
        }
        assert_eq!(length(&two), Some(request.len()));
        assert_eq!(length(&two[request.len()..]), Some("PING\r\n".len()));
        assert_eq!(length(b""), None);
        assert_eq!(length(b"\x16\x03\x01\x0a"), Some(4));
    }

    #[test]
    fn a_pattern_is_found_anywhere() {
        assert!(contains(b"abc", b"bc") && contains(b"abc", b"") && contains(b"", b""));
        assert!(!contains(b"abc", b"ac") && !contains(b"a", b"aa"));
    }
}
