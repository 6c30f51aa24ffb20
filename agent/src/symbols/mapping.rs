//! Where the code of a program and its libraries is in memory. What stands at an address is not known here.

use std::fs::File;

/// Where a part of a file is in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) file_offset: u64,
    pub(crate) path: String,
    /// What tells this build of the file from others, in hexadecimal; `None` when it was not looked up or has none.
    pub(crate) build_id: Option<String>,
}

impl Mapping {
    pub(crate) fn holds(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// A line of `/proc/PID/maps`; `None` for what is not code of a file.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let executable = words.next()?.contains('x');
        let file_offset = u64::from_str_radix(words.next()?, 16).ok()?;
        let path = line[line.find('/')?..].to_owned();
        let [start, end] = [start, end].map(|bound| usize::from_str_radix(bound, 16).ok());
        executable.then_some(Self { start: start?, end: end?, file_offset, path, build_id: None })
    }

    /// The file, and of the program itself also when it was replaced or deleted since.
    pub(crate) fn open(&self) -> std::io::Result<File> {
        let own = std::env::current_exe().is_ok_and(|path| path.to_string_lossy() == self.path);
        File::open(if own { "/proc/self/exe" } else { self.path.as_str() })
    }
}
