//! The keys that a search asks for: a part of the key, or a pattern with `*` and `?`.

use wildmatch::WildMatch;

/// The keys that a search asks for.
#[derive(Debug)]
pub(super) enum Search {
    /// All that contain this text; all keys without one.
    Part(String),
    /// All that match as a whole.
    Pattern { prefix: String, pattern: WildMatch },
}

impl Search {
    pub(super) fn parse(text: &str) -> Self {
        let text = text.trim();
        match text.find(['*', '?']) {
            Some(end) => {
                Self::Pattern { prefix: text[..end].to_owned(), pattern: WildMatch::new(text) }
            }
            None => Self::Part(text.to_owned()),
        }
    }

    /// What every such key begins with.
    pub(super) fn prefix(&self) -> &str {
        match self {
            Self::Part(_) => "",
            Self::Pattern { prefix, .. } => prefix,
        }
    }

    pub(super) fn matches(&self, key: &str) -> bool {
        match self {
            Self::Part(part) => key.contains(part),
            Self::Pattern { pattern, .. } => pattern.matches(key),
        }
    }

    /// Whether it asks for fewer than all keys with the prefix.
    pub(super) fn is_selective(&self) -> bool {
        !matches!(self, Self::Part(part) if part.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_part_and_stars_make_a_pattern() {
        let part = Search::parse(" infra ");
        assert!(part.matches("acme/infra/prod") && !part.matches("acme/shop"));
        assert_eq!(part.prefix(), "");
        let pattern = Search::parse("acme/*/prod");
        assert!(pattern.matches("acme/infra/a/prod"));
        assert!(!pattern.matches("acme/infra/prod/b") && !pattern.matches("x/acme/infra/prod"));
        assert_eq!(pattern.prefix(), "acme/");
        assert!(Search::parse("pr?d").matches("prod") && !Search::parse("pr?d").matches("proud"));
    }

    #[test]
    fn empty_text_asks_for_all() {
        assert!(!Search::parse("  ").is_selective() && Search::parse("").matches("any"));
        assert!(Search::parse("*a").is_selective());
    }
}
