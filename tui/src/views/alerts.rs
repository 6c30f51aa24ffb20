//! Alerts: every rule with its state, the most urgent first, and how close the quiet ones are. What fires is decided by
//! the alert engine.
//!
//! ```text
//! ▲ 2 mistakes in alerts.toml ────────────────────────────────    only while the rules are wrong
//! in force: built-in rules
//! error: ...                                                  +9
//!   state          alert              level         value    since  summary
//! ▸ ■ FIRING       DbPoolUtilization  critical   100% >90%   13m04s  pool primary is exhausted
//!   ▲ pending 41%  HttpLatencyP95     warning   1.2s >1s        25s  p95 latency is 1.2s
//!   ● inactive     QueueDepth         warning     12 >1000        –  ...
//! ```

use heartline_shared::UnixMillis;
use ratatui::layout::Rect;

use super::panel::{self, Panel};
use super::pen::{Pen, Piece, wrap};
use super::quantity::{age, known, percent};
use super::requests::nothing_to_show;
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use crate::alerting::{AlertRow, AlertState, Level, Problems};
use crate::model::TargetReading;
use crate::text::Text;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertStage {
    /// Its condition does not hold.
    #[default]
    Inactive,
    /// Fired a while ago, and does no more.
    Resolved,
    /// Another alert makes it pointless, whether it fires or its condition holds.
    Inhibited,
    /// Its condition holds, not yet for long enough.
    Pending,
    /// Its condition no longer holds, not yet for long enough.
    Recovering,
    /// Fires.
    Firing,
}

impl AlertStage {
    fn of(row: &AlertRow) -> Self {
        match row.state {
            AlertState::Inactive => Self::Inactive,
            AlertState::Resolved => Self::Resolved,
            _ if row.inhibited_by.is_some() => Self::Inhibited,
            AlertState::Pending => Self::Pending,
            AlertState::Recovering => Self::Recovering,
            AlertState::Firing => Self::Firing,
        }
    }
}

/// What is shown of one alert.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertLine {
    /// The rule's name.
    pub name: Text,
    /// Where it stands.
    pub stage: AlertStage,
    /// How bad the level is that it stands at.
    pub level: Severity,
    /// The newest value, written in its unit; absent without data.
    pub value: Option<Text>,
    /// The condition of the level, such as `> 90%`; empty when there is none to show.
    pub condition: Text,
    /// When it came to this stage; absent for one that is inactive.
    pub since: Option<UnixMillis>,
    /// When it began to fire, at whatever level and also while it recovers; absent while it does not fire.
    pub fired_at: Option<UnixMillis>,
    /// How much of the time that the condition must hold has passed, 0 to 1; absent unless pending.
    pub progress: Option<f64>,
    /// The alert that makes this one pointless; absent unless inhibited.
    pub inhibited_by: Option<Text>,
    /// The target; empty for a rule without an instance, and for an alert of more than one process.
    pub target: Text,
    /// The service whose alert it is; absent where the target says it, and where it is of every service.
    pub service: Option<Text>,
    /// The process whose alert it is; absent where the target says it, and where it is of every process.
    pub instance: Option<Text>,
    /// What else distinguishes the instance, as `name=value`.
    pub labels: Text,
    /// The rule's summary with the values filled in; begins with the alert that inhibits this one.
    pub summary: Text,
    /// What the rule measures, as the rule file writes it.
    pub signal: Text,
    /// How long it has been at this stage, at the moment shown; absent for one that is inactive.
    pub lasted: Option<std::time::Duration>,
}

impl AlertLine {
    /// What is shown of an alert at a moment.
    pub fn at(row: &AlertRow, now: UnixMillis) -> Self {
        let labels: Vec<String> =
            row.labels.iter().map(|(name, value)| format!("{}={value}", short_label(name))).collect();
        let named = |wanted: &str| row.labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        let stage = AlertStage::of(row);
        let inhibited_by = row.inhibited_by.clone().filter(|_| stage == AlertStage::Inhibited);
        let summary = match &inhibited_by {
            Some(cause) => Text::new(&format!("because of {cause}: {}", row.summary)),
            None => row.summary.clone(),
        };
        Self {
            name: row.name.clone(),
            stage,
            level: match row.level {
                Level::Info => Severity::Info,
                Level::Warning => Severity::Warning,
                Level::Critical => Severity::Critical,
            },
            value: row.value_text.clone(),
            condition: row.threshold.clone().unwrap_or_default(),
            since: row.since,
            fired_at: row.fired_at,
            lasted: row.since.map(|since| now.since(since)),
            progress: (stage == AlertStage::Pending && !row.hold.is_zero())
                .then(|| row.since.map(|since| (now.since(since).as_secs_f64() / row.hold.as_secs_f64()).min(1.0)))
                .flatten(),
            inhibited_by,
            target: row.target.clone().unwrap_or_default(),
            service: named("job").filter(|_| row.target.is_none()),
            instance: named("instance").filter(|_| row.target.is_none()),
            labels: Text::new(&labels.join(" ")),
            summary,
            signal: Text::default(),
        }
    }

