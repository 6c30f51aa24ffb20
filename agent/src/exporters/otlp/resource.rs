//! What the metrics are of, as OTLP's resource: the service, its process, its host. Arguments and environment of the process
//! are never among it.

use heartline_shared::Snapshot;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The resource of a snapshot; `configured` wins over what is found, except for the service's own names.
pub(crate) fn of(snapshot: &Snapshot, configured: &[(String, String)]) -> Resource {
    let mut attributes = vec![text("service.name", &snapshot.service)];
    attributes.push(text("service.instance.id", &snapshot.instance_id));
    attributes.extend(snapshot.version.iter().map(|version| text("service.version", version)));
    for (name, value) in configured {
        attributes.retain(|have| have.key != *name);
        attributes.push(text(name, value));
    }
    for found in found() {
        if !attributes.iter().any(|have| have.key == found.key) {
            attributes.push(found);
        }
    }
    Resource { attributes, ..Resource::default() }
}

fn found() -> Vec<KeyValue> {
    let mut found = vec![
        text("telemetry.sdk.name", "heartline"),
        text("telemetry.sdk.language", "rust"),
        text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        text("host.arch", architecture()),
        text("os.type", std::env::consts::OS),
        KeyValue {
            key: "process.pid".to_owned(),
            value: Some(AnyValue { value: Some(Value::IntValue(i64::from(std::process::id()))) }),
            ..KeyValue::default()
        },
    ];
    found.extend(sysinfo::System::host_name().map(|name| text("host.name", &name)));
    found.extend(std::env::current_exe().ok().and_then(|path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some(text("process.executable.name", &name))
    }));
    found
}

/// As OpenTelemetry calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        other => other,
    }
}

pub(super) fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}
