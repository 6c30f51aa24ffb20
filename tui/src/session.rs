//! What the dashboard and the headless commands share: targets that are polled, a model and alerts that follow them. How
//! they are shown is not known here.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use heartline_shared::UnixMillis;
use tokio::task::JoinSet;

use crate::alerting::{Alerting, Board, ChangeLog, RULES_POLL, RuleSource, RuleWatch, TransitionRow};
use crate::cli::Global;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::model::{Model, Settings, Target};
use crate::source::{self, DEFAULT_TARGET, Feed, Outcome, Pace, Tokens, Traces};

/// How many targets may be named.
pub const TARGETS_MAX: usize = 1_000;

/// What the command line and the configuration ask for, read and checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// What to poll; never empty, none twice.
    pub targets: Vec<source::Target>,
    /// What opens the targets.
    pub tokens: Tokens,
    /// Time between polls, and how much time figures cover.
    pub settings: Settings,
    /// Where the alert rules come from.
    pub rules: RuleSource,
    /// Where the log of alert changes is kept; `None` for no log.
    pub state_dir: Option<PathBuf>,
}

impl Options {
    /// Reads what is asked for: the command line first, then the configuration, then the defaults.
    ///
    /// # Errors
    /// A configuration or token file that cannot be read or is wrong, and a target that is none.
    pub fn read(global: &Global, named: &[String]) -> anyhow::Result<Self> {
        let config = Config::load(global.config.as_deref())?;
        let named = match (named, &config.targets[..]) {
            ([], []) => vec![DEFAULT_TARGET.to_owned()],
            ([], configured) => configured.to_vec(),
            (named, _) => named.to_vec(),
        };
        let targets = read_targets(&named)?;
        let token_file = global.token_file.as_ref().or(config.token_file.as_ref());
        let tokens = token_file.map_or_else(|| Ok(Tokens::default()), |path| Tokens::read(path, &targets))?;
        let defaults = Settings::default();
        let settings = Settings {
            interval: global.interval.or(config.interval).unwrap_or(defaults.interval),
            window: global.window.or(config.window).unwrap_or(defaults.window),
        };
        let state_dir = global.state_dir.clone().or_else(|| config.state_dir.clone());
        Ok(Self { targets, tokens, settings, rules: rule_source(global, &config), state_dir })
    }
}

/// The rules that are in force: the file that is named, else one in the working or the configuration folder, else those
/// that come with the program.
pub fn rule_source(global: &Global, config: &Config) -> RuleSource {
    let named = global.alerts.as_deref().or(config.alerts.as_deref());
    let folders: Vec<PathBuf> = std::iter::once(PathBuf::from(".")).chain(config::folder()).collect();
    RuleSource::find(named, &folders)
}

