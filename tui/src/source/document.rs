//! Bytes of a target into a snapshot that can be trusted: bounded, sanitised, validated. Where they came from is not
//! known here.

use std::borrow::Cow;

use heartline_shared::snapshot::{Family, HEAP_SITES_MAX, Snapshot};
use heartline_shared::{Histogram, Labels, catalog};
use serde::Deserialize;

use crate::text::sanitise;

/// How many metrics a document may have; what is beyond is left out.
pub(super) const METRICS_MAX: usize = 2_000;
/// How many boundaries a service may add to each grid.
const EXTRA_BOUNDARIES_MAX: usize = 512;
const CHECKS_MAX: usize = 200;
const EVIDENCE_MAX: usize = 20;
/// What a series takes beside its strings and buckets, in bytes.
const SERIES_OVERHEAD: usize = 96;
/// What an attribute takes beside its characters, in bytes.
const LABEL_OVERHEAD: usize = 48;

/// A document and how many of its series were left out.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) snapshot: Snapshot,
    pub(super) series_left_out: u64,
}

/// What an answer is.
#[derive(Debug)]
pub(super) enum Read {
    Whole(Document),
    /// The whole, made of what was known and what changed.
    Changed(Document),
    /// Changes of something else than what was known.
    Unfit,
}

/// What tells changes from a whole document: the `seq` of the document that they are changes of.
#[derive(Debug, Deserialize)]
struct Extent {
    #[serde(default)]
    since: Option<u64>,
}

/// Reads a snapshot, or what changed since `base`. Series that would take more than `series_bytes_max` together are left
/// out, those of the service's own metrics first.
///
/// # Errors
/// Says why the bytes are no snapshot, as the end of a sentence that began with what was asked.
pub(super) fn read(bytes: &[u8], series_bytes_max: usize, base: Option<&Snapshot>) -> Result<Read, String> {
    let explain = |error: serde_json::Error| match bytes.trim_ascii_start() {
        [b'{', ..] => format!("the answer is not a snapshot this program understands ({error})"),
        _ => "the answer is not a snapshot; is this the address of a heartline agent?".to_owned(),
    };
    let Extent { since } = serde_json::from_slice(bytes).map_err(explain)?;
    if since.is_some() && since != base.map(|base| base.seq) {
        return Ok(Read::Unfit);
    }
    let received: Snapshot = serde_json::from_slice(bytes).map_err(explain)?;
    let received = admit(received, series_bytes_max)?;
    let Some(base) = base.filter(|_| since.is_some()) else { return Ok(Read::Whole(received)) };
    if received.series_left_out > 0 {
        return Ok(Read::Unfit);
    }
    let Some(mut snapshot) = base.with_changes(received.snapshot) else { return Ok(Read::Unfit) };
    // each was within its limits; together they may not be
    let series_left_out = bound(&mut snapshot, series_bytes_max);
    snapshot.validate().map_err(|error| error.to_string())?;
    Ok(Read::Changed(Document { snapshot, series_left_out }))
}

/// A snapshot made safe: bounded, sanitised, validated.
///
/// # Errors
/// Says why it cannot be trusted.
pub(super) fn admit(mut snapshot: Snapshot, series_bytes_max: usize) -> Result<Document, String> {
    if snapshot.extra_boundaries.values().any(|extra| extra.len() > EXTRA_BOUNDARIES_MAX) {
        return Err(format!("the snapshot adds more than {EXTRA_BOUNDARIES_MAX} histogram boundaries"));
    }
    let series_left_out = bound(&mut snapshot, series_bytes_max);
    clean(&mut snapshot);
    snapshot.validate().map_err(|error| error.to_string())?;
    Ok(Document { snapshot, series_left_out })
}

/// Leaves out what is too much; gives how many series that were.
fn bound(snapshot: &mut Snapshot, series_bytes_max: usize) -> u64 {
    let mut left_out = 0_u64;
    for family in snapshot.metrics.drain(METRICS_MAX.min(snapshot.metrics.len())..) {
        left_out += (family.numbers.len() + family.histograms.len()) as u64;
    }
    let mut room = series_bytes_max;
    for built_in in [true, false] {
        let families = snapshot.metrics.iter_mut();
        for family in families.filter(|family| catalog::find(&family.name).is_some() == built_in) {
            left_out += bound_family(family, &mut room);
        }
    }
    snapshot.checks.truncate(CHECKS_MAX);
    if let Some(heap) = &mut snapshot.heap {
        heap.evidence.truncate(EVIDENCE_MAX);
        if let Some(sites) = &mut heap.sites {
            sites.sites.truncate(HEAP_SITES_MAX);
            sites.notes.truncate(EVIDENCE_MAX);
        }
    }
    left_out
}

