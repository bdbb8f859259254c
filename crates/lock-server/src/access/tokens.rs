//! The file of tokens: names, roles, prefixes, and hashes in place of the secrets.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;

use super::token::{hash, unhex};
use super::{AccessError, AccessToken, Caller, Role};

/// Maximum number of bytes of a token's name.
const LONGEST_NAME: usize = 64;

/// The tokens that a service knows, as a file of TOML has them.
///
/// ```
/// let tokens = lock_server::AccessTokens::parse(r#"
///     [[token]]
///     name = "ci"
///     role = "use"             # "read", "use" or "operate"
///     prefixes = ["team/"]     # keys that begin with one of these; [] covers every key
///     sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
/// "#)?;
/// assert_eq!(tokens.len(), 1);
/// # Ok::<(), lock_server::AccessError>(())
/// ```
#[derive(Clone, Debug)]
pub struct AccessTokens {
    entries: Vec<Arc<Entry>>,
}

/// A client that is known by a token.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) role: Role,
    /// None covers every key.
    pub(super) prefixes: Vec<String>,
    hash: [u8; 32],
    /// Ends what the client has under way when the token is not valid any more.
    pub(super) revoked: CancellationToken,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    token: Vec<Line>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    role: Role,
    prefixes: Vec<String>,
    sha256: String,
}

impl AccessTokens {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`AccessError`] when it has another form, no token, or two tokens of one name or hash.
    pub fn parse(text: &str) -> Result<Self, AccessError> {
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            AccessError::new(format!("line {line}: {}", plain(error.message())))
        })?;
        let entries: Result<Vec<_>, _> = file.token.into_iter().map(Entry::of).collect();
        let entries = entries?;
        if entries.is_empty() {
            return Err(AccessError::new("there is no [[token]]"));
        }
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        for entry in &entries {
            if !names.insert(entry.name.as_str()) || !hashes.insert(entry.hash) {
                let words =
                    format!("token `{}`: its name or its secret is there twice", entry.name);
                return Err(AccessError::new(words));
            }
        }
        Ok(Self { entries })
    }

    /// The lines of a file for a new token.
    ///
    /// # Errors
    /// [`AccessError`] when the name or a prefix is not valid.
    pub fn lines(
        token: &AccessToken,
        name: &str,
        role: Role,
        prefixes: &[String],
    ) -> Result<String, AccessError> {
        let (name, prefixes) = (name.to_owned(), prefixes.to_vec());
        let line = || Line {
            name: name.clone(),
            role,
            prefixes: prefixes.clone(),
            sha256: token.sha256(),
        };
        Entry::of(line())?;
        // A string of JSON without control characters is one of TOML.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let Line { name, role, prefixes, sha256 } = line();
        let prefixes: Vec<_> = prefixes.iter().map(|prefix| quoted(prefix)).collect();
        let (name, prefixes) = (quoted(&name), prefixes.join(", "));
        Ok(format!(
            "[[token]]\nname = {name}\nrole = \"{role}\"\nprefixes = [{prefixes}]\nsha256 = \"{sha256}\"\n"
        ))
    }

    /// The number of tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no token, which no file has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The client of a secret. All hashes are compared, each in constant time.
    pub(super) fn find(&self, secret: &[u8]) -> Option<&Arc<Entry>> {
        let hash = hash(secret);
        self.entries.iter().fold(None, |found, entry| {
            let is_equal = bool::from(entry.hash.ct_eq(&hash));
            if is_equal { Some(entry) } else { found }
        })
    }

    /// Takes the place of former tokens: those that are the same go on, and the others end.
    pub(super) fn succeed(mut self, former: Option<&Self>) -> Self {
        for old in former.into_iter().flat_map(|former| &former.entries) {
            match self.entries.iter_mut().find(|new| new.is_same(old)) {
                Some(new) => *new = Arc::clone(old),
                None => old.revoked.cancel(),
            }
        }
        self
    }
}

