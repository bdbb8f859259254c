//! The scripts that Atlantis sends, which are recognised and never executed.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A script of Atlantis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// Ends the lock of a project if it is that of a pull request.
    UnlockIfOwnedByPull,
    /// Puts a status in the place of the one that was read.
    CompareAndSwapStatus,
}

/// Atlantis' programs in other words.
pub(crate) const UNLOCK: &str = include_str!("scripts/unlock_if_owned_by_pull.lua");
const SWAP: &str = include_str!("scripts/compare_and_swap_status.lua");

static KNOWN: LazyLock<[(Vec<String>, Script); 2]> = LazyLock::new(|| {
    [(normal(UNLOCK), Script::UnlockIfOwnedByPull), (normal(SWAP), Script::CompareAndSwapStatus)]
});

/// Longest script that is looked at.
const LONGEST: usize = 4096;

impl Script {
    /// The script of this text. Names of its variables, spaces, comments and the words of its errors
    /// may be others: the program is the same.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= LONGEST)?;
        let normal = normal(text);
        KNOWN.iter().find(|(known, _)| *known == normal).map(|(_, script)| *script)
    }
}

/// The words of a program, with its local variables numbered, and without the words of its errors.
fn normal(text: &str) -> Vec<String> {
    let mut locals: HashMap<&str, usize> = HashMap::new();
    let mut normal: Vec<String> = Vec::new();
    // Whether the names that follow are declared.
    let mut is_declared = false;
    for word in Words(text) {
        let is_name = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let is_field = normal.last().is_some_and(|last| last == ".");
        if is_declared && is_name {
            let number = locals.len();
            locals.entry(word).or_insert(number);
        } else if word != "," {
            is_declared = word == "local";
        }
        let is_error =
            matches!(normal.as_slice(), [.., name, open] if name == "error_reply" && open == "(");
        normal.push(match (word.chars().next(), locals.get(word)) {
            (Some('"' | '\''), _) if is_error => "$".to_owned(),
            (Some('"' | '\''), _) => {
                format!("\"{}\"", word.get(1..word.len() - 1).unwrap_or_default())
            }
            (_, Some(number)) if !is_field => format!("${number}"),
            _ => word.to_owned(),
        });
    }
    normal
}

/// The words of a program: names, numbers, strings and signs.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start();
            match self.0.strip_prefix("--") {
                Some(comment) => self.0 = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => break,
            }
        }
        let first = self.0.chars().next()?;
        let length = if first.is_ascii_alphanumeric() || first == '_' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            self.0.find(|c| !is_part(c)).unwrap_or(self.0.len())
        } else if first == '"' || first == '\'' {
            // A string without its end is the rest, and no known program.
            self.0[1..].find(first).map_or(self.0.len(), |end| end + 2)
        } else if ["~=", "==", "..", "<=", ">="].iter().any(|sign| self.0.starts_with(sign)) {
            2
        } else {
            first.len_utf8()
        };
        let (word, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_is_known_under_other_names_spaces_and_words() {
        assert_eq!(Script::parse(UNLOCK.as_bytes()), Some(Script::UnlockIfOwnedByPull));
        assert_eq!(Script::parse(SWAP.as_bytes()), Some(Script::CompareAndSwapStatus));
        let other = UNLOCK.replace("held", "v").replace("  ", "\t").replace('"', "'");
        let other = other.replace("the lock cannot be read", "no");
        assert_ne!(other, UNLOCK);
        assert_eq!(Script::parse(other.as_bytes()), Some(Script::UnlockIfOwnedByPull));
        let bare: String =
            SWAP.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join(" ");
        assert_eq!(Script::parse(bare.as_bytes()), Some(Script::CompareAndSwapStatus));
    }

    #[test]
    fn other_program_is_not_known() {
        for (part, other) in [
            ("ARGV[1]", "ARGV[2]"),
            ("~=", "=="),
            ("\"DEL\"", "\"UNLINK\""),
            ("return held", "return record"),
            ("not held", "held"),
            ("return nil", "return 0"),
            ("redis.call(\"DEL\", KEYS[1])", ""),
            ("[\"Num\"]", "[\"Number\"]"),
        ] {
            let text = UNLOCK.replacen(part, other, 1);
            assert_ne!(text, UNLOCK, "{part}");
            assert_eq!(Script::parse(text.as_bytes()), None, "{part}");
        }
        for text in ["", "return 1", "local", "\"", "é", "--"] {
            assert_eq!(Script::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Script::parse(&[0xff]), None);
        let long = UNLOCK.to_owned() + &" ".repeat(LONGEST);
        assert_eq!(Script::parse(long.as_bytes()), None);
        // Two scripts in one are another.
        assert_eq!(Script::parse((UNLOCK.to_owned() + SWAP).as_bytes()), None);
    }
}
