//! Kept spans as OTLP's messages; how they are sent is not known here.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use prost::bytes::Bytes;

use super::mapping::SCHEMA_URL;
use crate::trace::{Kept, Span as Shown, Value as Said};

/// The request with the spans of these requests, and how many there are.
pub(super) fn request(kept: &[Arc<Kept>], resource: &Resource) -> (Bytes, u64) {
    let spans: Vec<Span> = kept.iter().flat_map(|kept| spans(kept)).collect();
    let count = spans.len() as u64;
    let scope = InstrumentationScope {
        name: "heartline".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, schema_url: SCHEMA_URL.to_owned() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource.clone()), scope_spans, schema_url: SCHEMA_URL.to_owned() }];
    (ExportTraceServiceRequest { resource_spans }.encode_to_vec().into(), count)
}

fn spans(kept: &Kept) -> Vec<Span> {
    let mut spans: Vec<Span> = kept.left_to_export().iter().map(|shown| span(kept, shown)).collect();
    if let Some(root) = spans.first_mut() {
        root.dropped_attributes_count = kept.cut.attributes;
        root.dropped_events_count = kept.cut.events;
        if kept.cut.spans > 0 {
            root.attributes.push(attribute("heartline.spans.cut", &Said::Unsigned(u64::from(kept.cut.spans))));
        }
    }
    spans
}

fn span(kept: &Kept, shown: &Shown<'_>) -> Span {
    let at = |offset: u64| kept.began_unix_nanos.saturating_add(offset);
    let mut attributes: Vec<KeyValue> = shown.attributes.iter().map(|(name, said)| attribute(name, said)).collect();
    if let Some(busy) = shown.busy {
        // as tracing-opentelemetry calls them
        attributes.push(attribute("busy_ns", &Said::Unsigned(busy)));
        attributes.push(attribute("idle_ns", &Said::Unsigned(shown.nanos.saturating_sub(busy))));
    }
    if !shown.target.is_empty() {
        attributes.push(attribute("code.namespace", &Said::Text(shown.target.into())));
    }
    Span {
        trace_id: kept.trace().to_be_bytes().to_vec(),
        span_id: shown.id.to_be_bytes().to_vec(),
        trace_state: kept.state.to_string(),
        parent_span_id: shown.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: u32::from(kept.is_sampled()),
        name: shown.name.to_string(),
        kind: match shown.kind {
            "server" => SpanKind::Server,
            "client" => SpanKind::Client,
            "producer" => SpanKind::Producer,
            "consumer" => SpanKind::Consumer,
            _ => SpanKind::Internal,
        } as i32,
        start_time_unix_nano: at(shown.start),
        end_time_unix_nano: at(shown.start.saturating_add(shown.nanos)),
        attributes,
        events: shown
            .events
            .iter()
            .map(|event| Event {
                time_unix_nano: at(event.at),
                name: event.message.to_string(),
                attributes: [("level", Said::Text(event.level.into())), ("target", Said::Text(event.target.into()))]
                    .iter()
                    .chain(&event.attributes)
                    .map(|(name, said)| attribute(name, said))
                    .collect(),
                dropped_attributes_count: 0,
            })
            .collect(),
        status: shown.failed.then(|| Status { code: StatusCode::Error as i32, ..Status::default() }),
        ..Span::default()
    }
}

fn attribute(key: &str, said: &Said<'_>) -> KeyValue {
    let value = match said {
        Said::Text(text) => Value::StringValue(text.to_string()),
        Said::Signed(number) => Value::IntValue(*number),
        Said::Unsigned(number) => Value::IntValue(i64::try_from(*number).unwrap_or(i64::MAX)),
        Said::Float(number) => Value::DoubleValue(*number),
        Said::Flag(flag) => Value::BoolValue(*flag),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
