//! A Prometheus that scrapes what a test points it at, and promtool's and amtool's opinions of pages and configurations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{START_LIMIT, free_port, installed};
use crate::program::Program;
use crate::readings::Totals;
use crate::waiting::wait_until;

/// How a server is started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scraping<'a> {
    /// Whether it asks for native histograms, and so keeps no classic ones.
    pub native_histograms: bool,
    /// Rules in Prometheus' own format; empty for none.
    pub rules: &'a str,
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Prometheus {
    program: Program,
    url: String,
    _folder: TempDir,
}

/// One request that stands for a bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// The labels of the bucket's series.
    pub series: BTreeMap<String, String>,
    /// Its own.
    pub labels: BTreeMap<String, String>,
    /// What was measured.
    pub value: f64,
}

impl Prometheus {
    /// Starts one that scrapes `target`, a `host:port`, every second.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start(target: &str) -> Result<Self> {
        Self::start_as(target, Scraping::default())
    }

    /// The same with native histograms, which it asks for in protobuf.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start_with_native_histograms(target: &str) -> Result<Self> {
        Self::start_as(target, Scraping { native_histograms: true, rules: "" })
    }

    /// Starts one that scrapes `target` every second in the given way.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start_as(target: &str, scraping: Scraping<'_>) -> Result<Self> {
        let server = installed("prometheus", &[], "prometheus")?;
        let folder = tempfile::tempdir()?;
        let (file, data) = (folder.path().join("prometheus.yml"), folder.path().join("data"));
        let mut text = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n".to_owned();
        if !scraping.rules.is_empty() {
            fs::write(folder.path().join("rules.yml"), scraping.rules)?;
            text.push_str("rule_files: [rules.yml]\n");
        }
        writeln!(text, "scrape_configs:\n  - {{job_name: shop, static_configs: [{{targets: ['{target}']}}]}}")?;
        fs::write(&file, text)?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let features = if scraping.native_histograms { "native-histograms" } else { "exemplar-storage" };
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={address}"),
            format!("--enable-feature={features}"),
        ];
        let prometheus =
            Self { program: Program::start(server, &arguments)?, url: format!("http://{address}"), _folder: folder };
        wait_until(START_LIMIT, "a first scrape by Prometheus", || Ok(prometheus.value("up")?.filter(|up| *up > 0.0)))
            .with_context(|| prometheus.program.report())?;
        Ok(prometheus)
    }

    /// How many series an instant query gives.
    ///
    /// # Errors
    /// When it does not answer, with its words when it refuses the query.
    pub fn count(&self, query: &str) -> Result<usize> {
        Ok(self.series(query)?.len())
    }

    /// The values that `label` takes among the series `selector` selects.
    ///
    /// # Errors
    /// When it does not answer as agreed.
    pub fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/label/{label}/values", self.url))?;
        url.query_pairs_mut().append_pair("match[]", selector);
        let mut answer: Value = reqwest::blocking::get(url)?.error_for_status()?.json()?;
        Ok(serde_json::from_value(answer["data"].take())?)
    }

    /// The value of an instant query that gives one series; `None` when it gives none.
    ///
    /// # Errors
    /// When it does not answer or gives several series.
    pub fn value(&self, query: &str) -> Result<Option<f64>> {
        match self.series(query)?.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(number(one)?)),
            several => bail!("{query} gives {} series", several.len()),
        }
    }

    /// The whole values of an instant query by the values of `labels`.
    ///
    /// # Errors
    /// When it does not answer, or with a value that is not a count.
    pub fn totals(&self, query: &str, labels: &[String]) -> Result<Totals> {
        let key = |series: &Value| {
            labels.iter().map(|name| series["metric"][name].as_str().unwrap_or_default().to_owned()).collect()
        };
        self.series(query)?.iter().map(|series| Ok((key(series), text(series)?.parse()?))).collect()
    }

    /// Every series of an instant query with all its labels, as `/metrics` writes them, `job` and `instance` left out.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn samples(&self, query: &str) -> Result<BTreeMap<String, f64>> {
        let sample = |series: &Value| {
            let labels = series["metric"].as_object().context("a series has labels")?;
            let name = series["metric"]["__name__"].as_str().unwrap_or_default();
            let own = labels.iter().filter(|(label, _)| !["__name__", "job", "instance"].contains(&label.as_str()));
            let labels: BTreeMap<&str, &str> =
                own.map(|(label, value)| (label.as_str(), value.as_str().unwrap_or_default())).collect();
            Ok((crate::readings::sample_name(name, labels), number(series)?))
        };
        self.series(query)?.iter().map(sample).collect()
    }

    /// The exemplars that it kept of the series that `query` selects, whenever they were.
    ///
    /// # Errors
    /// When it does not answer as agreed.
    pub fn exemplars(&self, query: &str) -> Result<Vec<Exemplar>> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/query_exemplars", self.url))?;
        // from long ago until long from now
        url.query_pairs_mut().extend_pairs([("query", query), ("start", "0"), ("end", "9999999999")]);
        let answer: Value = reqwest::blocking::get(url)?.error_for_status()?.json()?;
        let mut found = Vec::new();
        for series in answer["data"].as_array().context("exemplars come in a list")? {
            for exemplar in series["exemplars"].as_array().context("a series has a list of exemplars")? {
                let value = exemplar["value"].as_str().context("an exemplar has a value")?.parse()?;
                found.push(Exemplar {
                    series: serde_json::from_value(series["seriesLabels"].clone())?,
                    labels: serde_json::from_value(exemplar["labels"].clone())?,
                    value,
                });
            }
        }
        Ok(found)
    }

    fn series(&self, query: &str) -> Result<Vec<Value>> {
        let url = format!("{}/api/v1/query", self.url);
        // as Grafana asks: long queries do not fit into an address
        let client = reqwest::blocking::Client::new();
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let form = "application/x-www-form-urlencoded";
        let answer: Value = client.post(url).header("content-type", form).body(body).send()?.json()?;
        answer["data"]["result"].as_array().cloned().with_context(|| format!("{query} gives no series: {answer}"))
    }
}

