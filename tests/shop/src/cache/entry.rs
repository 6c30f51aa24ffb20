//! What a cache holds: a JSON text under a key, with tags by which it can be withdrawn.

use std::sync::Arc;

/// A cached text and the tags it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The value as JSON.
    pub(crate) body: Arc<str>,
    /// Whatever it was made from: withdrawing a tag withdraws the entry.
    pub(crate) tags: Arc<[String]>,
}

impl Entry {
    /// About what the entry occupies.
    pub(crate) fn bytes(&self, key: &str) -> u32 {
        /// Pointers, counts and the cache's own bookkeeping of one entry.
        const OVERHEAD: usize = 160;
        let tags: usize = self.tags.iter().map(|tag| tag.len() + size_of::<String>()).sum();
        u32::try_from(key.len() + self.body.len() + tags + OVERHEAD).unwrap_or(u32::MAX)
    }
}

/// A pattern over keys: `*` stands for any run of characters, everything else for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wildcard(String);

impl Wildcard {
    /// Takes any text.
    pub(crate) fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether `key` fits.
    pub(crate) fn matches(&self, key: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(rest) = parts.next().and_then(|first| key.strip_prefix(first)) else { return false };
        let Some((last, middle)) = parts.collect::<Vec<_>>().split_last().map(|(l, m)| (*l, m.to_vec())) else {
            return rest.is_empty();
        };
        let mut rest = rest;
        for part in middle {
            let Some(found) = rest.find(part) else { return false };
            rest = &rest[found + part.len()..];
        }
        rest.ends_with(last)
    }

    /// The pattern as Redis' SCAN wants it: its other special characters are escaped.
    pub(crate) fn for_redis(&self) -> String {
        let mut escaped = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if matches!(c, '?' | '[' | ']' | '^' | '\\') {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::Wildcard;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, key, fits) in [
            ("listings:*", "listings:books:id:0", true),
            ("listings:*", "products:1", false),
            ("*:books:*", "listings:books:id:0", true),
            ("*:books:*", "listings:bookshop:id", false),
            ("products:1", "products:1", true),
            ("products:1", "products:11", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
        ] {
            assert_eq!(Wildcard::new(pattern).matches(key), fits, "{pattern} on {key}");
        }
    }

    #[test]
    fn only_the_star_is_special_for_redis() {
        assert_eq!(Wildcard::new("search:a?[b]*").for_redis(), "search:a\\?\\[b\\]*");
    }
}