fn read_targets(named: &[String]) -> anyhow::Result<Vec<source::Target>> {
    anyhow::ensure!(named.len() <= TARGETS_MAX, "{} targets are named; the most is {TARGETS_MAX}", named.len());
    let mut targets: Vec<source::Target> = Vec::with_capacity(named.len());
    for name in named {
        let target = source::Target::parse(name)?;
        if !targets.iter().any(|known| known.url() == target.url()) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// Targets being polled, and what is known of them.
#[derive(Debug)]
pub struct Session {
    clock: Clock,
    feed: Feed,
    model: Model,
    alerting: Alerting,
    rules: RuleWatch,
    log: Option<ChangeLog>,
    pasts: Pasts,
    traces: Option<Traces>,
}

/// Targets being filled with what they remember, on other threads: it takes a while.
#[derive(Debug, Default)]
struct Pasts {
    filling: JoinSet<(usize, Target)>,
    /// What has arrived meanwhile, by target.
    missed: HashMap<usize, Vec<Outcome>>,
}

impl Session {
    /// Begins to poll, within a tokio runtime; with `past`, targets are asked for what they remember. Wrong rules are shown on the board, and the built-in ones are in force.
    ///
    /// # Errors
    /// When the system gives no HTTP client, or the folder of the log cannot be made.
    pub fn start(options: &Options, past: bool) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let names = || options.targets.iter().map(|target| target.name().clone());
        let built_in = RuleSource::BuiltIn.read().ok().context("reading the rules that come with the program")?;
        let source = options.rules.name();
        let pace = Pace { interval: options.settings.interval, past };
        Ok(Self {
            clock,
            feed: Feed::start(&options.targets, &options.tokens, pace, clock)?,
            model: Model::new(names(), options.settings),
            alerting: Alerting::new(names(), source, options.rules.read(), built_in),
            rules: RuleWatch::start(options.rules.clone(), RULES_POLL),
            pasts: Pasts::default(),
            traces: None,
            log: options.state_dir.as_deref().map(ChangeLog::open).transpose()?,
        })
    }

    /// The time of now, which every `now` and `at` of the session is of.
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Waits for results of polls, or for what the attended target tells of its requests. Nothing is lost when the future is dropped before it is ready.
    pub async fn arrivals(&mut self) -> Vec<Outcome> {
        self.feed.next().await
    }

    /// The results of polls that have arrived, without waiting.
    pub fn take_arrivals(&mut self) -> Vec<Outcome> {
        self.feed.take()
    }

    /// Asks this target, and no other one, for its requests from now on.
    pub fn attend(&mut self, target: Option<usize>) {
        self.feed.attend(target);
    }

    /// What the target that was attended last told of its requests.
    pub fn traces(&self) -> Option<&Traces> {
        self.traces.as_ref()
    }

    /// Takes results of polls in, and what arrived about requests.
    pub fn absorb(&mut self, outcomes: &[Outcome]) {
        self.begin_pasts();
        if let Some(traces) = self.feed.take_traces() {
            self.traces = Some(traces.after(self.traces.take()));
        }
        for outcome in outcomes {
            self.model.absorb(outcome);
            self.alerting.observe(outcome);
            if let Some(missed) = self.pasts.missed.get_mut(&outcome.target) {
                missed.push(outcome.clone());
            }
        }
    }

    /// Lets time pass: ages grow, rules whose time has come are evaluated, changed rules are taken over. Gives the alerts
    /// that changed. Call it about once a second.
    pub fn tick(&mut self, now: UnixMillis) -> Vec<TransitionRow> {
        self.begin_pasts();
        self.adopt_pasts();
        self.model.tick(now);
        let mut changes = self.rules.take_changed().map_or_else(Vec::new, |rules| self.alerting.reload(rules));
        changes.extend(self.alerting.evaluate(now));
        if let Some(log) = &self.log {
            for change in &changes {
                log.add(change);
            }
        }
        changes
    }

    /// Has targets filled with what has arrived of their past.
    fn begin_pasts(&mut self) {
        for mut past in self.feed.take_pasts() {
            let place = past.outcome.target;
            if let Some(mut target) = self.model.blank(place) {
                self.pasts.missed.insert(place, std::mem::take(&mut past.since));
                self.pasts.filling.spawn_blocking(move || {
                    target.absorb_past(&past);
                    (place, target)
                });
            }
        }
    }

    /// Takes over the targets that are filled with their past.
    fn adopt_pasts(&mut self) {
        while let Some(filled) = self.pasts.filling.try_join_next() {
            // a past that cannot be read leaves the target as it is
            let Ok((place, mut target)) = filled else { continue };
            for outcome in self.pasts.missed.remove(&place).unwrap_or_default() {
                target.absorb(&outcome);
            }
            self.model.adopt(place, target);
        }
        if self.pasts.filling.is_empty() {
            self.pasts.missed.clear();
        }
    }

    /// What is known of the targets.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What is known of the alerts.
    pub fn board(&self) -> &Board {
        self.alerting.board()
    }
}

/// A poll interval's worth of time between ticks, but at least one a second.
pub fn tick_interval(settings: Settings) -> Duration {
    settings.interval.min(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_beats_the_configuration_beats_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "targets = ['a', 'b', 'a']\ninterval = '5s'\nwindow = '1m'\n").unwrap();
        let global = Global { config: Some(path), interval: Some(Duration::from_secs(2)), ..Global::default() };
        let options = Options::read(&global, &[]).unwrap();
        let names = |options: &Options| options.targets.iter().map(|it| it.name().to_string()).collect::<Vec<_>>();
        assert_eq!(names(&options), ["a", "b"]);
        assert_eq!(options.settings, Settings { interval: Duration::from_secs(2), window: Duration::from_mins(1) });
        assert_eq!(names(&Options::read(&global, &["c".to_owned()]).unwrap()), ["c"]);
    }

    #[test]
    fn a_target_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "").unwrap();
        let global = Global { config: Some(path), ..Global::default() };
        let error = Options::read(&global, &["ftp://x".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("ftp://x"), "{error}");
    }
}
