//! The stack that shows the boards: whether its files fit together. What Prometheus and Alertmanager themselves think of
//! their configurations, the end-to-end tests ask them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn stack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(stack().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn items(value: &Value) -> Vec<&str> {
    value.as_array().map(|items| items.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn services() -> serde_json::Map<String, Value> {
    yaml("compose.yaml")["services"].as_object().unwrap().clone()
}

#[test]
fn every_image_is_public_and_of_a_fixed_version() {
    for (name, service) in services() {
        let image = service["image"].as_str().unwrap_or_else(|| panic!("{name} has no image"));
        let (repository, version) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image} has no version"));
        assert!(!repository.contains('.'), "{name}: {image} is not on the public hub");
        assert!(version.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()), "{name}: {image}");
        assert!(service["build"].is_null(), "{name} is built instead of taken");
    }
}

#[test]
fn what_is_mounted_exists_and_ports_are_open_on_this_machine_only() {
    for (name, service) in services() {
        for volume in items(&service["volumes"]).iter().filter(|volume| volume.starts_with('.')) {
            let source = volume.split(':').next().unwrap();
            assert!(stack().join(source).exists(), "{name} mounts {source}, which does not exist");
            assert!(volume.ends_with(":ro"), "{name} could write to {source}");
        }
        for port in items(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to the network at {port}");
        }
    }
}

#[test]
fn pipelines_of_the_collectors_use_what_is_defined_and_define_what_is_used() {
    for file in ["collector/config.yaml", "collector/scraped.yaml"] {
        let collector = yaml(file);
        for (pipeline, parts) in collector["service"]["pipelines"].as_object().unwrap() {
            for kind in ["receivers", "processors", "exporters"] {
                let used = items(&parts[kind]);
                let defined: Vec<&str> = collector[kind].as_object().unwrap().keys().map(String::as_str).collect();
                assert!(
                    !used.is_empty() && used.iter().all(|part| defined.contains(part)),
                    "{file}: {pipeline}: {kind}"
                );
                assert_eq!(used.len(), defined.len(), "{file}: {kind} that nothing uses");
            }
            assert_eq!(items(&parts["processors"])[0], "memory_limiter", "{file}: it must come first");
        }
    }
}

#[test]
fn grafana_finds_the_boards_where_compose_puts_them() {
    let provider = &yaml("provisioning/dashboards/heartline.yaml")["providers"][0];
    let path = provider["options"]["path"].as_str().unwrap();
    let mounted = format!("./dashboards:{path}:ro");
    assert!(items(&services()["grafana"]["volumes"]).contains(&mounted.as_str()), "{path} is not mounted");
    assert_eq!(provider["allowUiUpdates"], false);
    let home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].clone();
    let file = home.as_str().unwrap().strip_prefix(path).unwrap().trim_start_matches('/').to_owned();
    assert!(stack().join("dashboards").join(&file).is_file(), "the home board {file} does not exist");
}

#[test]
fn data_sources_name_servers_of_the_stack_and_each_other() {
    let file = yaml("provisioning/datasources/heartline.yaml");
    let sources = file["datasources"].as_array().unwrap();
    let names: Vec<String> = services().keys().cloned().collect();
    let uids: Vec<&str> = sources.iter().filter_map(|source| source["uid"].as_str()).collect();
    for source in sources {
        let host = source["url"].as_str().unwrap().trim_start_matches("http://").split(':').next().unwrap();
        assert!(names.iter().any(|name| name == host), "no service is called {host}");
        if let Some(uid) = source["jsonData"]["alertmanagerUid"].as_str() {
            assert!(uids.contains(&uid), "no data source is {uid}");
        }
    }
    // Grafana replaces `$` in these files: `$$` is a dollar that stays
    let destination = &sources[0]["jsonData"]["exemplarTraceIdDestinations"][0];
    assert_eq!(destination["url"], "${HEARTLINE_TRACE_URL}$${__value.raw}");
    assert!(services()["grafana"]["environment"]["HEARTLINE_TRACE_URL"].is_string());
}

#[test]
fn prometheus_scrapes_as_often_as_the_data_source_says_and_evaluates_as_often_as_alerts_do() {
    let prometheus = yaml("prometheus/prometheus.yml");
    let source = &yaml("provisioning/datasources/heartline.yaml")["datasources"][0];
    assert_eq!(prometheus["global"]["scrape_interval"], source["jsonData"]["timeInterval"]);
    let every = crate::thresholds::rule("HttpErrorRatio").every;
    assert_eq!(prometheus["global"]["evaluation_interval"], heartline_shared::alerts::format_duration(every));
    assert_eq!(items(&prometheus["rule_files"]), ["rules/*.yml"]);
}

#[test]
fn the_exceptions_of_the_linter_are_as_it_reads_them() {
    let lint = yaml("dashboards/.lint");
    let rules = lint["exclusions"].as_object().unwrap();
    assert!(!rules.is_empty());
    for (rule, exclusion) in rules {
        assert!(exclusion["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{rule} has no reason");
        for entry in exclusion["entries"].as_array().unwrap() {
            assert!(entry["dashboard"].is_string() && entry["panel"].is_string(), "{rule}: {entry}");
        }
    }
}
