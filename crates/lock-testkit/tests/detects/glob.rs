//! Patterns as some stores know them: `*` is any text, `?` any character.

/// Returns `true` if the text matches the pattern.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('*') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| matches(rest.as_str(), &text[at..]))
        }
        Some(wanted) => {
            let mut others = text.chars();
            let found = others.next();
            found.is_some_and(|found| wanted == '?' || wanted == found)
                && matches(rest.as_str(), others.as_str())
        }
    }
}