impl Entry {
    fn of(line: Line) -> Result<Arc<Self>, AccessError> {
        let Line { name, role, prefixes, sha256 } = line;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        if name == Caller::ANONYMOUS {
            return Err(AccessError::new("no token is named `anonymous`"));
        }
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            return Err(AccessError::new(format!(
                "the name of a token has 1 to {LONGEST_NAME} letters, digits, `-`, `_`, `.` and `@`"
            )));
        }
        if prefixes.iter().any(|prefix| prefix.contains(char::is_control)) {
            let words = "a prefix has a control character, which no key has";
            return Err(AccessError::new(format!("token `{name}`: {words}")));
        }
        if prefixes.iter().any(String::is_empty) {
            let words = "a prefix is empty; `prefixes = []` covers every key";
            return Err(AccessError::new(format!("token `{name}`: {words}")));
        }
        let hash = unhex(&sha256).and_then(|bytes| bytes.try_into().ok());
        let hash = hash.ok_or_else(|| {
            let words = "sha256 is not 64 hexadecimal digits, as `lockctl serve token` prints them";
            AccessError::new(format!("token `{name}`: {words}"))
        })?;
        Ok(Arc::new(Self { name, role, prefixes, hash, revoked: CancellationToken::new() }))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash
            && (&self.name, self.role, &self.prefixes) == (&other.name, other.role, &other.prefixes)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, role, prefixes, .. } = self;
        write!(f, "{name} ({role} {prefixes:?})")
    }
}

/// The words of a reader of TOML, without what they quote from values.
fn plain(message: &str) -> &str {
    match message.starts_with("unknown field") || message.starts_with("missing field") {
        true => message,
        false => "it is not TOML of the form that `lockctl serve token` prints",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, role: Role, prefixes: &[&str]) -> (AccessToken, String) {
        let token = AccessToken::random();
        let prefixes: Vec<_> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
        let lines = AccessTokens::lines(&token, name, role, &prefixes).unwrap();
        (token, lines)
    }

    #[test]
    fn token_is_found_by_its_secret_alone() {
        let (ci, one) = lines("ci", Role::Use, &["team/", "a\"b"]);
        let (ops, other) = lines("ops", Role::Operate, &[]);
        let text = one + &other;
        assert!(!text.contains(ci.reveal()) && !text.contains(ops.reveal()), "hashed at rest");
        let tokens = AccessTokens::parse(&text).unwrap();
        let found = tokens.find(ci.reveal().as_bytes()).unwrap();
        assert_eq!((found.name.as_str(), found.role), ("ci", Role::Use));
        assert_eq!(found.prefixes, ["team/", "a\"b"]);
        assert_eq!(tokens.find(ops.reveal().as_bytes()).unwrap().name, "ops");
        for secret in ["", "ci", &ci.sha256(), &ci.reveal()[1..]] {
            assert!(tokens.find(secret.as_bytes()).is_none(), "{secret}");
        }
        assert!(!format!("{tokens:?}").contains(&ci.sha256()));
    }

    #[test]
    fn bad_file_is_refused_in_words_that_quote_no_secret() {
        let (_, good) = lines("ci", Role::Use, &[]);
        let secret = AccessToken::random();
        let of = |name: &str, rest: &str| format!("[[token]]\nname = \"{name}\"\n{rest}");
        let digits = format!("sha256 = \"{}\"", secret.sha256());
        for (text, words) in [
            (String::new(), "there is no [[token]]"),
            (of("a", &digits), "missing field `role`"),
            (of("a", &format!("role = \"use\"\n{digits}")), "missing field `prefixes`"),
            (good.clone() + "secret = 1\n", "line 6: unknown field `secret`"),
            (good.clone() + &good, "twice"),
            (good.replace("\"ci\"", "\"c i\""), "letters"),
            (good.replace("\"ci\"", "\"anonymous\""), "named `anonymous`"),
            (good.replace("[]", "[\"\"]"), "covers every key"),
            (good.replace("\"use\"", "\"root\""), "line 3"),
            (
                of(
                    "a",
                    &format!("role = \"use\"\nprefixes = []\nsha256 = \"{}\"", secret.reveal()),
                ),
                "64",
            ),
            (of("a", &format!("role = {}", secret.reveal())), "line 3"),
        ] {
            let error = AccessTokens::parse(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{words}: {error}");
            assert!(!error.contains(secret.reveal()), "{error}");
        }
    }

    #[test]
    fn token_that_changes_or_goes_is_revoked_and_the_others_go_on() {
        let (_, kept) = lines("kept", Role::Use, &[]);
        let (_, less) = lines("less", Role::Operate, &[]);
        let (_, gone) = lines("gone", Role::Read, &[]);
        let before = AccessTokens::parse(&[kept.as_str(), &less, &gone].concat()).unwrap();
        let after = kept + &less.replace("operate", "use");
        let after = AccessTokens::parse(&after).unwrap().succeed(Some(&before));
        let revoked = |tokens: &AccessTokens| -> Vec<bool> {
            tokens.entries.iter().map(|entry| entry.revoked.is_cancelled()).collect()
        };
        assert_eq!((revoked(&before), revoked(&after)), (vec![false, true, true], vec![false; 2]));
    }
}