    /// How bad it is that the alert stands where it does.
    pub fn severity(&self) -> Severity {
        match self.stage {
            AlertStage::Firing | AlertStage::Recovering => self.level.max(Severity::Info),
            AlertStage::Pending => Severity::Info,
            AlertStage::Inactive | AlertStage::Resolved | AlertStage::Inhibited => Severity::Fine,
        }
    }

    /// Its stage in words.
    pub fn stage_words(&self) -> String {
        match (self.stage, self.progress) {
            (AlertStage::Inactive, _) => "inactive".to_owned(),
            (AlertStage::Resolved, _) => "resolved".to_owned(),
            (AlertStage::Inhibited, _) => "inhibited".to_owned(),
            (AlertStage::Pending, Some(progress)) => format!("pending {:.0}%", progress.min(0.99) * 100.0),
            (AlertStage::Pending, None) => "pending".to_owned(),
            (AlertStage::Recovering, _) => "recovering".to_owned(),
            (AlertStage::Firing, _) => "FIRING".to_owned(),
        }
    }

    /// Whether it is about this target: about its process, about all of its service, or about everybody.
    pub fn concerns(&self, target: &TargetReading) -> bool {
        if !self.target.is_empty() {
            return self.target == target.target || is_process(&self.target, target);
        }
        let same = |wanted: &Option<Text>, own: &Option<Text>| wanted.is_none() || wanted == own;
        same(&self.service, &target.service) && same(&self.instance, &target.instance_id)
    }

    fn urgency(&self) -> f64 {
        let rank = f64::from(self.stage as u8) * 10.0 + f64::from(self.level as u8);
        rank + self.lasted.map_or(0.0, |lasted| lasted.as_secs_f64().min(1e8) / 1e9) // what began first is on top
    }

    fn level_word(&self) -> &'static str {
        self.level.word()
    }
}

/// Whether `name` is what a process that nobody follows is called, and the process is this one.
fn is_process(name: &Text, target: &TargetReading) -> bool {
    match (&target.service, &target.instance_id) {
        (Some(service), Some(instance)) => *name == format!("{service}/{instance}").as_str(),
        _ => false,
    }
}

/// What an attribute is called where the room is scarce: `db.client.connection.pool.name` is the `pool`.
fn short_label(name: &Text) -> &str {
    let name = name.as_str();
    let named = name.strip_suffix(".name").unwrap_or(name);
    named.rsplit('.').next().unwrap_or(named)
}

fn state(alert: &AlertLine) -> Cell {
    Cell::judged(alert.stage_words(), alert.severity())
}

fn value(alert: &AlertLine) -> Cell {
    Cell::new(alert.value.as_ref().map_or_else(|| known(None, percent), ToString::to_string))
}

fn since(alert: &AlertLine) -> Cell {
    Cell::new(alert.lasted.map_or_else(|| known(None, percent), age))
}

fn place(alert: &AlertLine) -> Cell {
    let both = !alert.target.is_empty() && !alert.labels.is_empty();
    Cell::new(format!("{}{}{}", alert.target, if both { " " } else { "" }, alert.labels))
}

impl Row for AlertLine {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("state", 11, 0, state, |alert| Some(alert.urgency())),
        Column::name("alert", 20, 1, |alert| Cell::new(alert.name.as_str())),
        Column::number(
            "level",
            8,
            3,
            |alert| Cell::judged(alert.level_word(), Severity::Fine),
            |alert| Some(f64::from(alert.level as u8)),
        ),
        Column::unordered("value", 8, 2, value),
        Column::unordered("limit", 10, 4, |alert| Cell::new(alert.condition.as_str())),
        Column::number("since", 6, 2, since, |alert| alert.lasted.map(|lasted| lasted.as_secs_f64())),
        Column::name("summary", 34, 6, |alert| Cell::new(alert.summary.as_str())),
        Column::name("where", 22, 5, place),
    ];
    const ORDER: usize = 0;

    /// A rule without an alert has one row, whose target is whichever is the worst at the moment.
    fn identity(&self) -> String {
        match self.stage {
            AlertStage::Inactive => self.name.to_string(),
            _ => format!("{} {}", self.name, place(self).text).trim_end().to_owned(),
        }
    }

    fn searched(&self) -> String {
        format!("{} {} {} {}", self.name, self.level.word(), self.target, self.labels)
    }
}

