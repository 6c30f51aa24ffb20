//! The Grafana boards against real Prometheus servers that scrape the reference service under load and faults: every
//! query of every panel, variable and annotation returns something, with classic and with native histograms.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_boards::check::Dashboard;
use heartline_boards::check::query::{Values, selectors};
use heartline_tests::binaries::repository;
use heartline_tests::servers::{
    Prometheus, Rotel, Scraping, check_alertmanager_config, check_prometheus_config, promtool_version,
};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;

/// Long enough for a leak to be measured and for every window to hold two samples.
const LIMIT: Duration = Duration::from_mins(4);

/// What the reference service has no series for, and why. Every query of these must indeed return nothing.
const LACKING: &[(&[&str], &str)] = &[
    (
        &["http.client.request.duration", "http.client.active_requests"],
        "its payment calls go through the breaker, not through an instrumented HTTP client",
    ),
    (
        &["http.server.request.body.size", "http.server.response.body.size", "db.client.response.returned_rows"],
        "off unless a service asks for them, and it does not",
    ),
    (
        &["heartline.cache.operation.duration"],
        "its tiers are in its own process and answer at once; it times none of them",
    ),
    (&["heartline.job.worker.count"], "its job library does not say which workers are busy"),
    (
        &["heartline.heap.live"],
        "it runs on jemalloc, whose own figure is jemalloc.allocated; this one is of a counting allocator",
    ),
    (
        &[
            "tokio.blocking.thread.count",
            "tokio.blocking.queue.depth",
            "tokio.poll.duration",
            "tokio.worker.polls",
            "tokio.worker.steals",
            "tokio.worker.overflows",
            "tokio.task.spawned",
            "tokio.budget_forced_yields",
        ],
        "it is built without tokio_unstable",
    ),
    (&["heartline.alert.status"], "it evaluates no alerts in its own process"),
    (&["system.disk.operations", "system.network.packet.dropped"], "no agent measures them on this platform"),
    (
        &["heartline.memory.time_to_limit"],
        "it is said only of a growth that reaches the limit soon; this one takes hours",
    ),
    (&["heartline.series.dropped"], "its labels stay far below the limit of series"),
];

/// Metrics that it has only when it is built with the agent's feature `system`, as `./test` builds it.
const OF_A_FEATURE: &str = "system.";
/// Series that tell whether it was.
const FEATURE_IS_ON: &str = "system_memory_limit_bytes";

/// Alerts as the generated rules label them: one fires, one is pending, two are advice.
const RULES: &str = r#"
groups:
  - name: heartline
    rules:
      - {alert: ServiceUp, expr: process_uptime_seconds > 0, labels: {severity: warning, heartline: "true"}}
      - {alert: ServiceOld, expr: process_uptime_seconds > 0, for: 1d, labels: {severity: info, heartline: "true"}}
      - {alert: ScaleUp, expr: process_uptime_seconds > 0, labels: {severity: info, heartline: "true", kind: scaling}}
"#;

/// One question to one server, and where it stands.
struct Question<'a> {
    place: String,
    query: String,
    server: &'a Prometheus,
    name: &'static str,
    /// Why it was refused when it was asked last.
    refused: Option<String>,
}

impl Question<'_> {
    /// Asks it.
    fn has_answer(&mut self) -> bool {
        let counted = self.server.count(&self.query);
        let has_answer = counted.as_ref().is_ok_and(|series| *series > 0);
        self.refused = counted.err().map(|error| format!("{error:#}"));
        has_answer
    }

    /// It and why it was refused, for a failing test.
    fn told(&self) -> String {
        let refused = self.refused.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} ({}): {}{refused}", self.place, self.name, self.query)
    }
}

