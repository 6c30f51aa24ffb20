//! A hash map that only grows, whose readers take no lock: buckets of nodes that are linked once and never moved.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

use crate::recording::sync::OnceLock;
use crate::recording::sync::atomic::{AtomicUsize, Ordering};

/// Keys and values that stay until the map is dropped.
///
/// A look-up hashes, then goes down a tree of nodes, one acquire load a node: from a bucket that the low bits of the hash
/// choose, two more bits at each node. With 64 buckets and 10,000 keys that is five nodes. An insert allocates one node;
/// when two threads insert the same key, one value wins and the other is dropped.
#[derive(Debug)]
pub(crate) struct AppendMap<K, V> {
    hasher: RandomState,
    buckets: Box<[Link<K, V>]>,
    len: AtomicUsize,
}

type Link<K, V> = OnceLock<Box<Node<K, V>>>;

/// How many ways lead on from a node.
const WAYS: usize = 4;

#[derive(Debug)]
struct Node<K, V> {
    /// Of the key: unequal ones are told apart without looking at the keys.
    hash: u64,
    key: K,
    value: V,
    next: [Link<K, V>; WAYS],
}

/// The way of a hash down the tree, which is the same for all who look for a key.
#[derive(Debug, Clone, Copy)]
struct Way(u64);

impl Way {
    /// Chooses one of `ways`, a power of two, and uses the bits up.
    #[inline]
    fn choose(&mut self, ways: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are asked for")]
        let chosen = self.0 as usize & (ways - 1);
        self.0 = self.0.rotate_right(ways.trailing_zeros());
        chosen
    }
}

impl<K: Hash + Eq, V> AppendMap<K, V> {
    /// A map for about `expected` keys; a hundred times as many take two or three more steps.
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
        self.find(key, |kept| kept.borrow() == key)
    }

    /// The value of the key that `is` the one and has the same hash as `key`.
    #[inline]
    pub(crate) fn find<Q: Hash + ?Sized>(&self, key: &Q, is: impl Fn(&K) -> bool) -> Option<&V> {
        let hash = self.hasher.hash_one(key);
        let (mut link, mut way) = self.root(hash);
        while let Some(node) = link.get() {
            if node.hash == hash && is(&node.key) {
                return Some(&node.value);
            }
            link = &node.next[way.choose(WAYS)];
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
            None => self.insert(key.to_owned(), make(), |taken, key| taken == key).0,
        }
    }

    /// The value of a key that was not there a moment ago, and whether it is `value`: another thread may have been first.
    pub(crate) fn add(&self, key: K, value: V) -> (&V, bool) {
        self.insert(key, value, |taken, key| taken == key)
    }

    /// The fault that the model of this map must find: a place that another thread took meanwhile is passed over, whatever
    /// its key.
    #[cfg(all(test, heartline_loom))]
    pub(crate) fn insert_with_planted_fault(&self, key: K, value: V) -> &V {
        if self.find(&key, |kept| *kept == key).is_none() {
            return self.insert(key, value, |_, _| false).0;
        }
        self.find(&key, |kept| *kept == key).expect("found a line above")
    }

    /// All keys and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let mut ahead: Vec<&Node<K, V>> =
            self.buckets.iter().filter_map(|bucket| bucket.get()).map(|node| &**node).collect();
        std::iter::from_fn(move || {
            let node = ahead.pop()?;
            ahead.extend(node.next.iter().filter_map(|next| next.get()).map(|node| &**node));
            Some((&node.key, &node.value))
        })
    }

    #[inline]
    fn root(&self, hash: u64) -> (&Link<K, V>, Way) {
        let mut way = Way(hash);
        (&self.buckets[way.choose(self.buckets.len())], way)
    }

    #[cold]
    fn insert(&self, key: K, value: V, is_same: impl Fn(&K, &K) -> bool) -> (&V, bool) {
        let hash = self.hasher.hash_one(&key);
        let (mut link, mut way) = self.root(hash);
        let mut fresh = Box::new(Node { hash, key, value, next: std::array::from_fn(|_| OnceLock::new()) });
        loop {
            match link.set(fresh) {
                Ok(()) => {
                    self.len.fetch_add(1, Ordering::Relaxed);
                    return (&link.get().expect("set a line above, and links are never emptied").value, true);
                }
                Err(refused) => fresh = refused,
            }
            let taken = link.get().expect("set refused, so another thread has set it");
            if is_same(&taken.key, &fresh.key) {
                return (&taken.value, false);
            }
            link = &taken.next[way.choose(WAYS)];
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
