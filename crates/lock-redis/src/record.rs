//! What the scripts and their readers both know of the records in the server.

/// The version of the layout: stores of another are refused.
pub(crate) const LAYOUT_VERSION: &str = "1";
/// What stands for the end of a lease that never ends: the largest whole number of a double.
pub(crate) const NEVER: u64 = 9_007_199_254_740_992;
/// Time in milliseconds for which a lease alone is kept after its end.
pub(crate) const GRACE: u64 = 60_000;

/// The same for the scripts.
pub(crate) fn constants() -> String {
    format!("local LAYOUT_VERSION, NEVER, GRACE = '{LAYOUT_VERSION}', {NEVER}, {GRACE}\n")
}