fn bound_family(family: &mut Family, room: &mut usize) -> u64 {
    let mut fits = |labels: &Labels, histogram: Option<&Histogram>| {
        let strings: usize = labels.iter().map(|(name, value)| name.len() + value.len() + LABEL_OVERHEAD).sum();
        let buckets = histogram.map_or(0, |histogram| histogram.buckets.len() * size_of::<(u16, u64)>());
        match room.checked_sub(SERIES_OVERHEAD + strings + buckets) {
            Some(rest) => *room = rest,
            None => *room = 0,
        }
        *room > 0
    };
    let numbers = family.numbers.iter().take_while(|series| fits(&series.labels, None)).count();
    let histograms =
        family.histograms.iter().take_while(|series| fits(&series.labels, Some(&series.histogram))).count();
    let left_out = family.numbers.len() - numbers + family.histograms.len() - histograms;
    family.numbers.truncate(numbers);
    family.histograms.truncate(histograms);
    left_out as u64
}

/// Makes every string safe to print.
fn clean(snapshot: &mut Snapshot) {
    for text in [&mut snapshot.service, &mut snapshot.instance_id, &mut snapshot.started_at, &mut snapshot.timestamp] {
        clean_string(text);
    }
    snapshot.version.iter_mut().for_each(clean_string);
    for family in &mut snapshot.metrics {
        family.name =
            catalog::find(&family.name).map_or_else(|| owned(&family.name), |known| Cow::Borrowed(known.name));
        family.unit = owned(&family.unit);
        family.help = family.help.as_ref().map(|help| owned(help));
        family.numbers.iter_mut().for_each(|series| clean_labels(&mut series.labels));
        family.histograms.iter_mut().for_each(|series| clean_labels(&mut series.labels));
    }
    for check in &mut snapshot.checks {
        clean_string(&mut check.name);
        check.message.iter_mut().for_each(clean_string);
    }
    if let Some(heap) = &mut snapshot.heap {
        heap.evidence.iter_mut().for_each(clean_string);
        if let Some(sites) = &mut heap.sites {
            sites.notes.iter_mut().for_each(clean_string);
            for site in &mut sites.sites {
                clean_string(&mut site.function);
                site.file.iter_mut().for_each(clean_string);
            }
        }
    }
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(sanitise(text).into_owned())
}

fn clean_string(text: &mut String) {
    if let Cow::Owned(clean) = sanitise(text) {
        *text = clean;
    }
}

