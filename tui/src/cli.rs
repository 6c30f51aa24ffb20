//! The command line: its words, their meaning and their limits. Nothing is done here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// The shortest and longest interval between polls.
const INTERVAL_LIMITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_hours(1));
/// The shortest and longest window; details are kept for five minutes.
const WINDOW_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
/// The shortest and longest time to watch for.
const WATCH_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_hours(24 * 7));

const AFTER_HELP: &str = "\
A TARGET is a URL, host:port, or a host (port 9464). Without one, and none in the configuration, it is http://127.0.0.1:9464.

Examples:
  heartline                                  the dashboard of the agent on this machine
  heartline shop-1:9464 shop-2:9464          two replicas side by side
  heartline --headless 20s --json shop-1     a line of JSON a second for 20 seconds, without a screen
  heartline check --for 1m shop-1            exit 0 when all is well, 1 warning, 2 critical, 3 unknown";

/// See what is slow, why, since when, and whether memory is leaking, in services that run the heartline agent.
#[derive(Debug, Parser)]
#[command(name = "heartline", version, after_help = AFTER_HELP, max_term_width = 110)]
pub struct Cli {
    /// What to do; the dashboard when nothing is named
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Agents to show
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
    /// Without a screen: run for this long, print the state at the end, exit 0
    #[arg(long, value_name = "DURATION", value_parser = watch_time)]
    pub headless: Option<Duration>,
    /// With --headless: print one JSON object a line for each interval instead
    #[arg(long, requires = "headless")]
    pub json: bool,
    /// Settings of every command
    #[command(flatten)]
    pub global: Global,
}

/// Settings of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// Alert rules [default: ./alerts.toml, then alerts.toml in the configuration folder, then the built-in rules]
    #[arg(long, global = true, value_name = "FILE")]
    pub alerts: Option<PathBuf>,
    /// Time between polls [default: 1s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = interval)]
    pub interval: Option<Duration>,
    /// How much time rates and percentiles cover [default: 10s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = window)]
    pub window: Option<Duration>,
    /// Keep the log of alert changes in this folder [default: no log is kept]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,
    /// A token for the one target, or lines of `ORIGIN TOKEN`
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Configuration [default: heartline/config.toml in the user's configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What else there is to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Evaluate the alerts for a while and say how things stand by the exit code
    #[command(
        after_help = "Exit codes: 0 ok, 1 a warning fired, 2 a critical alert fired, 3 unknown (a target did not \
                            answer, or the check could not run)"
    )]
    Check {
        /// Agents to check
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// How long to watch
        #[arg(long = "for", value_name = "DURATION", value_parser = watch_time, default_value = "30s")]
        duration: Duration,
        /// Print the verdict as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Evaluate the alerts without a screen until interrupted, and print what changes
    Watch {
        /// Agents to watch
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
        /// Without a screen; watch never has one
        #[arg(long)]
        headless: bool,
        /// Print one JSON object a line for each interval instead of changes
        #[arg(long)]
        json: bool,
    },
    /// Work with alert rules
    Alerts {
        /// What to do with them
        #[command(subcommand)]
        command: AlertsCommand,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man,
    /// Print a commented configuration file with the defaults
    SampleConfig,
}

/// What to do with alert rules.
#[derive(Debug, Subcommand)]
pub enum AlertsCommand {
    /// Report every mistake in the rules with its place; exit 1 when there is one
    Check {
        /// The rules [default: those that would be in force]
        file: Option<PathBuf>,
    },
}

fn interval(text: &str) -> Result<Duration, String> {
    duration_within(text, INTERVAL_LIMITS)
}

fn window(text: &str) -> Result<Duration, String> {
    duration_within(text, WINDOW_LIMITS)
}

fn watch_time(text: &str) -> Result<Duration, String> {
    duration_within(text, WATCH_LIMITS)
}

/// Reads an interval as it is written in the configuration.
///
/// # Errors
/// What is no duration, and one outside the limits.
pub fn parse_interval(text: &str) -> Result<Duration, String> {
    interval(text)
}

/// Reads a window as it is written in the configuration.
///
/// # Errors
/// What is no duration, and one outside the limits.
pub fn parse_window(text: &str) -> Result<Duration, String> {
    window(text)
}

fn duration_within(text: &str, (min, max): (Duration, Duration)) -> Result<Duration, String> {
    let advice = "write it like 500ms, 20s or 1m30s";
    let signed: jiff::SignedDuration = text.parse().map_err(|_| format!("{text:?} is not a duration; {advice}"))?;
    let duration = Duration::try_from(signed).map_err(|_| format!("a duration cannot be negative; {advice}"))?;
    if (min..=max).contains(&duration) {
        return Ok(duration);
    }
    let (min, max) = (jiff::SignedDuration::try_from(min), jiff::SignedDuration::try_from(max));
    let limit =
        |limit: Result<jiff::SignedDuration, jiff::Error>| limit.map_or_else(|_| String::new(), |it| format!("{it:#}"));
    Err(format!("it must lie between {} and {}", limit(min), limit(max)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(words.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_settings_stand_before_or_after_the_command() {
        for words in ["heartline --alerts a.toml check", "heartline check --alerts a.toml"] {
            let cli = parse(words).unwrap();
            assert_eq!(cli.global.alerts, Some(PathBuf::from("a.toml")), "{words}");
            assert!(matches!(cli.command, Some(Command::Check { .. })), "{words}");
        }
    }

    #[test]
    fn headless_takes_a_duration_and_then_targets() {
        let cli = parse("heartline --headless 20s --json http://127.0.0.1:9464").unwrap();
        assert_eq!((cli.headless, cli.json), (Some(Duration::from_secs(20)), true));
        assert_eq!(cli.targets, ["http://127.0.0.1:9464"]);
        assert!(parse("heartline --json").is_err());
    }

    #[test]
    fn watch_and_check_take_targets_of_their_own() {
        let Some(Command::Watch { targets, headless: true, json: true }) =
            parse("heartline watch --headless --json a b").unwrap().command
        else {
            panic!("not read as watch");
        };
        assert_eq!(targets, ["a", "b"]);
        let Some(Command::Check { duration, .. }) = parse("heartline check a --for 1m30s").unwrap().command else {
            panic!("not read as check");
        };
        assert_eq!(duration, Duration::from_secs(90));
    }

    #[test]
    fn durations_outside_their_limits_are_refused_with_the_limits() {
        for (words, reason) in [
            ("heartline --interval 1ms", "between 100ms and"),
            ("heartline --window 1h", "between 1s and 5m"),
            ("heartline --headless soon", "write it like"),
            ("heartline --headless=-5s", "cannot be negative"),
        ] {
            let error = parse(words).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
