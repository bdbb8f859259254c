//! The addresses of pages, in which a key may have any character.

use lock_core::{FencingToken, LockKey, RequestId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that mean themselves in every part of an address.
const ENCODED: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b':');

/// The path of a key's page.
///
/// Browsers resolve `.` and `..` between slashes, and proxies drop empty parts, so the slashes of a
/// key with such parts are encoded. A key that is nothing but dots goes into the query.
pub(super) fn of_key(key: &LockKey) -> String {
    let key = key.as_str();
    let is_odd = |part: &str| matches!(part, "" | "." | "..");
    if is_odd(key) {
        format!("/locks?key={}", encoded(key))
    } else if key.split('/').any(is_odd) {
        format!("/locks/{}", encoded(key))
    } else {
        let parts: Vec<_> = key.split('/').map(encoded).collect();
        format!("/locks/{}", parts.join("/"))
    }
}

/// The path of a key's page with this query.
pub(super) fn of_key_with(key: &LockKey, name: &str, value: &str) -> String {
    let path = of_key(key);
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{name}={}", encoded(value))
}

/// The form that acts on a waiting request.
pub(super) fn of_waiter(act: &str, key: &LockKey, request: RequestId) -> String {
    format!("/page/{act}?key={}&request={request}", encoded(key.as_str()))
}

/// The form that acts on a lease.
pub(super) fn of_lease(
    act: &str,
    key: &LockKey,
    request: RequestId,
    token: FencingToken,
) -> String {
    format!("{}&token={token}", of_waiter(act, key, request))
}

/// A text as a part of a path or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, &ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(key: &str) -> String {
        of_key(&LockKey::parse(key).unwrap())
    }

    #[test]
    fn path_encodes_what_an_address_reads_as_special() {
        assert_eq!(path("acme/infra:prod"), "/locks/acme/infra:prod");
        assert_eq!(path("50% off?#a&b"), "/locks/50%25%20off%3F%23a%26b");
        assert_eq!(path("ключ"), "/locks/%D0%BA%D0%BB%D1%8E%D1%87");
    }

    #[test]
    fn path_keeps_parts_that_browsers_would_resolve() {
        assert_eq!(path("a/../b"), "/locks/a%2F..%2Fb");
        assert_eq!(path("/a"), "/locks/%2Fa");
        assert_eq!(path("a//b/"), "/locks/a%2F%2Fb%2F");
        assert_eq!(path(".."), "/locks?key=..");
        let key = LockKey::parse("..").unwrap();
        assert_eq!(of_key_with(&key, "notice", "a b"), "/locks?key=..&notice=a%20b");
    }
}
