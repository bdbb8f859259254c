//! Tokens of forms: a page of somebody else has neither the cookie nor the token that fits it.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue, header};
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// The cookie's name with its `=`.
const COOKIE: &str = "lock-page=";

/// Maximum number of bytes of the cookie's value.
const LONGEST: usize = 64;

/// Makes and checks the tokens of forms, with a secret that ends with the process.
pub(super) struct Csrf {
    secret: hmac::Key,
}

/// The value of a browser's cookie.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Visitor(String);

impl Csrf {
    pub(super) fn new() -> Self {
        Self { secret: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()) }
    }

    /// The token of the forms that a browser with this cookie is given.
    pub(super) fn token(&self, visitor: &Visitor) -> String {
        hex(hmac::sign(&self.secret, visitor.0.as_bytes()).as_ref())
    }

    /// Whether the token fits the cookie; compared in constant time.
    pub(super) fn is_valid(&self, visitor: &Visitor, token: &str) -> bool {
        let fits = |token: Vec<u8>| hmac::verify(&self.secret, visitor.0.as_bytes(), &token);
        bytes(token).is_some_and(|token| fits(token).is_ok())
    }
}

impl Visitor {
    pub(super) fn new() -> Self {
        Self(hex(&random::<16>()))
    }

    /// The one that a browser brings back.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let mut cookies =
            cookies.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(';'));
        let value = cookies.find_map(|cookie| cookie.trim().strip_prefix(COOKIE))?;
        let is_ours = !value.is_empty()
            && value.len() <= LONGEST
            && value.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_ours.then(|| Self(value.to_owned()))
    }

    /// What gives the cookie to a browser.
    pub(super) fn cookie(&self) -> HeaderValue {
        let cookie = format!("{COOKIE}{}; Path=/; HttpOnly; SameSite=Strict", self.0);
        HeaderValue::try_from(cookie).expect("hex digits and plain words")
    }
}

impl fmt::Debug for Csrf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csrf").finish_non_exhaustive()
    }
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").finish_non_exhaustive()
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has random bytes");
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<_>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    rest.is_empty().then(|| pairs.iter().filter_map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_fits_its_cookie_and_its_process_alone() {
        let (csrf, visitor) = (Csrf::new(), Visitor::new());
        let token = csrf.token(&visitor);
        assert!(csrf.is_valid(&visitor, &token));
        assert!(!csrf.is_valid(&Visitor::new(), &token));
        assert!(!Csrf::new().is_valid(&visitor, &token));
        for token in ["", "0", "zz", &token[2..], &format!("{token}0"), &format!("{token}00")] {
            assert!(!csrf.is_valid(&visitor, token), "{token}");
        }
    }

    #[test]
    fn cookie_comes_back_among_others() {
        let visitor = Visitor::new();
        let ours = visitor.cookie().to_str().unwrap().split(';').next().unwrap().to_owned();
        let of = |cookies: &str| {
            let value = HeaderValue::try_from(cookies).unwrap();
            Visitor::of(&HeaderMap::from_iter([(header::COOKIE, value)]))
        };
        assert_eq!(of(&format!("a=b; {ours}; c=d")), Some(visitor));
        for foreign in ["", "a=b", "lock-page=", "lock-page=<b>", "xlock-page=00"] {
            assert_eq!(of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?} {:?}", Csrf::new(), Visitor::new()), "Csrf { .. } Visitor { .. }");
    }
}