#[test]
fn every_query_of_every_board_returns_a_series_with_either_kind_of_histogram() -> Result<()> {
    let secrets = tempfile::tempdir()?;
    let mut rotel = Rotel::start()?;
    let mut shop = troubled_shop(secrets.path(), &rotel)?;
    let target = shop.agent_url().trim_start_matches("http://").to_owned();
    let classic = Prometheus::start_as(&target, Scraping { native_histograms: false, rules: RULES })?;
    let native = Prometheus::start_as(&target, Scraping { native_histograms: true, rules: RULES })?;
    wait_until(LIMIT, "an uptime that a restart makes smaller", || {
        Ok(classic.value("max(process_uptime_seconds)")?.filter(|up| *up > 3.0))
    })?;
    shop.restart()?;
    rotel.kill(); // what it pushes fails from now on
    let refused = reqwest::blocking::Client::new().post(format!("{}/api/v1/metrics/reset", shop.agent_url())).send()?;
    ensure!(refused.status() == 401, "an admin route without a token answers {}", refused.status());

    let boards = boards()?;
    let questions = questions(&boards, &classic, &native)?;
    ensure!(questions.len() > 500, "only {} queries: are the boards complete?", questions.len());
    everything_answers(questions, &shop)?;
    nothing_is_excused_in_vain(&boards, &[&classic, &native])?;
    for board in &boards {
        variables_have_values(board, &[&classic, &native])?;
    }
    Ok(())
}