fn text(series: &Value) -> Result<&str> {
    series["value"][1].as_str().context("a value is a string")
}

fn number(series: &Value) -> Result<f64> {
    Ok(text(series)?.parse()?)
}

/// What `promtool check metrics` complains about in a page in the text format; empty when it is clean.
///
/// # Errors
/// When promtool is not installed.
pub fn check_metrics(page: &str) -> Result<String> {
    let promtool = installed("promtool", &[], "prometheus")?;
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("its input is piped")?.write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let complaints = [output.stdout, output.stderr].concat();
    let complaints = String::from_utf8_lossy(&complaints).trim().to_owned();
    Ok(if complaints.is_empty() && !output.status.success() { output.status.to_string() } else { complaints })
}

/// What `promtool check config` says of a configuration file and the rules it names; an error when it refuses it.
///
/// # Errors
/// When promtool is not installed, or with its words.
pub fn check_prometheus_config(file: &Path) -> Result<String> {
    accepted(Command::new(installed("promtool", &[], "prometheus")?).args(["check", "config"]).arg(file))
}

/// What `amtool check-config` says of a configuration of Alertmanager; an error when it refuses it.
///
/// # Errors
/// When amtool is not installed, or with its words.
pub fn check_alertmanager_config(file: &Path) -> Result<String> {
    accepted(Command::new(installed("amtool", &[], "prometheus-alertmanager")?).arg("check-config").arg(file))
}

/// The version of the installed promtool: major and minor.
///
/// # Errors
/// When it is not installed or does not say.
pub fn promtool_version() -> Result<(u32, u32)> {
    let words = accepted(Command::new(installed("promtool", &[], "prometheus")?).arg("--version"))?;
    let version = words.split_once("version ").map_or("", |(_, rest)| rest);
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => bail!("promtool says no version: {words}"),
    }
}

fn accepted(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?} could not be started"))?;
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if !output.status.success() {
        bail!("{command:?}: {}: {words}", output.status);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promtool_passes_a_clean_page_and_names_what_is_wrong_with_another() {
        let clean = "# HELP a_total Counts.\n# TYPE a_total counter\na_total 1\n";
        assert_eq!(check_metrics(clean).unwrap(), "");
        let complaints = check_metrics("# TYPE a counter\na 1\n").unwrap();
        assert!(complaints.contains("no help text") && complaints.contains("_total"), "{complaints}");
    }
}
