//! A hash map that only grows, whose readers take no lock: buckets of nodes that are linked once and never moved.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::RandomState;

use crate::recording::sync::OnceLock;
use crate::recording::sync::atomic::{AtomicUsize, Ordering};

/// Keys and values that stay until the map is dropped.
///
/// A look-up hashes, then follows a short chain with one acquire load a node. An insert allocates one node; when two
/// threads insert the same key, one value wins and the other is dropped.
#[derive(Debug)]
pub(crate) struct AppendMap<K, V> {
    hasher: RandomState,
    buckets: Box<[Link<K, V>]>,
    len: AtomicUsize,
}

type Link<K, V> = OnceLock<Box<Node<K, V>>>;

#[derive(Debug)]
struct Node<K, V> {
    key: K,
    value: V,
    next: Link<K, V>,
}

impl<K: Hash + Eq, V> AppendMap<K, V> {
    /// A map for about `expected` keys; more keys make longer chains.
    pub(crate) fn for_about(expected: usize) -> Self {
        let buckets = (0..expected.max(1).next_power_of_two()).map(|_| OnceLock::new()).collect();
        Self { hasher: RandomState::default(), buckets, len: AtomicUsize::new(0) }
    }

    /// Bytes of a map for `expected` keys, a power of two, that has none yet.
    pub(crate) const fn bytes(expected: usize) -> usize {
        expected * size_of::<Link<K, V>>()
    }

    /// Bytes of a key with its value, beside what they own.
    pub(crate) const ENTRY_BYTES: usize = size_of::<Node<K, V>>();

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// The value of `key`.
    #[inline]
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let mut link = self.bucket(key);
        while let Some(node) = link.get() {
            if node.key.borrow() == key {
                return Some(&node.value);
            }
            link = &node.next;
        }
        None
    }

    /// The value of `key`, made by `make` if it is not there.
    #[inline]
    pub(crate) fn get_or_insert_with<Q: Hash + Eq + ?Sized + ToOwned<Owned = K>>(
        &self,
        key: &Q,
        make: impl FnOnce() -> V,
    ) -> &V
    where
        K: Borrow<Q>,
    {
        match self.get(key) {
            Some(value) => value,
            None => self.insert(self.bucket(key), key.to_owned(), make()).0,
        }
    }

    /// The value of a key that was not there a moment ago, and whether it is `value`: another thread may have been first.
    pub(crate) fn add(&self, key: K, value: V) -> (&V, bool) {
        self.insert(self.bucket(&key), key, value)
    }

    /// The fault that the model of this map must find: a place that another thread took meanwhile is passed over, whatever
    /// its key.
    #[cfg(all(test, heartline_loom))]
    pub(crate) fn insert_with_planted_fault(&self, key: K, value: V) -> &V {
        let mut link = self.bucket(&key);
        while let Some(node) = link.get() {
            if node.key == key {
                return &node.value;
            }
            link = &node.next;
        }
        let mut fresh = Box::new(Node { key, value, next: OnceLock::new() });
        while let Err(refused) = link.set(fresh) {
            fresh = refused;
            link = &link.get().expect("set refused, so another thread has set it").next;
        }
        &link.get().expect("set above").value
    }

    /// All keys and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.buckets.iter().flat_map(|bucket| {
            std::iter::successors(bucket.get(), |node| node.next.get()).map(|node| (&node.key, &node.value))
        })
    }

    #[inline]
    fn bucket<Q: Hash + ?Sized>(&self, key: &Q) -> &Link<K, V> {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits of a hash are as good as any")]
        let at = self.hasher.hash_one(key) as usize & (self.buckets.len() - 1);
        &self.buckets[at]
    }

    #[cold]
    fn insert<'a>(&'a self, mut link: &'a Link<K, V>, key: K, value: V) -> (&'a V, bool) {
        let mut fresh = Box::new(Node { key, value, next: OnceLock::new() });
        loop {
            match link.set(fresh) {
                Ok(()) => {
                    self.len.fetch_add(1, Ordering::Relaxed);
                    return (&link.get().expect("set a line above, and links are never emptied").value, true);
                }
                Err(refused) => fresh = refused,
            }
            let taken = link.get().expect("set refused, so another thread has set it");
            if taken.key == fresh.key {
                return (&taken.value, false);
            }
            link = &taken.next;
        }
    }
}

#[cfg(all(test, not(heartline_loom)))]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_inserted_and_keeps_the_first_value() {
        let map = AppendMap::<String, usize>::for_about(4);
        for (value, key) in ["a", "b", "c", "d", "e", "f", "a"].into_iter().enumerate() {
            map.get_or_insert_with(key, || value);
        }
        assert_eq!((map.len(), map.get("a"), map.get("f"), map.get("g")), (6, Some(&0), Some(&5), None));
        assert_eq!(map.iter().count(), 6);
    }

    #[test]
    fn threads_that_insert_the_same_keys_agree_on_one_value_each() {
        let map = AppendMap::<u64, u64>::for_about(8);
        let seen: Vec<Vec<u64>> = std::thread::scope(|threads| {
            let insert = |thread: u64| {
                let map = &map;
                threads.spawn(move || (0..500).map(|key| *map.get_or_insert_with(&key, || thread)).collect())
            };
            let handles: Vec<_> = (0..4).map(insert).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert_eq!(map.len(), 500);
        assert!(seen.iter().all(|values| values == &seen[0]));
    }
}
