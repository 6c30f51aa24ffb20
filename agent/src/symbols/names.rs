//! Addresses of this process as functions, files and lines. Which frame matters is not known here.
//!
//! Line tables (`debug = "line-tables-only"`) give all three and inlined frames too; with symbols alone there are
//! functions; a stripped program has neither. What is found is remembered by address. The debug information itself is
//! mapped while new addresses are looked up and given back right after: some tens of milliseconds, and for that time the
//! parts of it that the addresses lie in.

use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

/// Addresses that are remembered: about 2 MiB. When there are more, all are forgotten and looked up anew.
const ADDRESSES_MAX: usize = 16_384;
/// Bytes that are kept of a name or a path.
const NAME_BYTES_MAX: usize = 200;

/// One function at one address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Frame {
    pub(crate) function: Arc<str>,
    /// As the compiler wrote it.
    pub(crate) file: Option<Arc<str>>,
    pub(crate) line: Option<u32>,
}

/// What the program carries of its own debug information.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Nothing: it is stripped.
    #[default]
    Nothing,
    /// Functions.
    Names,
    /// Functions, files and lines.
    Lines,
}

/// Looks up addresses and remembers what it found.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    known: HashMap<usize, Arc<[Frame]>>,
    names: HashSet<Arc<str>>,
    detail: Detail,
    /// Whether debug information is mapped.
    mapped: bool,
}

impl Symbols {
    /// The frames at a return address, inlined ones first; none when nothing is known.
    pub(crate) fn at(&mut self, address: usize) -> Arc<[Frame]> {
        if let Some(frames) = self.known.get(&address) {
            return Arc::clone(frames);
        }
        if self.known.len() >= ADDRESSES_MAX {
            self.known.clear();
            self.names.clear();
        }
        self.mapped = true;
        let mut frames = Vec::new();
        backtrace::resolve(ptr::without_provenance_mut::<c_void>(address), |symbol| {
            let Some(name) = symbol.name() else { return };
            let function = self.name(&format!("{name:#}"));
            let file = symbol.filename().map(|file| self.name(&file.to_string_lossy()));
            frames.push(Frame { function, file, line: symbol.lineno().filter(|line| *line > 0) });
        });
        let found = match frames.first() {
            Some(frame) if frame.line.is_some() => Detail::Lines,
            Some(_) => Detail::Names,
            None => Detail::Nothing,
        };
        self.detail = self.detail.max(found);
        let frames: Arc<[Frame]> = frames.into();
        self.known.insert(address, Arc::clone(&frames));
        frames
    }

    /// The most that any address so far had.
    pub(crate) fn detail(&self) -> Detail {
        self.detail
    }

    /// Gives the debug information back; what was found stays.
    pub(crate) fn unmap(&mut self) {
        if std::mem::take(&mut self.mapped) {
            backtrace::clear_symbol_cache();
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let end = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= NAME_BYTES_MAX).last();
        let cut = if name.len() > NAME_BYTES_MAX { &name[..end.unwrap_or(0)] } else { name };
        let kept: Arc<str> = cut.into();
        self.names.insert(Arc::clone(&kept));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn here() -> usize {
        let mut innermost = 0;
        backtrace::trace(|frame| {
            innermost = frame.ip() as usize;
            let mut ours = false;
            backtrace::resolve_frame(frame, |symbol| {
                ours |= symbol.name().is_some_and(|name| format!("{name:#}").ends_with("here"));
            });
            !ours
        });
        innermost
    }

    #[test]
    fn an_address_of_this_function_has_its_name_file_and_line() {
        let mut symbols = Symbols::default();
        let frames = symbols.at(here());
        let frame = frames.iter().find(|frame| frame.function.ends_with("here")).expect("the function is named");
        assert!(frame.file.as_deref().is_some_and(|file| file.ends_with("symbols/names.rs")), "{frame:?}");
        assert!(frame.line.is_some_and(|line| line > 100), "{frame:?}");
        assert_eq!(symbols.detail(), Detail::Lines);
        symbols.unmap();
        assert_eq!(symbols.at(here()), frames, "what was found stays");
        assert!(symbols.at(16).is_empty(), "nothing is there");
    }
}
