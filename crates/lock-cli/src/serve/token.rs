//! `serve token`: a new token, and its lines for the file.

use lock_server::{AccessToken, AccessTokens, Role};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Makes a token and prints it, this once.
pub(super) fn make(
    name: &str,
    role: Role,
    prefixes: &[String],
    output: Output,
) -> Result<Exit, Failure> {
    let token = AccessToken::random();
    let lines = AccessTokens::lines(&token, name, role, prefixes);
    let lines = lines.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let secret = token.reveal();
    output.show(&json!({ "token": secret, "lines": lines }), || {
        let keep = "The token, for the client; it is shown this once:";
        format!("# {keep}\n# {secret}\n# Lines for the file of --tokens:\n{}", lines.trim_end())
    })?;
    Ok(Exit::Done)
}
