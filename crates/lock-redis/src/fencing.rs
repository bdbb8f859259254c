//! Writes to keys of Redis that check the fencing token of their writer.

use std::sync::LazyLock;

use lock_core::FencingToken;
use redis::aio::ConnectionLike;
use redis::{RedisResult, Script, ToRedisArgs};

/// The script of [`set`], for clients in other languages: `KEYS[1]` is the key, `ARGV[1]` the token
/// in decimal digits, `ARGV[2]` the new value. It returns 1 if it has written, and 0 if not.
///
/// Tokens are below 2^53, so the numbers of Lua hold them exactly.
pub const SET: &str = "\
local last = redis.call('HGET', KEYS[1], 'token')
if last and tonumber(last) > tonumber(ARGV[1]) then
  return 0
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'value', ARGV[2])
return 1";

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(SET));

/// Writes a value unless a higher token has written, in one step; returns `false` if one has.
///
/// The key is a hash with the fields `token` and `value`: read the value with `HGET key value`. It
/// must not expire before the last writer that may be paused has woken. The locks may be in another
/// server. A client that writes the key in another way is not fenced.
///
/// # Errors
/// Errors of the server and of the connection, after which the value may have been written.
///
/// # Cancel safety
/// If dropped, the value may be written; with the same token it can be written again.
pub async fn set<C: ConnectionLike>(
    connection: &mut C,
    key: &str,
    token: FencingToken,
    value: impl ToRedisArgs,
) -> RedisResult<bool> {
    SCRIPT.key(key).arg(token.get()).arg(value).invoke_async(connection).await
}
