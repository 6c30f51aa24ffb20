//! In which of its formats a Prometheus scraper is answered: what it accepts, most wanted first. The formats themselves
//! are written elsewhere.

use heartline_shared::Snapshot;

use super::prometheus::{self, Selection, Text};
use super::protobuf;
use crate::snapshot::Exemplified;

/// What a page of a small service takes.
const PAGE_BYTES: usize = 64 << 10;

/// A format of the metrics page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4: for scrapers that name no other, and for people.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' length-delimited protobuf, the only one with native histograms.
    Protobuf,
}

impl Format {
    /// Each, at its index.
    pub(crate) const ALL: [Self; 3] = [Self::Text, Self::OpenMetrics, Self::Protobuf];

    /// Its media type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The selected metrics of a snapshot.
    pub(crate) fn page(self, snapshot: (&Snapshot, &Exemplified), selection: &Selection) -> Vec<u8> {
        let text = |text| {
            let mut page = String::with_capacity(PAGE_BYTES);
            prometheus::render_selected(snapshot, selection, text, &mut page);
            page.into_bytes()
        };
        match self {
            Self::Text => text(Text::Prometheus),
            Self::OpenMetrics => text(Text::OpenMetrics),
            Self::Protobuf => {
                let mut page = Vec::with_capacity(PAGE_BYTES);
                protobuf::render_selected(snapshot, selection, &mut page);
                page
            }
        }
    }

    /// The format with the greatest weight in an `Accept` header; of several the one named first. Text where none is named.
    pub(crate) fn accepted(accept: &str) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',') {
            let (weight, format) = weighed(range);
            if let Some(format) = format.filter(|_| weight > best.0) {
                best = (weight, format);
            }
        }
        best.1
    }
}

/// The weight of one media range and the format it means.
fn weighed(range: &str) -> (f32, Option<Format>) {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let (mut weight, mut version, mut proto, mut encoding) = (1.0, None, None, None);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = value.parse().unwrap_or(0.0),
            "version" => version = Some(value),
            "proto" => proto = Some(value),
            "encoding" => encoding = Some(value),
            _ => {}
        }
    }
    let format = match media_type.as_str() {
        "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => Some(Format::OpenMetrics),
        "application/vnd.google.protobuf"
            if proto == Some("io.prometheus.client.MetricFamily")
                && encoding.is_none_or(|encoding| encoding == "delimited") =>
        {
            Some(Format::Protobuf)
        }
        "text/plain" | "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    };
    (weight, format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapers_get_what_they_want_most_of_what_there_is() {
        let native = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,\
                      application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,\
                      text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let usual = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (native, Format::Protobuf),
            (usual, Format::OpenMetrics),
            ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", Format::Text),
            ("application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.3", Format::Text),
            ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("", Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }
}
