//! The program from its arguments to its exit code: which command runs, and how its errors are told.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::{CommandFactory, Parser};

use crate::alerting::RuleSource;
use crate::app;
use crate::cli::{AlertsCommand, Cli, Command, Global};
use crate::config::{Config, SAMPLE};
use crate::headless::{self, EXIT_UNKNOWN, Format};
use crate::session::{self, Options};
use crate::text::sanitise;

/// Runs the program with these arguments, the first of which is its name, and gives its exit code.
///
/// Errors are told on standard error, made safe to print. The exit code of an error is 1, of a wrong command line 2, and
/// of a `check` that could not run 3.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let checking = args.iter().any(|arg| arg == "check") && !args.iter().any(|arg| arg == "alerts");
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(answer) => {
            let _nobody_reads = answer.print();
            return match answer.exit_code() {
                0 => ExitCode::SUCCESS,
                _ if checking => ExitCode::from(EXIT_UNKNOWN),
                _ => ExitCode::from(2),
            };
        }
    };
    dispatch(cli).unwrap_or_else(|error| {
        tell(&error);
        if checking { ExitCode::from(EXIT_UNKNOWN) } else { ExitCode::FAILURE }
    })
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout(); // not locked: a panic of another thread gives the terminal back through it
    match cli.command {
        None => open(&cli, &mut out),
        Some(Command::Check { targets, duration, json }) => {
            let options = Options::read(&cli.global, &targets)?;
            headless::check(&options, duration, Format::of(json), &mut out)
        }
        Some(Command::Watch { targets, headless: _, json }) => {
            let options = Options::read(&cli.global, &targets)?;
            headless::watch(&options, Format::of(json), &mut out)
        }
        Some(Command::Alerts { command: AlertsCommand::Check { file } }) => {
            let source = file.map_or_else(|| rules_in_force(&cli.global), |file| Ok(RuleSource::File(file)))?;
            let checked = headless::check_rules(&source, &mut out, &mut io::stderr().lock());
            forgive_broken_pipe(checked.map_err(Into::into))
        }
        Some(Command::Completions { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "heartline", &mut script);
            print(&mut out, &script)
        }
        Some(Command::Man) => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).context("writing the manual page")?;
            print(&mut out, &page)
        }
        Some(Command::SampleConfig) => print(&mut out, SAMPLE.as_bytes()),
    }
}

/// Shows the targets: in the dashboard, or without a screen for as long as is asked for.
fn open(cli: &Cli, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = Options::read(&cli.global, &cli.targets)?;
    let Some(duration) = cli.headless else {
        return app::run(&options);
    };
    headless::run_for(&options, duration, Format::of(cli.json), out)
}

fn rules_in_force(global: &Global) -> anyhow::Result<RuleSource> {
    Ok(session::rule_source(global, &Config::load(global.config.as_deref())?))
}

fn print(out: &mut impl Write, bytes: &[u8]) -> anyhow::Result<ExitCode> {
    let printed = out.write_all(bytes).and_then(|()| out.flush());
    forgive_broken_pipe(printed.map(|()| ExitCode::SUCCESS).map_err(Into::into))
}

/// A reader that has seen enough is no error.
fn forgive_broken_pipe(done: anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    done.or_else(|error| {
        let broken = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        if broken { Ok(ExitCode::SUCCESS) } else { Err(error.context("writing the output")) }
    })
}

fn tell(error: &anyhow::Error) {
    let mut problems = io::stderr().lock();
    for (at, message) in format!("{error:#}").lines().enumerate() {
        let prefix = if at == 0 { "heartline: " } else { "" };
        let _nobody_reads = writeln!(problems, "{prefix}{}", sanitise(message));
    }
}