/// How many alerts fire, by level: critical, warning, info.
pub fn firing(alerts: &[AlertLine]) -> [usize; 3] {
    [Severity::Critical, Severity::Warning, Severity::Info].map(|level| {
        alerts.iter().filter(|alert| alert.stage >= AlertStage::Recovering && alert.severity() == level).count()
    })
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let choice = scene.screen.table();
    let shown = table::ordered(scene.alerts, &choice);
    let area = problems(scene, pen, area);
    let (summary, rest) = panel::split(area, 1);
    pen.write(summary, 0, &counts(pen, scene.alerts));
    if scene.screen.detail {
        return match table::pinned(scene.alerts, &choice) {
            Some(alert) => detail(scene, pen, rest, alert),
            None => pen.explain(rest, &table::gone(&choice)),
        };
    }
    if shown.is_empty() {
        return pen.explain(rest, &nothing_to_show(scene.alerts.len(), "alert rule", &choice.filter));
    }
    let Some(alert) = table::selected(&shown, &choice) else { return };
    let below = if rest.height >= 12 { 4 } else { 0 };
    let (rows, about) = panel::split(rest, rest.height - below);
    let rows =
        if area.width < 60 { panel::missing(pen, rows, &table::left_out::<AlertLine>(area.width)) } else { rows };
    table::draw(pen, rows, &shown, &choice);
    if about.height > 0 {
        let body = pen.heading(about, alert.name.as_str(), &[]);
        for (row, line) in (0..body.height).zip(about_lines(pen, alert, body.width)) {
            pen.write(body, row, &line);
        }
    }
}

/// So many mistakes, in words.
pub fn counted_mistakes(count: usize) -> String {
    if count == 1 { "1 mistake".to_owned() } else { format!("{count} mistakes") }
}

/// How many mistakes are in which file, without its folders.
pub fn mistakes_words(problems: &Problems) -> String {
    let path = problems.file.as_str();
    let file = path.rsplit(std::path::is_separator).next().unwrap_or(path);
    format!("{} in {file}", counted_mistakes(problems.mistakes.len()))
}

/// Shows what is wrong with the rules in at most a third of `area`, and gives the rest; nothing wrong takes no row.
fn problems(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) -> Rect {
    let Problems { mistakes, in_force, .. } = scene.problems;
    if mistakes.is_empty() {
        return area;
    }
    let in_force = Piece::new(format!("in force: {in_force}"), pen.theme.strong());
    let explained = mistakes.iter().flat_map(|mistake| {
        let style = |row| if row == 0 { pen.theme.severity(Severity::Warning) } else { pen.theme.text() };
        mistake.lines().iter().enumerate().map(move |(row, line)| vec![Piece::new(line.as_str(), style(row))])
    });
    let lines: Vec<Vec<Piece>> = std::iter::once(vec![in_force]).chain(explained).collect();
    let rows = u16::try_from(lines.len() + 1).unwrap_or(u16::MAX).min(area.height / 3);
    let (top, rest) = panel::split(area, rows);
    let title = format!("{} {}", pen.theme.glyph(Severity::Warning), mistakes_words(scene.problems));
    Panel { title, figure: vec![], trend: None, lines }.draw(scene, pen, top);
    rest
}

fn counts(pen: &Pen<'_>, alerts: &[AlertLine]) -> Vec<Piece> {
    let [critical, warning, info] = firing(alerts);
    let pending = alerts.iter().filter(|alert| alert.stage == AlertStage::Pending).count();
    let levels = [(critical, Severity::Critical), (warning, Severity::Warning), (info, Severity::Info)];
    let mut line = Vec::new();
    for (count, severity) in levels.into_iter().filter(|(count, _)| *count > 0) {
        line.push(Piece::new(
            format!(" {} {count} {} ", pen.theme.glyph(severity), severity.word()),
            pen.theme.badge(severity),
        ));
        line.push(Piece::new("  ", pen.theme.text()));
    }
    if line.is_empty() {
        let fine = format!(" {} nothing fires ", pen.theme.glyph(Severity::Fine));
        line.extend([Piece::new(fine, pen.theme.badge(Severity::Fine)), Piece::new("  ", pen.theme.text())]);
    }
    line.extend(pen.figure("pending", &pending.to_string()));
    line.extend(pen.figure("rules", &rules(alerts).to_string()));
    line
}

