//! A bearer token as the endpoint keeps it: its digest only, compared in constant time, shown nowhere.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 digest of a token.
#[derive(Clone)]
pub(crate) struct Token([u8; 32]);

impl Token {
    /// Digests the token; the text is not kept.
    pub(crate) fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether `presented` is this token. Takes the same time wherever they differ.
    pub(crate) fn matches(&self, presented: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(presented).into();
        self.0.ct_eq(&digest).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_text_matches_and_nothing_is_shown() {
        let token = Token::new("correct horse battery staple 0123");
        assert!(token.matches(b"correct horse battery staple 0123"));
        assert!(!token.matches(b"correct horse battery staple 0124"));
        assert!(!token.matches(b"") && !token.matches(b"correct"));
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