/// Under load, failing and leaking, pushing to a collector that soon is away, with an admin route to be refused at.
fn troubled_shop(secrets: &Path, rotel: &Rotel) -> Result<Shop> {
    let token = secrets.join("admin-token");
    fs::write(&token, "the-token-of-an-admin-who-never-asks")?;
    let mut setup = Setup::loaded("basic");
    let faults = ["error-burst=20", "heap-leak=400000", "slow-query", "pool-exhaustion"];
    setup.arguments.extend(faults.iter().flat_map(|fault| ["--fault".to_owned(), (*fault).to_owned()]));
    setup.arguments.extend(["--admin-token-file".to_owned(), token.display().to_string()]);
    setup.arguments.push("--otlp".to_owned());
    let setup = setup.with("OTEL_EXPORTER_OTLP_ENDPOINT", rotel.http()).with("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    Shop::start(setup)
}

fn boards() -> Result<Vec<Dashboard>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(repository().join("grafana/dashboards"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    ensure!(paths.len() == 11, "there are {} boards instead of eleven", paths.len());
    paths.iter().map(|path| Dashboard::parse(&fs::read_to_string(path)?)).collect()
}

/// As Grafana fills variables in when a server is scraped every second.
fn values() -> Values {
    Values { rate_interval: "15s".to_owned(), range: "5m".to_owned(), ..Values::default() }
}

fn questions<'a>(boards: &[Dashboard], classic: &'a Prometheus, native: &'a Prometheus) -> Result<Vec<Question<'a>>> {
    let mut questions = Vec::new();
    let feature_is_on = classic.count(FEATURE_IS_ON)? > 0;
    for board in boards {
        for (panel, target) in board.targets() {
            if lacks(&target.query)? || (!feature_is_on && is_of_a_feature(&target.query)?) {
                continue;
            }
            // a heatmap asks for buckets and for native histograms apart; all others read either
            let is_heatmap = target.format == "heatmap";
            let of_buckets = target.query.contains("_bucket");
            for (server, name, fits) in [(classic, "classic", of_buckets), (native, "native", !of_buckets)] {
                if fits || !is_heatmap {
                    let place = format!("{} / {} / {}", board.title, panel.title, target.letter);
                    questions.push(Question {
                        place,
                        query: values().replace(&target.query),
                        server,
                        name,
                        refused: None,
                    });
                }
            }
        }
        for (annotation, query) in &board.annotations {
            let place = format!("{} / {annotation}", board.title);
            let query = values().replace(query);
            questions.push(Question { place, query, server: classic, name: "classic", refused: None });
        }
    }
    Ok(questions)
}

fn metrics(query: &str) -> Result<Vec<&'static str>> {
    Ok(selectors(query)?.iter().filter_map(|read| read.metric.map(|metric| metric.name)).collect())
}

fn lacks(query: &str) -> Result<bool> {
    let lacking = |name: &str| LACKING.iter().any(|(names, _)| names.contains(&name));
    Ok(metrics(query)?.into_iter().any(lacking))
}

fn is_of_a_feature(query: &str) -> Result<bool> {
    Ok(metrics(query)?.iter().any(|name| name.starts_with(OF_A_FEATURE)))
}

/// Each question is asked until it is answered once: some need a window of samples, some are about a moment.
fn everything_answers(mut open: Vec<Question<'_>>, shop: &Shop) -> Result<()> {
    let answered = wait_until(LIMIT, "an answer to every query", || {
        open.retain_mut(|question| !question.has_answer());
        let told = || open.iter().map(Question::told).collect::<Vec<_>>().join("\n");
        ensure!(open.is_empty(), "{} without an answer:\n{}", open.len(), told());
        Ok(Some(()))
    });
    answered.with_context(|| shop.report())
}

/// Every excuse is about a metric that a board asks for, and that there is indeed nothing of.
fn nothing_is_excused_in_vain(boards: &[Dashboard], servers: &[&Prometheus]) -> Result<()> {
    let mut excused = Vec::new();
    for query in boards.iter().flat_map(Dashboard::targets).map(|(_, target)| &target.query) {
        if lacks(query)? {
            excused.extend(metrics(query)?);
            for server in servers {
                let query = values().replace(query);
                ensure!(server.count(&query)? == 0, "this is excused, and yet there is an answer to {query}");
            }
        }
    }
    let names = LACKING.iter().flat_map(|(names, _)| *names);
    let needless: Vec<_> = names.filter(|name| !excused.contains(name)).collect();
    ensure!(needless.is_empty(), "no board asks for {needless:?}, and yet they are excused");
    Ok(())
}

fn variables_have_values(board: &Dashboard, servers: &[&Prometheus]) -> Result<()> {
    for variable in &board.variables {
        let Some((selector, label)) = &variable.listed else { continue };
        for server in servers {
            let listed = server.label_values(&values().replace(selector), label)?;
            ensure!(!listed.is_empty(), "{}: {} has no values", board.title, variable.name);
        }
    }
    Ok(())
}

/// Settings that an installed promtool may be too old for.
const NEWER: [&str; 4] =
    ["scrape_native_histograms:", "otlp:", "promote_resource_attributes:", "keep_identifying_resource_attributes:"];

#[test]
fn prometheus_and_alertmanager_accept_their_configurations() -> Result<()> {
    let stack = repository().join("grafana");
    let said = check_alertmanager_config(&stack.join("alertmanager/alertmanager.yml"))?;
    ensure!(said.contains("SUCCESS") && said.contains("inhibit rules"), "{said}");
    let folder = tempfile::tempdir()?;
    let written = fs::read_to_string(stack.join("prometheus/prometheus.yml"))?;
    let (known, newer) = without_newer(&written, promtool_version()?)?;
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, known)?;
    copy_rules(&stack.join("prometheus/rules"), &folder.path().join("rules"))?;
    let said = check_prometheus_config(&file)?;
    ensure!(said.contains("SUCCESS"), "{said}");
    // what an older promtool cannot judge is this and nothing else
    ensure!(newer.iter().all(|line| NEWER.iter().any(|key| line.trim_start().starts_with(key))), "{newer:?}");
    Ok(())
}

/// The lines that a Prometheus of `version` knows, and those that are marked `# since` a newer one.
fn without_newer(text: &str, version: (u32, u32)) -> Result<(String, Vec<String>)> {
    let (mut known, mut newer) = (String::new(), Vec::new());
    for line in text.lines() {
        let since = line.split_once("# since ").map(|(_, since)| since.split([':', ' ']).next().unwrap_or_default());
        let numbers = since.and_then(|since| since.split_once('.'));
        let is_newer = match numbers {
            Some((major, minor)) => (major.parse()?, minor.parse()?) > version,
            None => false,
        };
        if is_newer {
            newer.push(line.to_owned());
        } else {
            known.push_str(line);
            known.push('\n');
        }
    }
    Ok((known, newer))
}

fn copy_rules(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().context("an entry has a name")?;
        fs::copy(&path, to.join(name))?;
    }
    Ok(())
}
