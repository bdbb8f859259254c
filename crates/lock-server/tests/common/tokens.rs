//! Tokens for the clients of a test.

use lock_server::{Access, AccessToken, AccessTokens, Role};

/// The secret of a token, and the lines of the file.
pub(crate) fn token(name: &str, role: Role, prefixes: &[&str]) -> (String, String) {
    let token = AccessToken::random();
    let prefixes: Vec<_> = prefixes.iter().map(|&prefix| prefix.to_owned()).collect();
    let lines = AccessTokens::lines(&token, name, role, &prefixes).unwrap();
    (token.reveal().to_owned(), lines)
}

pub(crate) fn read(lines: &[&str]) -> AccessTokens {
    AccessTokens::parse(&lines.concat()).unwrap()
}

/// A token of each role for all keys, named after its role.
pub(crate) fn of_each_role() -> (Access, [(Role, String); 3]) {
    let roles = [Role::Read, Role::Use, Role::Operate];
    let tokens = roles.map(|role| token(&role.to_string(), role, &[]));
    let access = Access::with_tokens(read(&tokens.each_ref().map(|(_, lines)| lines.as_str())));
    let secrets = tokens.map(|(secret, _)| secret);
    let mut secrets = secrets.into_iter();
    (access, roles.map(|role| (role, secrets.next().unwrap())))
}
