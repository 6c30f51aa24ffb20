//! One profile as others read it: stacks, what is known of their addresses, and the difference to an earlier one.

use std::collections::HashMap;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use super::allocator;
use super::stacks::{Stack, Stacks};
use crate::symbols::{Frame, Symbols, identify};

/// A profile that was asked for.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) stacks: Stacks,
    /// What is known of the addresses in it.
    pub(crate) frames: HashMap<usize, Arc<[Frame]>>,
    /// Over how long it was sampled; `None` since sampling began.
    pub(crate) span: Option<Duration>,
}

impl Taken {
    /// A dump of now, without names.
    pub(super) fn read() -> Result<Self, String> {
        let dump = BufReader::with_capacity(1 << 16, allocator::dump()?);
        let stacks = Stacks::read(dump).map_err(|error| format!("reading the heap profile: {error}"))?;
        Ok(Self { stacks, ..Self::default() })
    }

    /// With the names of all its addresses, and the builds of the files they are in.
    pub(super) fn named(mut self, symbols: &mut Symbols) -> Self {
        for address in self.stacks.stacks.iter().flat_map(|stack| &stack.addresses) {
            self.frames.entry(*address).or_insert_with(|| symbols.at(*address));
        }
        symbols.unmap();
        identify(&mut self.stacks.mappings);
        self
    }

    /// What is more than in `before`, by name; what became less is negative, and what did not change is left out.
    pub(super) fn less(mut self, before: Self, symbols: &mut Symbols) -> Self {
        let stacks = &mut self.stacks.stacks;
        let before = before.stacks.stacks.into_iter();
        let mut earlier: HashMap<Vec<usize>, (f64, f64)> =
            before.map(|stack| (stack.addresses, (stack.bytes, stack.objects))).collect();
        for stack in stacks.iter_mut() {
            let (bytes, objects) = earlier.remove(&stack.addresses).unwrap_or_default();
            stack.bytes -= bytes;
            stack.objects -= objects;
        }
        let gone =
            |(addresses, (bytes, objects)): (_, (f64, f64))| Stack { addresses, bytes: -bytes, objects: -objects };
        stacks.extend(earlier.into_iter().map(gone));
        stacks.retain(|stack| stack.bytes.abs() >= 1.0);
        // only now, so that what went has names too
        self.named(symbols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_what_came_and_what_went() {
        let stack = |address, bytes| Stack { addresses: vec![address], bytes, objects: 1.0 };
        let taken = |stacks| Taken { stacks: Stacks { stacks, ..Stacks::default() }, ..Taken::default() };
        let after = taken(vec![stack(1, 50.0), stack(2, 9.0), stack(3, 7.0)]);
        let before = taken(vec![stack(1, 20.0), stack(2, 9.0), stack(4, 8.0)]);
        let after = after.less(before, &mut Symbols::default());
        let left: Vec<(usize, f64)> =
            after.stacks.stacks.iter().map(|stack| (stack.addresses[0], stack.bytes)).collect();
        assert_eq!(left, [(1, 30.0), (3, 7.0), (4, -8.0)]);
    }

    #[inline(never)]
    fn release_sessions() -> u8 {
        std::hint::black_box(7)
    }

    #[test]
    fn what_went_has_a_name_as_what_came_has() {
        // as a return address is: after the call
        let addresses = vec![release_sessions as fn() -> u8 as usize + 1];
        let stack = Stack { addresses: addresses.clone(), bytes: 8.0, objects: 1.0 };
        let before = Taken { stacks: Stacks { stacks: vec![stack], ..Stacks::default() }, ..Taken::default() };
        let went = Taken::default().less(before, &mut Symbols::default());
        assert_eq!(went.stacks.stacks[0].bytes, -8.0);
        let named = went.frames[&addresses[0]].iter().any(|frame| frame.function.ends_with("release_sessions"));
        assert!(named, "{:?}", went.frames);
    }
}
