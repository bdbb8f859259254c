//! stub
/// x
#[derive(Debug)]
pub struct LockGuard;
/// x
#[derive(Debug)]
pub struct LockManager;
/// Why
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossReason {
}
impl std::fmt::Display for LossReason { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("x") } }
