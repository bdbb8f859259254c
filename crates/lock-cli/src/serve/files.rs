//! The limit of open files of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files beside connections: the store, states, logs, and the runtime's own.
const OTHERS: u64 = 128;

/// Raises the limit to what the connections need.
///
/// # Errors
/// In words for an operator, when the system does not allow that many.
pub(super) fn raise(connections: u32) -> Result<(), String> {
    let needed = u64::from(connections) + OTHERS;
    let limits = getrlimit(Resource::RLIMIT_NOFILE);
    let (soft, hard) = limits.map_err(|error| format!("the limit of open files: {error}"))?;
    if soft >= needed {
        return Ok(());
    }
    let raised = needed.min(hard);
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        return Err(format!("the limit of open files stays {soft}, {needed} are needed: {error}"));
    }
    if raised < needed {
        return Err(format!(
            "{connections} connections need {needed} open files, and {hard} are allowed: raise the \
             hard limit (LimitNOFILE of systemd), or set --connections {}",
            hard.saturating_sub(OTHERS).max(1)
        ));
    }
    Ok(())
}
