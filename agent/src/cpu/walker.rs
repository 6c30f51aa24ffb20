//! From a copied stack to the addresses of its calls, by the unwinding tables of the program and its libraries. When a
//! stack is copied and what is at an address is not known here.
//!
//! The tables are read from the files (the vDSO's from memory), once a profile. Code without tables is walked by frame
//! pointers, which may lose its callers.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative, Unwinder as _,
    UnwinderNative,
};
use object::read::ReadCache;
use object::{Object, ObjectSection as _, ObjectSegment as _, ReadRef};

use super::sampler::{Registers, Sample};
use crate::symbols::Mapping;

/// Calls that are kept of one stack, the innermost.
const CALLS_MAX: usize = 256;
/// Bytes of the vDSO.
const VDSO_BYTES_MAX: usize = 1 << 20;
const VDSO: &str = "[vdso]";

/// Walks stacks of this process, as it was when this was made: what is loaded later has no tables.
pub(super) struct Walker {
    unwinder: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    /// Code that is mapped, of files and of the vDSO.
    pub(super) mappings: Vec<Mapping>,
}

/// One stack.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// Return addresses, innermost first; the first is one behind the instruction that was interrupted.
    pub(super) addresses: Vec<usize>,
    /// Whether the outermost call was reached.
    pub(super) whole: bool,
}

impl Walker {
    /// # Errors
    /// The system does not say what is mapped.
    pub(super) fn of_this_process() -> Result<Self, String> {
        let maps = std::fs::read_to_string("/proc/self/maps").map_err(|error| format!("/proc/self/maps: {error}"))?;
        let mut walker = Self { unwinder: UnwinderNative::new(), cache: CacheNative::new(), mappings: Vec::new() };
        for line in maps.lines() {
            if let Some(mapping) = Mapping::read(line) {
                let tables = mapping.open().ok().and_then(|file| {
                    let cache = ReadCache::new(file);
                    tables(&object::File::parse(&cache).ok()?, mapping.file_offset)
                });
                walker.add(mapping, tables);
            } else if line.ends_with(VDSO) {
                walker.add_vdso(line);
            }
        }
        Ok(walker)
    }

    /// The vDSO is a library without a file: its tables are read where it is mapped.
    fn add_vdso(&mut self, line: &str) {
        let named = line.replace(VDSO, &format!("/{VDSO}"));
        let Some(mapping) = Mapping::read(&named).map(|it| Mapping { path: VDSO.to_owned(), ..it }) else { return };
        let mut bytes = vec![0; (mapping.end - mapping.start).min(VDSO_BYTES_MAX)];
        let read = File::open("/proc/self/mem").and_then(|file| file.read_exact_at(&mut bytes, mapping.start as u64));
        let tables = read.ok().and_then(|()| tables(&object::File::parse(&bytes[..]).ok()?, 0));
        self.add(mapping, tables);
    }

    fn add(&mut self, mapping: Mapping, tables: Option<Tables>) {
        if let Some(Tables { sections, base }) = tables {
            let range = mapping.start as u64..mapping.end as u64;
            let bias = range.start.wrapping_sub(base);
            self.unwinder.add_module(Module::new(mapping.path.clone(), range, bias, sections));
        }
        self.mappings.push(mapping);
    }

    /// The calls of a sample.
    pub(super) fn walk(&mut self, sample: &Sample<'_>) -> Walked {
        let mut read = |address| sample.word(address).ok_or(());
        let registers = &sample.registers;
        let mut frames =
            self.unwinder.iter_frames(registers.program_counter, native(registers), &mut self.cache, &mut read);
        let mut addresses = Vec::new();
        let whole = loop {
            match frames.next() {
                Ok(Some(frame)) if addresses.len() < CALLS_MAX => {
                    // looked up where a call was made, one before the address it returns to
                    let address = frame.address_for_lookup().saturating_add(1);
                    addresses.push(usize::try_from(address).unwrap_or(usize::MAX));
                }
                Ok(Some(_)) | Err(_) => break false,
                Ok(None) => break true,
            }
        };
        Walked { addresses, whole }
    }
}

#[cfg(target_arch = "x86_64")]
fn native(registers: &Registers) -> UnwindRegsNative {
    UnwindRegsNative::new(registers.program_counter, registers.stack_pointer, registers.frame_pointer)
}

#[cfg(target_arch = "aarch64")]
fn native(registers: &Registers) -> UnwindRegsNative {
    use framehop::aarch64::PtrAuthMask;

    // addresses of programs have 48 bits; what is above may be a signature
    let mask = PtrAuthMask::from_max_known_address((1 << 48) - 1);
    let Registers { stack_pointer, frame_pointer, link, .. } = *registers;
    UnwindRegsNative::new_with_ptr_auth_mask(mask, link, stack_pointer, frame_pointer)
}

struct Tables {
    sections: ExplicitModuleSectionInfo<Vec<u8>>,
    /// The address that the file says for where the mapping begins.
    base: u64,
}

/// The unwinding tables of a file whose part from `file_offset` on is mapped.
fn tables<'d, R: ReadRef<'d>>(file: &object::File<'d, R>, file_offset: u64) -> Option<Tables> {
    let base = file.segments().find_map(|segment| {
        let (offset, bytes) = segment.file_range();
        let code = segment.permissions().executable();
        // pages begin before the part that the file means, and so the end of one part may be mapped with the next
        let page = offset & !(segment.align().max(1) - 1);
        let inside = code && (page..offset + bytes).contains(&file_offset);
        inside.then(|| segment.address().wrapping_sub(offset).wrapping_add(file_offset))
    })?;
    let section = |name: &str| {
        let section = file.section_by_name(name)?;
        let range = section.address()..section.address() + section.size();
        Some((range, section.data().ok()?.to_vec()))
    };
    let address = |name: &str| file.section_by_name(name).map(|it| it.address()..it.address() + it.size());
    let (eh_frame_svma, eh_frame) = section(".eh_frame").unzip();
    let (eh_frame_hdr_svma, eh_frame_hdr) = section(".eh_frame_hdr").unzip();
    let sections = ExplicitModuleSectionInfo {
        text_svma: address(".text"),
        got_svma: address(".got"),
        eh_frame_svma,
        eh_frame,
        eh_frame_hdr_svma,
        eh_frame_hdr,
        ..ExplicitModuleSectionInfo::default()
    };
    Some(Tables { sections, base })
}
