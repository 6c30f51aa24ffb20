//! Series of one handle by something known only at the end: a status, an error type, a job name.

use std::borrow::Borrow;
use std::hash::Hash;

use crate::registry::AppendMap;

/// How many keys one handle remembers. Further ones are resolved through the registry each time, where its limit
/// sends them to overflow.
const REMEMBERED_MAX: usize = 64;
/// A longer key is resolved each time too: it is not a name that the service gave.
const KEY_BYTES_MAX: usize = 256;

/// Instruments by key: looked up without a lock once they are there.
#[derive(Debug)]
pub(crate) struct Resolved<K, T>(AppendMap<K, T>);

impl<K: Hash + Eq, T> Resolved<K, T> {
    pub(crate) fn new() -> Self {
        Self(AppendMap::for_about(8))
    }

    /// Uses the instrument of `key`, resolving it the first time.
    #[inline]
    pub(crate) fn with<Q, R>(&self, key: &Q, resolve: impl FnOnce() -> T, act: impl FnOnce(&T) -> R) -> R
    where
        Q: Hash + Eq + ?Sized + ToOwned<Owned = K>,
        K: Borrow<Q>,
    {
        match self.0.get(key) {
            Some(instrument) => act(instrument),
            None if self.0.len() < REMEMBERED_MAX && size_of_val(key) <= KEY_BYTES_MAX => {
                act(self.0.get_or_insert_with(key, resolve))
            }
            None => act(&resolve()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_few_short_keys_and_resolves_the_others_each_time() {
        let resolved = Resolved::<String, u32>::new();
        let mut made = 0;
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for key in ["short", "short", &long, &long] {
            resolved.with(
                key,
                || {
                    made += 1;
                    made
                },
                |_| (),
            );
        }
        assert_eq!((made, resolved.0.len()), (3, 1));
        (0..2 * REMEMBERED_MAX).for_each(|key| resolved.with(key.to_string().as_str(), || 0, |_| ()));
        assert_eq!(resolved.0.len(), REMEMBERED_MAX);
    }
}
