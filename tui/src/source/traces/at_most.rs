//! The beginning of a list from outside, however long the list is. What the items are is not known here.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// At most so many items of a list; the rest is counted and not kept.
#[derive(Debug)]
pub(super) struct AtMost<T, const MAX: usize> {
    pub(super) items: Vec<T>,
    pub(super) more: u64,
}

impl<T, const MAX: usize> Default for AtMost<T, MAX> {
    fn default() -> Self {
        Self { items: Vec::new(), more: 0 }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

struct List<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
    type Value = AtMost<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut kept = AtMost::default();
        while kept.items.len() < MAX {
            let Some(item) = list.next_element()? else { return Ok(kept) };
            kept.items.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            kept.more += 1;
        }
        Ok(kept)
    }
}
