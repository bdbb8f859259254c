//! The key of a lock.

use crate::model::text::text;

text! {
    /// Key of a lock: 1 to 1,024 bytes of UTF-8 without control characters.
    ///
    /// Keys are opaque: no character is special, and no key contains another.
    ///
    /// # Examples
    /// ```
    /// use lock_core::LockKey;
    ///
    /// assert_eq!(LockKey::parse("acme/infra/prod")?.as_str(), "acme/infra/prod");
    /// let error = LockKey::parse("acme\0").unwrap_err();
    /// assert_eq!(error.to_string(), "key has a control character at byte 4");
    /// # Ok::<(), lock_core::InvalidInput>(())
    /// ```
    LockKey, "key", 1024
}
