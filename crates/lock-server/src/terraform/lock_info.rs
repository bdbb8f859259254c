//! `LockInfo`, by which Terraform names a lock and its holder.

use lock_core::{InvalidInput, Lease, Metadata, OwnerId, RequestId};
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// A lock as Terraform names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LockInfo {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) operation: String,
    pub(super) info: String,
    pub(super) who: String,
    pub(super) version: String,
    pub(super) created: String,
    pub(super) path: String,
}

/// Owner of a lock that names nobody.
const NOBODY: &str = "terraform";
/// Metadata of a lease that hold the fields of its lock.
const FIELDS: [&str; 5] = ["operation", "info", "version", "created", "path"];

impl LockInfo {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let info: Self = serde_json::from_slice(body)
            .map_err(|error| Problem::invalid(format!("the body is not a LockInfo: {error}")))?;
        info.request()?;
        Ok(info)
    }

    /// The request of the lock: Terraform asks again with the same `ID`.
    pub(super) fn request(&self) -> Result<RequestId, Problem> {
        request(&self.id)
    }

    pub(super) fn owner(&self) -> Result<OwnerId, InvalidInput> {
        OwnerId::parse(if self.who.is_empty() { NOBODY } else { &self.who })
    }

    pub(super) fn metadata(&self) -> Result<Metadata, InvalidInput> {
        let Self { operation, info, version, created, path, .. } = self;
        Metadata::parse(FIELDS.into_iter().zip([operation, info, version, created, path]))
    }

    /// The lock of a lease, whoever acquired it.
    pub(super) fn of(lease: &Lease) -> Self {
        let field = |name| lease.metadata.get(name).unwrap_or_default().to_owned();
        let [operation, info, version, created, path] = FIELDS.map(field);
        let (id, who) = (id(lease.request), lease.owner.to_string());
        Self { id, operation, info, who, version, created, path }
    }
}

/// The request that an `ID` names, which is a UUID.
pub(super) fn request(id: &str) -> Result<RequestId, Problem> {
    let digits: String = id.chars().filter(|&c| c != '-').collect();
    let is_uuid = digits.len() == 32 && id.len() <= 36;
    let bits = u128::from_str_radix(&digits, 16).ok().filter(|_| is_uuid);
    bits.map(RequestId::from_bits).ok_or_else(|| Problem::invalid("the ID of a lock is a UUID"))
}

/// A request as a UUID.
fn id(request: RequestId) -> String {
    let digits = format!("{:032x}", request.to_bits());
    let [a, b, c, d, e] =
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_the_request() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        assert_eq!(id(request(text).unwrap()), text);
        for text in ["", "x", "0123456789abcdef", "+1234567-89ab-cdef-0123-456789abcdeff"] {
            assert_eq!(request(text).unwrap_err().status, 400, "{text:?}");
        }
    }

    #[test]
    fn lock_info_is_read_with_missing_and_unknown_fields() {
        let info = br#"{"ID":"01234567-89ab-cdef-0123-456789abcdef","Who":"a@b","New":1}"#;
        let info = LockInfo::parse(info).unwrap();
        assert_eq!((info.who.as_str(), info.operation.as_str()), ("a@b", ""));
        for body in [&b"{}"[..], b"", b"[]", b"null"] {
            assert_eq!(LockInfo::parse(body).unwrap_err().status, 400);
        }
    }
}
