//! The build id of a mapped file, by which another machine finds the same build with its symbols.

use std::fs::File;

use object::Object as _;
use object::read::ReadCache;

use super::mapping::Mapping;

/// Looks up the build ids of files; what cannot be read has none.
pub(crate) fn identify(mappings: &mut [Mapping]) {
    for mapping in mappings {
        mapping.build_id = mapping.open().ok().and_then(of);
    }
}

fn of(file: File) -> Option<String> {
    let cache = ReadCache::new(file);
    let parsed = object::File::parse(&cache).ok()?;
    let id = parsed.build_id().ok()??;
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0'));
    Some(id.iter().flat_map(digits).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_has_one_and_what_is_no_program_has_none() {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let library = maps.lines().find_map(|line| line.split_once('/').filter(|(_, path)| path.contains("libc.so")));
        let path = |path: &str| Mapping { path: path.to_owned(), ..Mapping::default() };
        let mut mappings = vec![path("/proc/self/maps"), path("/nowhere")];
        mappings.extend(library.map(|(_, rest)| path(&format!("/{rest}"))));
        identify(&mut mappings);
        assert_eq!([&mappings[0].build_id, &mappings[1].build_id], [&None, &None]);
        for library in &mappings[2..] {
            assert!(library.build_id.as_ref().is_some_and(|id| id.len() >= 16), "{library:?}");
        }
    }
}
