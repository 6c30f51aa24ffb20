//! Says by an exit code how things stand: what fired while targets were followed for a while.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use super::state::plural;
use super::tick::{Alert, Tick};
use super::watch::{End, Format, follow};
use crate::alerting::{AlertRow, Level};
use crate::model::{Freshness, Model};
use crate::session::{Options, Session};
use crate::text::Text;

/// How things stand, in the words and exit codes of monitoring plug-ins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    /// A target did not answer, or the check was interrupted.
    Unknown = 3,
}

/// The exit code of a check that could not run.
pub const EXIT_UNKNOWN: u8 = Verdict::Unknown as u8;

/// The alerts that fired, each at its worst.
#[derive(Debug, Default)]
struct Fired(BTreeMap<Identity, AlertRow>);

/// Rule, target and labels of an alert.
type Identity = (Text, Option<Text>, Vec<(Text, Text)>);

impl Fired {
    fn note(&mut self, rows: &[AlertRow]) {
        for row in rows.iter().filter(|row| row.state.is_firing() && row.inhibited_by.is_none()) {
            let key = (row.name.clone(), row.target.clone(), row.labels.clone());
            let worst = self.0.entry(key).or_insert_with(|| row.clone());
            if row.level >= worst.level {
                worst.clone_from(row);
            }
        }
    }

    fn worst(&self) -> Option<Level> {
        self.0.values().map(|row| row.level).max()
    }
}

#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    exit_code: u8,
    seconds: f64,
    fired: Vec<Alert<'a>>,
    #[serde(flatten)]
    tick: Tick<'a>,
}

/// Follows the targets for `duration` and gives the exit code: 0 ok, 1 a warning fired, 2 a critical alert fired, 3
/// unknown. An alert that fired at any time counts, one that another makes pointless does not.
///
/// # Errors
/// Rules that are wrong, and what the system refuses: a client, signals, output.
pub fn check(options: &Options, duration: Duration, format: Format, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let (mut fired, mut verdict) = (Fired::default(), Verdict::Unknown);
    follow(options, Some(duration), |moment| {
        let session = moment.session;
        fired.note(&session.board().rows);
        let Some(end) = moment.end else { return Ok(()) };
        verdict = judge(fired.worst(), session.model(), end);
        let report = match format {
            Format::Json => as_json(session, &fired, verdict, duration)?,
            Format::Text => as_text(session.model(), &fired, verdict, duration),
        };
        out.write_all(report.as_bytes())?;
        out.flush()
    })?;
    Ok(ExitCode::from(verdict as u8))
}

fn judge(worst: Option<Level>, model: &Model, end: End) -> Verdict {
    let answers = model.targets().iter().all(|target| target.reading().state == Freshness::Fresh);
    match worst {
        Some(Level::Critical) => Verdict::Critical,
        _ if !answers || end == End::Interrupted => Verdict::Unknown,
        Some(Level::Warning) => Verdict::Warning,
        Some(Level::Info) | None => Verdict::Ok,
    }
}

fn as_json(session: &Session, fired: &Fired, verdict: Verdict, duration: Duration) -> std::io::Result<String> {
    let report = Report {
        verdict,
        exit_code: verdict as u8,
        seconds: duration.as_secs_f64(),
        fired: fired.0.values().map(Alert::of).collect(),
        tick: Tick::of(session.model(), session.board(), session.now()),
    };
    Ok(serde_json::to_string(&report)? + "\n")
}

fn as_text(model: &Model, fired: &Fired, verdict: Verdict, duration: Duration) -> String {
    let (alerts, targets) = (fired.0.len(), model.targets().len());
    let word = match verdict {
        Verdict::Ok => "OK",
        Verdict::Warning => "WARNING",
        Verdict::Critical => "CRITICAL",
        Verdict::Unknown => "UNKNOWN",
    };
    let seconds = duration.as_secs_f64();
    let mut lines = vec![format!(
        "{word}: {alerts} {} fired on {targets} {} in {seconds} s",
        plural(alerts, "alert"),
        plural(targets, "target")
    )];
    for row in fired.0.values() {
        let target = row.target.as_ref().map_or("all targets", AsRef::as_ref);
        let value = row.value_text.as_ref().map_or("no value", AsRef::as_ref);
        lines.push(format!("  {:8} {} on {target}: {value}  {}", row.level, row.name, row.summary));
    }
    for reading in model.targets().iter().map(crate::model::Target::reading) {
        if reading.state != Freshness::Fresh {
            let error = reading.error.as_ref().map_or("no answer yet", AsRef::as_ref);
            lines.push(format!("  unknown  {}: {error}", reading.target));
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use heartline_shared::UnixMillis;

    use super::*;
    use crate::alerting::AlertState;
    use crate::model::Settings;
    use crate::model::fixture::Document;

    fn row(level: Level, state: AlertState) -> AlertRow {
        AlertRow {
            name: Text::new("Slow"),
            level,
            state,
            inhibited_by: None,
            no_data: false,
            never_seen: false,
            value: Some(2.0),
            value_text: Some(Text::new("2 s")),
            threshold: None,
            target: Some(Text::new("shop")),
            labels: Vec::new(),
            since: Some(UnixMillis(5)),
            fired_at: Some(UnixMillis(5)),
            summary: Text::new("it is slow"),
            runbook: None,
            hold: Duration::ZERO,
        }
    }

    fn model(answers: bool) -> Model {
        let mut model = Model::new([Text::new("shop")], Settings::default());
        if answers {
            model.absorb(&Document::at(1).arrives(1_000));
        }
        model
    }

    #[test]
    fn the_worst_of_the_time_decides() {
        let mut fired = Fired::default();
        fired.note(&[row(Level::Critical, AlertState::Pending)]);
        assert_eq!(judge(fired.worst(), &model(true), End::Over), Verdict::Ok);
        fired.note(&[row(Level::Warning, AlertState::Firing)]);
        assert_eq!(judge(fired.worst(), &model(true), End::Over), Verdict::Warning);
        fired.note(&[row(Level::Critical, AlertState::Firing)]);
        fired.note(&[row(Level::Warning, AlertState::Recovering)]);
        assert_eq!(judge(fired.worst(), &model(true), End::Over), Verdict::Critical);
        assert_eq!(fired.0.len(), 1);
    }

    #[test]
    fn a_silent_target_is_unknown_unless_something_is_critical() {
        assert_eq!(judge(None, &model(false), End::Over), Verdict::Unknown);
        assert_eq!(judge(Some(Level::Warning), &model(false), End::Over), Verdict::Unknown);
        assert_eq!(judge(Some(Level::Critical), &model(false), End::Over), Verdict::Critical);
        assert_eq!(judge(None, &model(true), End::Interrupted), Verdict::Unknown);
    }

    #[test]
    fn an_alert_that_another_makes_pointless_does_not_count() {
        let mut fired = Fired::default();
        fired.note(&[AlertRow { inhibited_by: Some(Text::new("Other")), ..row(Level::Critical, AlertState::Firing) }]);
        assert_eq!(fired.worst(), None);
    }

    #[test]
    fn the_text_names_what_fired_and_who_is_silent() {
        let mut fired = Fired::default();
        fired.note(&[row(Level::Critical, AlertState::Firing)]);
        let text = as_text(&model(false), &fired, Verdict::Critical, Duration::from_secs(30));
        assert!(text.starts_with("CRITICAL: 1 alert fired on 1 target in 30 s\n"), "{text}");
        assert!(
            text.contains("critical Slow on shop: 2 s  it is slow") && text.contains("unknown  shop: no answer yet")
        );
    }
}
