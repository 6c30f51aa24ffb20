//! What is known of some requests beside their route and start, kept apart so that a request without it stays small: it
//! moves through many futures. What the details are for is not known here.

use std::cell::RefCell;

use super::ShortText;
use super::spent::Spent;
use crate::instruments::DIGITS;

/// Details that a thread keeps for its next requests.
const SPARE_MAX: usize = 64;

/// The details of one request.
#[derive(Debug, Default)]
pub(crate) struct Details {
    pub(crate) spent: Spent,
    /// As digits: the one that the request came with, or once its spans are kept, that of these.
    pub(crate) trace: Option<[u8; DIGITS]>,
    pub(crate) request_id: Option<Box<ShortText>>,
}

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes are what is spared")]
    static SPARE: RefCell<Vec<Box<Details>>> = const { RefCell::new(Vec::new()) };
}

/// Details if there are any. A request's thread allocates them at most once for the many that follow.
#[derive(Debug, Default)]
pub(crate) struct Aside(Option<Box<Details>>);

impl Aside {
    pub(crate) fn get(&self) -> Option<&Details> {
        self.0.as_deref()
    }

    /// The details, to be filled in.
    pub(crate) fn get_mut(&mut self) -> &mut Details {
        self.0
            .get_or_insert_with(|| SPARE.try_with(|spare| spare.borrow_mut().pop()).ok().flatten().unwrap_or_default())
    }

    /// Lets the next request of this thread have the memory.
    #[cold]
    fn give_back(mut details: Box<Details>) {
        *details = Details::default();
        // a thread that ends keeps nothing
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(details);
            }
        });
    }
}

impl Drop for Aside {
    #[inline]
    fn drop(&mut self) {
        if let Some(details) = self.0.take() {
            Self::give_back(details);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spent::{Mark, Spending, spend};
    use super::*;

    #[test]
    fn the_next_request_gets_the_memory_and_nothing_of_what_was_in_it() {
        let mut first = Aside::default();
        assert!(first.get().is_none());
        let mark = Mark::now();
        spend(Spending::Cache, 3);
        mark.add_to(|| &mut first.get_mut().spent);
        first.get_mut().trace = Some([b'a'; DIGITS]);
        let memory = std::ptr::from_ref(first.get_mut());
        drop(first);
        let mut next = Aside::default();
        assert!(std::ptr::eq(memory, next.get_mut()));
        assert_eq!((next.get_mut().spent, next.get_mut().trace), (Spent::default(), None));
    }

    #[test]
    fn a_thread_keeps_a_bounded_number() {
        let many: Vec<Aside> = std::iter::repeat_with(Aside::default).take(2 * SPARE_MAX).collect();
        let many: Vec<Aside> = many
            .into_iter()
            .map(|mut aside| {
                aside.get_mut();
                aside
            })
            .collect();
        drop(many);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_MAX);
    }
}
