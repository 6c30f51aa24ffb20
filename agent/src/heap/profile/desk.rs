//! What reading dumps needs and leaves behind: names, the history of call sites, and what is to be said about both. When
//! a dump is read is not known here.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::snapshot::{HeapSite, HeapSites, Sampling};

use super::growth::Growth;
use super::site::call_site;
use super::stacks::{Stack, Stacks};
use crate::symbols::{Detail, Frame, Symbols};

/// From this share of unnamed bytes on, the program is taken to be stripped.
const NOTHING_NAMED: f64 = 0.99;
/// Unnamed bytes are mentioned from this share on.
const UNNAMED_WORTH: f64 = 0.25;
/// What is said of figures that nothing is added to any more.
const ENDED: &str = "sampling has ended: this is what they held then";

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

/// What is known of call sites, as it is told.
#[derive(Debug, Default)]
pub(super) struct Account {
    told: Arc<HeapSites>,
    /// What is to be said about their names.
    remarks: Vec<String>,
}

impl Account {
    /// Of this growth, while allocations are sampled.
    pub(super) fn of(growth: HeapSites, remarks: Vec<String>) -> Self {
        let mut told = HeapSites { sampling: Sampling::Active, ..growth };
        told.notes.extend_from_slice(&remarks);
        Self { told: Arc::new(told), remarks }
    }

    /// What is known. Once sampling is not `active` nobody can say what grows.
    pub(super) fn told(&mut self, active: bool) -> Arc<HeapSites> {
        match (active, self.told.sampling) {
            (true, Sampling::Active) | (false, Sampling::Off | Sampling::Unavailable) => {}
            (true, _) => {
                let told = HeapSites::clone(&self.told);
                self.told = Arc::new(HeapSites { sampling: Sampling::Active, ..told });
            }
            (false, Sampling::Active) => self.told = Arc::new(self.ended()),
        }
        Arc::clone(&self.told)
    }

    fn ended(&self) -> HeapSites {
        let held = |site: &HeapSite| HeapSite {
            growing: false,
            growth_bytes_per_second: None,
            growth_interval: None,
            share: None,
            ..site.clone()
        };
        let mut sites: Vec<HeapSite> = self.told.sites.iter().map(held).collect();
        sites.sort_by_key(|site| Reverse(site.live_bytes));
        let ended = (!sites.is_empty()).then(|| ENDED.to_owned());
        HeapSites {
            sampling: Sampling::Off,
            notes: ended.into_iter().chain(self.remarks.iter().cloned()).collect(),
            growth_bytes_per_second: None,
            explained: None,
            sites,
            ..HeapSites::clone(&self.told)
        }
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

    #[test]
    fn once_sampling_has_ended_nothing_grows_and_what_sites_held_stays() {
        let growing = HeapSite {
            function: "forget".to_owned(),
            live_bytes: 5,
            growing: true,
            growth_bytes_per_second: Some(1.0),
            growth_interval: Some([0.5, 1.5]),
            share: Some(0.9),
            survival: Some(0.99),
            ..HeapSite::default()
        };
        let large = HeapSite { function: "fill".to_owned(), live_bytes: 9, ..HeapSite::default() };
        let growth = HeapSites {
            sampled_seconds: 60.0,
            growth_bytes_per_second: Some(1.1),
            explained: Some(0.9),
            notes: vec!["the growing sites add up to 60 % of the growth".to_owned()],
            sites: vec![growing.clone(), large.clone()],
            ..HeapSites::default()
        };
        let mut account = Account::of(growth.clone(), vec!["no line tables".to_owned()]);
        let told = account.told(true);
        assert_eq!((told.sampling, &told.sites, told.notes.len()), (Sampling::Active, &growth.sites, 2));
        let told = account.told(false);
        let held =
            HeapSite { function: "forget".to_owned(), live_bytes: 5, survival: Some(0.99), ..HeapSite::default() };
        let ended = HeapSites {
            sampled_seconds: 60.0,
            notes: vec![ENDED.to_owned(), "no line tables".to_owned()],
            sites: vec![large, held],
            ..HeapSites::default()
        };
        assert_eq!(*told, ended);
        assert!(Arc::ptr_eq(&told, &account.told(false)), "made once");
        let mut nothing = Account::default();
        assert_eq!(*nothing.told(false), HeapSites::default());
        assert_eq!(nothing.told(true).sampling, Sampling::Active);
        assert_eq!(*nothing.told(false), HeapSites::default());
    }
}