fn clean_labels(labels: &mut Labels) {
    let dirty = |text| matches!(sanitise(text), Cow::Owned(_));
    if labels.iter().any(|(name, value)| dirty(name) || dirty(value)) {
        let clean = labels.iter().map(|(name, value)| (owned(name), sanitise(value).into_owned()));
        *labels = Labels::from_pairs(clean);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fixture::Document as Fixture;

    fn wire(fixture: &Fixture) -> Vec<u8> {
        serde_json::to_vec(&fixture.snapshot()).unwrap()
    }

    /// A whole document.
    fn read(bytes: &[u8], series_bytes_max: usize) -> Result<Document, String> {
        match super::read(bytes, series_bytes_max, None)? {
            Read::Whole(document) => Ok(document),
            other => panic!("not whole: {other:?}"),
        }
    }

    /// Changes since the document of this number.
    fn changes(since: u64, fixture: &Fixture) -> Vec<u8> {
        let mut wire = serde_json::to_value(fixture.snapshot()).unwrap();
        wire["since"] = since.into();
        wire.to_string().into_bytes()
    }

    #[test]
    fn changes_of_what_is_known_give_the_whole_and_others_do_not_fit() {
        let known = Fixture::at(5).requests("/cart", "200", 3, 0.2).number("shop.orders", &[], 2.0).snapshot();
        let newer = Fixture::at(6).number("shop.orders", &[], 3.0);
        let since = |since, newer: &Fixture, base| super::read(&changes(since, newer), 1 << 20, base);
        let whole = Fixture::at(6).requests("/cart", "200", 3, 0.2).number("shop.orders", &[], 3.0).snapshot();
        match since(known.seq, &newer, Some(&known)).unwrap() {
            Read::Changed(document) => assert_eq!(document.snapshot, whole),
            other => panic!("{other:?}"),
        }
        let unfit = |read| matches!(read, Ok(Read::Unfit));
        assert!(unfit(since(known.seq, &newer, None)), "nobody asked for changes");
        assert!(unfit(since(known.seq + 1, &newer, Some(&known))), "of another document");
        assert!(unfit(since(known.seq, &Fixture::at(4), Some(&known))), "older than what is known");
        let restarted = Fixture::of_process(9, std::time::Duration::from_secs(6));
        assert!(unfit(since(known.seq, &restarted, Some(&known))), "of another process");
        // a document that is whole says nothing of `since`, whatever was asked for
        assert!(matches!(super::read(&wire(&restarted), 1 << 20, Some(&known)), Ok(Read::Whole(_))));
    }

    #[test]
    fn changes_are_bounded_cleaned_and_checked_as_a_whole_document_is() {
        let known = Fixture::at(5).number("shop.orders", &[], 2.0).snapshot();
        let evil = "a\u{1b}[2J";
        let newer = Fixture::at(6).number(evil, &[(evil, evil)], 1.0);
        let read = super::read(&changes(known.seq, &newer), 1 << 20, Some(&known)).unwrap();
        assert!(matches!(&read, Read::Changed(_)) && !format!("{read:?}").contains("\\u{1b}"), "{read:?}");
        let series = |from: usize| {
            (from..from + 60).fold(Fixture::at(6), |all, at| all.number("a.own", &[("at", &format!("{at:04}"))], 1.0))
        };
        let known = Snapshot { seq: 5, ..series(0).snapshot() };
        match super::read(&changes(5, &series(500)), 12_000, Some(&known)).unwrap() {
            Read::Changed(document) => assert!(document.series_left_out > 0, "together they are too many"),
            other => panic!("{other:?}"),
        }
        let mut lying = serde_json::to_value(Fixture::at(6).requests("/", "200", 1, 0.1).snapshot()).unwrap();
        (lying["metrics"][0]["histograms"][0]["count"], lying["since"]) = (9.into(), 5.into());
        assert!(super::read(lying.to_string().as_bytes(), 1 << 20, Some(&known)).is_err());
    }

    #[test]
    fn what_an_agent_sends_arrives_unchanged() {
        let sent = Fixture::at(5).requests("/cart", "200", 3, 0.2).number("shop.orders", &[("vendor", "é")], 2.0);
        let read = read(&wire(&sent), 1 << 20).unwrap();
        assert_eq!((read.snapshot, read.series_left_out), (sent.snapshot(), 0));
    }

    #[test]
    fn no_string_of_a_document_keeps_an_escape() {
        let evil = "a\u{1b}[2J\u{202e}";
        let sent = Fixture::at(5)
            .requests(evil, "200", 1, 0.1)
            .number(evil, &[(evil, evil)], 1.0)
            .edit(|snapshot| (snapshot.service, snapshot.version) = (evil.to_owned(), Some(evil.to_owned())));
        let read = read(&wire(&sent), 1 << 20).unwrap();
        let shown = format!("{:?}", read.snapshot);
        assert!(!shown.contains("\\u{1b}") && !shown.contains("\\u{202e}"), "{shown}");
    }

    #[test]
    fn too_many_series_are_left_out_own_metrics_first_and_counted() {
        let own = |count: usize| {
            (0..count).fold(Fixture::at(5).requests("/cart", "200", 1, 0.1), |document, series| {
                document.number("a.own.metric", &[("series", &series.to_string())], 1.0)
            })
        };
        let read = read(&wire(&own(1_000)), 20_000).unwrap();
        assert!(read.snapshot.family("http.server.request.duration").is_some_and(|it| it.histograms.len() == 1));
        let kept = read.snapshot.family("a.own.metric").unwrap().numbers.len() as u64;
        assert!(kept > 50 && kept + read.series_left_out == 1_000, "{kept} {}", read.series_left_out);
    }

    #[test]
    fn what_is_no_snapshot_is_refused_in_words() {
        let nested = "[".repeat(100_000);
        let cases: [(&[u8], &str); 5] = [
            (b"<html>", "is this the address of a heartline agent?"),
            (b"", "is this the address"),
            (b"{}", "missing field"),
            (br#"{"schema_version": 1e999}"#, "not a snapshot"),
            (nested.as_bytes(), "is this the address"),
        ];
        for (bytes, reason) in cases {
            let error = read(bytes, 1 << 20).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let lying = Fixture::at(5).requests("/", "200", 1, 0.1).snapshot();
        let mut lying = serde_json::to_value(lying).unwrap();
        lying["metrics"][0]["histograms"][0]["count"] = 9.into();
        let error = read(lying.to_string().as_bytes(), 1 << 20).unwrap_err();
        assert!(error.contains("do not add up"), "{error}");
    }

    #[test]
    fn a_flood_of_boundaries_is_refused_before_a_grid_is_built() {
        let flood = Fixture::at(5).edit(|snapshot| {
            snapshot.extra_boundaries.insert(heartline_shared::GridKind::Count, (0..100_000).collect());
        });
        let bytes = serde_json::to_vec(&flood.unchecked()).unwrap();
        assert!(read(&bytes, 1 << 20).unwrap_err().contains("boundaries"));
    }

    proptest! {
        #[test]
        fn a_damaged_document_is_read_or_refused_and_never_worse(position in 0_usize..10_000, byte in any::<u8>(), cut in 0_usize..10_000) {
            let mut bytes = wire(&Fixture::at(5).requests("/cart", "500", 3, 0.2).number("shop.orders", &[("v", "a")], 2.0));
            let length = bytes.len();
            bytes[position % length] = byte;
            bytes.truncate(length - cut % 50);
            let known = Fixture::at(5).requests("/cart", "500", 2, 0.2).snapshot();
            if let Ok(Read::Whole(document) | Read::Changed(document)) = super::read(&bytes, 1 << 20, Some(&known)) {
                prop_assert_eq!(document.snapshot.validate(), Ok(()));
            }
        }
    }
}