fn rules(alerts: &[AlertLine]) -> usize {
    alerts.iter().map(|alert| alert.name.as_str()).collect::<std::collections::BTreeSet<_>>().len()
}

fn about_lines(pen: &Pen<'_>, alert: &AlertLine, width: u16) -> Vec<Vec<Piece>> {
    let mut lines = vec![vec![
        Piece::new(
            format!("{} {}  ", pen.theme.glyph(alert.severity()), alert.stage_words()),
            pen.theme.severity(alert.severity()),
        ),
        Piece::new(format!("{}  {}", place(alert).text, alert.signal), pen.theme.dim()),
    ]];
    lines.extend(
        wrap(alert.summary.as_str(), usize::from(width))
            .into_iter()
            .map(|line| vec![Piece::new(line, pen.theme.text())]),
    );
    lines
}

fn detail(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, alert: &AlertLine) {
    let body = pen.heading(area, alert.name.as_str(), &[Piece::new("esc back", pen.theme.dim())]);
    let since = alert.since.map_or_else(
        || "–".to_owned(),
        |at| format!("{} ({})", super::header::time_of_day(at), age(scene.now.since(at))),
    );
    let stage = match &alert.inhibited_by {
        Some(cause) => format!("{} by {cause}", alert.stage_words()),
        None => alert.stage_words(),
    };
    let facts = [
        ("state", stage),
        ("level", alert.level.word().to_owned()),
        ("value", value(alert).text),
        ("limit", alert.condition.to_string()),
        ("since", since),
        ("where", place(alert).text),
        ("signal", alert.signal.to_string()),
        ("summary", alert.summary.to_string()),
    ];
    let mut row = 0;
    for (label, fact) in facts {
        for (at, line) in wrap(&fact, usize::from(body.width.saturating_sub(10))).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            let style = if label == "state" { pen.theme.severity(alert.severity()) } else { pen.theme.text() };
            pen.write(body, row, &[Piece::new(format!("{label:<10}"), pen.theme.dim()), Piece::new(line, style)]);
            row += 1;
        }
    }
    if let Some(progress) = alert.progress {
        let bar = pen.bar(progress, 20, Severity::Warning);
        let [full, empty] = bar;
        pen.write(body, row, &[Piece::new("for       ", pen.theme.dim()), full, empty]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    fn fires() -> AlertRow {
        AlertRow {
            name: "QueueDepth".into(),
            level: Level::Critical,
            state: AlertState::Firing,
            inhibited_by: None,
            no_data: false,
            never_seen: false,
            value: None,
            value_text: None,
            threshold: None,
            target: None,
            labels: vec![("job".into(), "shop".into()), ("queue.name".into(), "email".into())],
            since: Some(NOW),
            fired_at: Some(NOW),
            hold: Duration::ZERO,
            summary: "9 jobs wait".into(),
            runbook: None,
        }
    }

    #[test]
    fn an_inhibited_alert_says_so_ranks_below_pending_ones_and_is_not_counted() {
        let inhibited = AlertLine::at(&AlertRow { inhibited_by: Some("ServiceSilent".into()), ..fires() }, NOW);
        assert_eq!((inhibited.stage_words().as_str(), inhibited.severity()), ("inhibited", Severity::Fine));
        assert_eq!(inhibited.summary, "because of ServiceSilent: 9 jobs wait");
        let waits = AlertRow { state: AlertState::Pending, level: Level::Info, ..fires() };
        assert!(AlertLine::at(&waits, NOW).urgency() > inhibited.urgency());
        assert_eq!((firing(&[inhibited]), firing(&[AlertLine::at(&fires(), NOW)])), ([0, 0, 0], [1, 0, 0]));
    }

    #[test]
    fn an_alert_stays_itself_while_it_gets_worse() {
        let target = Some("http://10.0.0.1:9464".into());
        let mild = AlertLine::at(&AlertRow { level: Level::Warning, target: target.clone(), ..fires() }, NOW);
        let bad = AlertLine::at(&AlertRow { target: target.clone(), ..fires() }, NOW);
        assert_eq!(mild.identity(), bad.identity());
        assert_ne!((mild.identity(), mild.searched()), (AlertLine::at(&fires(), NOW).identity(), bad.searched()));
        let quiet = |target| AlertLine::at(&AlertRow { state: AlertState::Inactive, target, ..fires() }, NOW);
        assert_eq!(quiet(target).identity(), quiet(None).identity());
    }

    #[test]
    fn an_alert_without_a_target_says_whose_it_is() {
        let alert = AlertLine::at(&fires(), NOW);
        assert_eq!((place(&alert).text.as_str(), alert.service), ("job=shop queue=email", Some("shop".into())));
    }
}
