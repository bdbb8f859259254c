//! The owner of a lock.

use crate::model::text::text;

text! {
    /// Owner of leases and waiters, such as a pull request, a process or a person: 1 to 1,024 bytes of
    /// UTF-8 without control characters.
    ///
    /// An owner may hold many keys and may request one key several times; each
    /// [`RequestId`](crate::RequestId) is independent.
    OwnerId, "owner", 1024
}
