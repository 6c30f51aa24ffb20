//! What reading dumps needs and leaves behind: names, the history of call sites, and what is to be said about both. When
//! a dump is read is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::growth::Growth;
use super::site::call_site;
use super::stacks::{Stack, Stacks};
use crate::symbols::{Detail, Frame, Symbols};

/// From this share of unnamed bytes on, the program is taken to be stripped.
const NOTHING_NAMED: f64 = 0.99;
/// Unnamed bytes are mentioned from this share on.
const UNNAMED_WORTH: f64 = 0.25;

/// What reading dumps needs and leaves behind; used by one thread at a time.
#[derive(Debug, Default)]
pub(super) struct Desk {
    pub(super) symbols: Symbols,
    pub(super) growth: Growth,
    pub(super) took: Duration,
}

impl Desk {
    /// What each call site holds, and how many bytes no name was found for.
    pub(super) fn fold(&mut self, stacks: &Stacks) -> (Vec<(Frame, f64)>, f64) {
        let mut sites: BTreeMap<Frame, f64> = BTreeMap::new();
        let mut unnamed = 0.0;
        for Stack { addresses, bytes, .. } in &stacks.stacks {
            let frames = addresses.iter().flat_map(|address| self.symbols.at(*address).to_vec());
            match call_site(frames) {
                Some(site) => *sites.entry(site).or_default() += bytes,
                None => unnamed += bytes,
            }
        }
        (sites.into_iter().collect(), unnamed)
    }
}

/// What is to be said about the names of call sites.
pub(super) fn remarks(detail: Detail, stacks: &Stacks, unnamed: f64) -> Vec<String> {
    let mut remarks = Vec::new();
    let all = stacks.bytes();
    let nothing = unnamed >= NOTHING_NAMED * all;
    match detail {
        _ if stacks.stacks.is_empty() => {}
        // whatever libraries of the system carry
        _ if nothing => remarks.push(
            "the program is stripped, so that nothing is known by name; build it with debug = \"line-tables-only\" and strip = false, or read the profile elsewhere with the unstripped file"
                .to_owned(),
        ),
        Detail::Nothing | Detail::Names => remarks.push(
            "the program has no line tables; debug = \"line-tables-only\" in its profile gives files and lines".to_owned(),
        ),
        Detail::Lines => {}
    }
    if unnamed > UNNAMED_WORTH * all && !nothing {
        remarks.push(format!(
            "{:.0} % of what is sampled was allocated by no code of a known name",
            unnamed / all * 100.0
        ));
    }
    if stacks.left_out > 0 {
        remarks.push(format!("{} call stacks were too many to be read", stacks.left_out));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_is_missing_to_name_call_sites() {
        let stack = Stack { addresses: vec![16], bytes: 100.0, objects: 1.0 };
        let stacks = Stacks { stacks: vec![stack], ..Stacks::default() };
        let (sites, unnamed) = Desk::default().fold(&stacks);
        assert_eq!((sites.len(), unnamed), (0, 100.0), "nothing is at that address");
        for detail in [Detail::Nothing, Detail::Names, Detail::Lines] {
            let said = remarks(detail, &stacks, unnamed);
            assert!(said.len() == 1 && said[0].contains("is stripped"), "{said:?}");
        }
        assert!(remarks(Detail::Names, &stacks, 0.0)[0].contains("no line tables"));
        assert!(remarks(Detail::Lines, &stacks, 30.0)[0].starts_with("30 % of what is sampled"));
        assert!(remarks(Detail::Lines, &stacks, 0.0).is_empty());
        assert!(remarks(Detail::Nothing, &Stacks::default(), 0.0).is_empty(), "nothing was looked up");
    }
}
