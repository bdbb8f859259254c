//! Which errors say that a command certainly did not happen.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The words that begin the answer of a server that did not execute a command.
///
/// A script is refused for want of memory, of replicas or of a disk before its first write, or not
/// at all. `WRONGTYPE` is not among them: a script may have written before it met the key of another
/// type, so what it means depends on the script.
const REFUSALS: [&str; 18] = [
    "ASK",
    "BUSY",
    "CLUSTERDOWN",
    "CROSSSLOT",
    "DENIED",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "MOVED",
    "NOAUTH",
    "NOPERM",
    "NOREPLICAS",
    "NOSCRIPT",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNKILLABLE",
    "WRONGPASS",
];

/// Returns `true` if the server certainly did not execute the command that it answered with this
/// error.
///
/// Any other error is unknown: the command may have happened. The errors that a script makes itself
/// are not known here.
#[must_use]
pub fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some_and(|word| REFUSALS.contains(&word))
        || error.kind() == ErrorKind::AuthenticationFailed
        || is_unknown_script(error)
}

/// Returns `true` if the server does not know the script or the function that was called.
#[must_use]
pub fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
        // For functions the server has no word.
        || error.detail().is_some_and(|detail| detail.contains("Function not found"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error that the driver makes of an answer of the server.
    fn answered(answer: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes());
        answer.and_then(redis::Value::extract_error).expect_err("an error")
    }

    #[test]
    fn every_refusal_is_known_by_its_word() {
        for word in REFUSALS {
            let more = if matches!(word, "ASK" | "MOVED") { "7 127.0.0.1:6379" } else { "and why" };
            let error = answered(&format!("{word} {more}"));
            assert!(is_refusal(&error), "{word}: {error:?}");
        }
    }

    #[test]
    fn error_that_says_nothing_of_the_command_is_no_refusal() {
        for answer in
            ["WRONGTYPE Operation against a key", "ERR no such key", "NOTOKEN", "EXECABORT"]
        {
            assert!(!is_refusal(&answered(answer)), "{answer}");
        }
        let cut = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(!is_refusal(&RedisError::from(cut)));
    }

    #[test]
    fn script_and_function_that_are_not_known_are_refused() {
        for answer in ["NOSCRIPT No matching script", "ERR Function not found"] {
            let error = answered(answer);
            assert!(is_unknown_script(&error) && is_refusal(&error), "{answer}");
        }
        assert!(!is_unknown_script(&answered("BUSY Redis is busy")));
    }

    #[test]
    fn login_that_is_refused_did_nothing() {
        let error = RedisError::from((ErrorKind::AuthenticationFailed, "the password is wrong"));
        assert!(is_refusal(&error));
    }
}
