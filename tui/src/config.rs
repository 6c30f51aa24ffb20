//! The configuration file: where it is, what it may say, and a sample. The command line overrides it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use etcetera::BaseStrategy as _;
use serde::Deserialize;

use crate::cli;

/// A commented configuration file with the defaults.
pub const SAMPLE: &str = r#"# heartline's configuration. Every key is optional; the command line overrides it.
# Relative paths start at the folder of this file.

# Agents to show when the command line names none: a URL, host:port, or a host (port 9464).
#targets = ["http://127.0.0.1:9464"]

# Time between polls, from 100ms to 1h.
#interval = "1s"

# How much time rates and percentiles cover, from 1s to 5m.
#window = "10s"

# Alert rules. Without this: ./alerts.toml, then alerts.toml beside this file, then the built-in rules.
#alerts = "alerts.toml"

# Keep the log of alert changes in this folder.
#state_dir = "state"

# One token for the one target, or lines of `ORIGIN TOKEN`.
#token_file = "token"
"#;

const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Agents to show when the command line names none.
    pub targets: Vec<String>,
    /// Time between polls.
    pub interval: Option<Duration>,
    /// How much time rates and percentiles cover.
    pub window: Option<Duration>,
    /// Alert rules.
    pub alerts: Option<PathBuf>,
    /// Where the log of alert changes is kept.
    pub state_dir: Option<PathBuf>,
    /// Where the tokens are.
    pub token_file: Option<PathBuf>,
}

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default, deserialize_with = "interval")]
    interval: Option<Duration>,
    #[serde(default, deserialize_with = "window")]
    window: Option<Duration>,
    alerts: Option<PathBuf>,
    state_dir: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

fn interval<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    cli::parse_interval(&text).map(Some).map_err(serde::de::Error::custom)
}

fn window<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    cli::parse_window(&text).map(Some).map_err(serde::de::Error::custom)
}

/// The folder that holds `config.toml` and `alerts.toml`; `None` on a machine without a home folder.
pub fn folder() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|folders| folders.config_dir().join("heartline"))
}

impl Config {
    /// Reads `path`; without one, `config.toml` in the configuration folder if it is there.
    ///
    /// # Errors
    /// A file that cannot be read, or says something that is not understood, with line, column and caret.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => match folder().map(|folder| folder.join("config.toml")).filter(|path| path.exists()) {
                Some(path) => path,
                None => return Ok(Self::default()),
            },
        };
        let reading = || format!("reading the configuration {}", path.display());
        let size = std::fs::metadata(&path).with_context(reading)?.len();
        anyhow::ensure!(size <= FILE_BYTES_MAX, "the configuration {} is larger than 1 MiB", path.display());
        let text = std::fs::read_to_string(&path).with_context(reading)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(""))).with_context(reading)
    }

    fn parse(text: &str, folder: &Path) -> anyhow::Result<Self> {
        let written: Written = toml::from_str(text)?;
        let beside = |path: Option<PathBuf>| path.map(|path| folder.join(path));
        Ok(Self {
            targets: written.targets,
            interval: written.interval,
            window: written.window,
            alerts: beside(written.alerts),
            state_dir: beside(written.state_dir),
            token_file: beside(written.token_file),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_says_nothing_but_the_defaults() {
        assert_eq!(Config::parse(SAMPLE, Path::new("/etc")).unwrap(), Config::default());
        let spoken: String = SAMPLE
            .lines()
            .map(|line| line.strip_prefix('#').filter(|it| it.contains(" = ")).unwrap_or_default().to_owned() + "\n")
            .collect();
        let config = Config::parse(&spoken, Path::new("/etc/heartline")).unwrap();
        assert_eq!((config.interval, config.window), (Some(Duration::from_secs(1)), Some(Duration::from_secs(10))));
        assert_eq!(config.targets, [crate::source::DEFAULT_TARGET]);
        assert_eq!(config.alerts, Some(PathBuf::from("/etc/heartline/alerts.toml")));
    }

    #[test]
    fn mistakes_are_shown_with_their_place() {
        for (text, reason) in [
            ("interval = \"0s\"", "between"),
            ("colour = true", "unknown field"),
            ("targets = 3", "sequence"),
            ("interval = ", "line 1"),
        ] {
            let error = format!("{:#}", Config::parse(text, Path::new("")).unwrap_err());
            assert!(error.contains(reason) && error.contains('^'), "{error}");
        }
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let error = Config::load(Some(Path::new("/nowhere/config.toml"))).unwrap_err();
        assert!(format!("{error:#}").contains("/nowhere/config.toml"));
    }
}
