//! Patterns of keys.

/// Returns the pattern that matches the text alone: every character that `SCAN .. MATCH` reads as
/// special is escaped.
///
/// # Examples
/// ```
/// use lock_redis_client::escape_glob;
///
/// assert_eq!(escape_glob("acme/in[fr]a") + "*", r"acme/in\[fr\]a*");
/// ```
#[must_use]
pub fn escape_glob(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        // `^` and `-` are special between brackets alone, where none is left. Escaped they mean
        // themselves.
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^' | '-') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_escaped_and_no_others() {
        assert_eq!(escape_glob(r"a*?[b-c^]\d"), r"a\*\?\[b\-c\^\]\\d");
        assert_eq!(escape_glob("{lock:0}:state:é/😀"), "{lock:0}:state:é/😀");
    }
}
