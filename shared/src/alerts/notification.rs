//! `[[notify]]`, `[routing]` and `[[mute]]`: read and checked strictly, so that a file is right before anything is sent.
//! Sending, grouping and calendars are not known here.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

use super::diagnostic::did_you_mean;
use super::document::{Fields, Text};
use super::inhibition::AlertMatch;

const GROUP_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// The channel every file may route to without declaring it.
const DESKTOP: &str = "desktop";

/// A place alerts can be sent to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notifier {
    /// Unique in the file; routes refer to it.
    pub name: String,
    /// What it is.
    pub channel: Channel,
    /// Whether the end of an alert is sent too.
    pub send_resolved: bool,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// The kinds of channels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Channel {
    /// The desktop's notifications, or the terminal bell.
    Desktop,
    /// A Slack-compatible incoming webhook.
    Slack {
        /// Where to.
        url: Secret,
    },
    /// An HTTP endpoint that takes Alertmanager's webhook payload.
    Webhook {
        /// Where to.
        url: Secret,
        /// Headers of the request.
        headers: Vec<(String, Secret)>,
    },
    /// Alertmanagers, all of which get every alert.
    Alertmanager {
        /// Their base URLs.
        urls: Vec<Secret>,
    },
    /// A program, started without a shell.
    Command {
        /// The program and its arguments, with places such as `{alertname}`.
        argv: Vec<String>,
    },
}

/// A text that may hold `${env:NAME}` and `${file:PATH}`; these are filled in when it is used, never when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Secret(pub String);

/// Which alerts go where; names and defaults are Alertmanager's.
#[derive(Debug, Clone, Serialize)]
pub struct Routing {
    /// Notifiers of alerts that no route takes.
    pub to: Vec<String>,
    /// The labels whose values make one group.
    pub group_by: Vec<String>,
    /// How long a new group waits for company.
    pub group_wait: Duration,
    /// How often a changed group is sent, at most.
    pub group_interval: Duration,
    /// How often an unchanged group is sent again.
    pub repeat_interval: Duration,
    /// The first that matches takes an alert.
    pub routes: Vec<Route>,
}

/// One `[[routing.route]]`.
#[derive(Debug, Clone, Serialize)]
pub struct Route {
    /// Which alerts.
    #[serde(skip)]
    pub matches: AlertMatch,
    /// Notifiers.
    pub to: Vec<String>,
}

/// A maintenance window; every list that is empty allows everything.
#[derive(Debug, Clone, Serialize)]
pub struct Mute {
    /// Unique in the file.
    pub name: String,
    /// Which alerts.
    #[serde(skip)]
    pub matches: AlertMatch,
    /// Days of the week, Monday being 1.
    pub weekdays: Vec<RangeInclusive<u8>>,
    /// Minutes since midnight; a range that ends before it begins runs over midnight.
    pub minutes: Vec<(u16, u16)>,
    /// Days of the month; negative ones count from its end.
    pub days_of_month: Vec<RangeInclusive<i8>>,
    /// Months, January being 1.
    pub months: Vec<RangeInclusive<u8>>,
    /// An IANA time zone; UTC when the file names none.
    pub location: String,
}

/// Reads every `[[notify]]`.
pub(super) fn notifiers(tables: Vec<Fields<'_>>) -> Vec<Notifier> {
    let mut notifiers: Vec<Notifier> = Vec::new();
    for mut table in tables {
        let name = table.required_text("name");
        let channel = channel(&mut table);
        let send_resolved = table.flag("send_resolved").unwrap_or(true);
        let timeout = table.duration("timeout").unwrap_or(Duration::from_secs(10));
        if let Some(name) = &name
            && notifiers.iter().any(|earlier| earlier.name == name.value)
        {
            table.problems.report(name.span.clone(), format!("there is another notifier `{}`", name.value), None);
        }
        table.finish();
        if let (Some(name), Some(channel)) = (name, channel) {
            notifiers.push(Notifier { name: name.value.to_owned(), channel, send_resolved, timeout });
        }
    }
    notifiers
}

#[derive(Clone, Copy)]
enum Type {
    Desktop,
    Slack,
    Webhook,
    Alertmanager,
    Command,
}

fn channel(table: &mut Fields<'_>) -> Option<Channel> {
    const TYPES: [(&str, Type); 5] = [
        ("desktop", Type::Desktop),
        ("slack", Type::Slack),
        ("webhook", Type::Webhook),
        ("alertmanager", Type::Alertmanager),
        ("command", Type::Command),
    ];
    table.required_text("type")?;
    Some(match table.choice("type", &TYPES)? {
        Type::Desktop => Channel::Desktop,
        Type::Slack => Channel::Slack { url: url(table)? },
        Type::Webhook => {
            let headers = table.named_texts("headers").into_iter();
            let headers: Vec<(String, Text<'_>)> =
                headers.map(|(name, value)| (name.value.to_owned(), value)).collect();
            let headers: Vec<(String, Secret)> =
                headers.into_iter().filter_map(|(name, value)| Some((name, secret(table, &value)?))).collect();
            Channel::Webhook { url: url(table)?, headers }
        }
        Type::Alertmanager => {
            let texts = table.texts("urls").unwrap_or_default();
            if texts.is_empty() {
                let help = Some("urls = [\"http://127.0.0.1:9093\"]".to_owned());
                table.problems.missing(table.span.clone(), "an alertmanager notifier needs `urls`", help);
            }
            Channel::Alertmanager { urls: texts.iter().filter_map(|text| web_address(table, text)).collect() }
        }
        Type::Command => {
            let argv = table.strings("argv").unwrap_or_default();
            if argv.first().is_none_or(String::is_empty) {
                let help = Some("argv = [\"/path/to/program\", \"{alertname}\"]".to_owned());
                table.problems.missing(table.span.clone(), "a command notifier needs `argv`", help);
            }
            Channel::Command { argv }
        }
    })
}

fn url(table: &mut Fields<'_>) -> Option<Secret> {
    let text = table.required_text("url")?;
    web_address(table, &text)
}

fn web_address(table: &Fields<'_>, text: &Text<'_>) -> Option<Secret> {
    let begins = ["http://", "https://", "${"].iter().any(|prefix| text.value.starts_with(prefix));
    if !begins {
        let help = Some("begin with https://, http:// or ${env:NAME}".to_owned());
        table.problems.report(text.span.clone(), format!("`{}` is no web address", text.value), help);
        return None;
    }
    secret(table, text)
}

/// Checks the form of every `${…}`.
fn secret(table: &Fields<'_>, text: &Text<'_>) -> Option<Secret> {
    let mut rest = text.value;
    while let Some(at) = rest.find("${") {
        let inner = rest[at + 2..].split_once('}');
        let valid = inner.is_some_and(|(inner, _)| {
            let named = |prefix| inner.strip_prefix(prefix).is_some_and(|name: &str| !name.is_empty());
            named("env:") || named("file:")
        });
        let Some((_, after)) = inner.filter(|_| valid) else {
            let help = Some("write ${env:NAME} or ${file:/path}".to_owned());
            table.problems.report(text.span.clone(), "this is no reference to a secret", help);
            return None;
        };
        rest = after;
    }
    Some(Secret(text.value.to_owned()))
}

/// Reads `[routing]`.
pub(super) fn routing(mut table: Fields<'_>, notifiers: &[Notifier], alerts: &[&str]) -> Routing {
    let to = targets(&mut table, notifiers);
    let group_by = table.strings("group_by").unwrap_or_else(|| vec!["alertname".to_owned(), "job".to_owned()]);
    let group_wait = table.duration("group_wait").unwrap_or(Duration::from_secs(30));
    let group_interval = table.duration("group_interval").unwrap_or(Duration::from_mins(5));
    if group_interval < GROUP_INTERVAL_MIN {
        let help = Some("10s or more, or receivers drown".to_owned());
        table.problems.report(table.key_span("group_interval"), "`group_interval` is too short", help);
    }
    let repeat_interval = table.duration("repeat_interval").unwrap_or(Duration::from_hours(4));
    let routes = table.tables("route").into_iter().map(|mut route| {
        "[[routing.route]]".clone_into(&mut route.what);
        let pairs = route.named_texts("match");
        let matches = AlertMatch::read(&route, pairs, alerts);
        let to = targets(&mut route, notifiers);
        if to.is_empty() {
            let help = Some("to = [\"desktop\"]".to_owned());
            route.problems.missing(route.span.clone(), "a route goes somewhere", help);
        }
        route.finish();
        Route { matches, to }
    });
    let routes = routes.collect();
    table.finish();
    Routing { to, group_by, group_wait, group_interval, repeat_interval, routes }
}

fn targets(table: &mut Fields<'_>, notifiers: &[Notifier]) -> Vec<String> {
    let texts = table.texts("to").unwrap_or_default();
    for text in &texts {
        let names = || notifiers.iter().map(|it| it.name.as_str()).chain([DESKTOP]);
        if !names().any(|name| name == text.value) {
            let help = did_you_mean(text.value, names()).unwrap_or_else(|| "add it with [[notify]]".to_owned());
            table.problems.report(text.span.clone(), format!("no notifier is called `{}`", text.value), Some(help));
        }
    }
    texts.into_iter().map(|text| text.value.to_owned()).collect()
}

/// Reads every `[[mute]]`.
pub(super) fn mutes(tables: Vec<Fields<'_>>, alerts: &[&str]) -> Vec<Mute> {
    let mute = |mut table: Fields<'_>| {
        let name = table.required_text("name");
        let pairs = table.named_texts("match");
        let matches = AlertMatch::read(&table, pairs, alerts);
        let mute = Mute {
            name: name?.value.to_owned(),
            matches,
            weekdays: ranges(&mut table, "weekdays", "monday:friday", |text| named_day(text, &WEEKDAYS)),
            minutes: times(&mut table),
            days_of_month: ranges(&mut table, "days_of_month", "1:7 or -1", day_of_month),
            months: ranges(&mut table, "months", "january:march", |text| named_day(text, &MONTHS)),
            location: location(&mut table),
        };
        table.finish();
        Some(mute)
    };
    tables.into_iter().filter_map(mute).collect()
}

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn named_day(text: &str, names: &[&str]) -> Option<u8> {
    let at = names.iter().position(|name| *name == text.to_lowercase())?;
    u8::try_from(at + 1).ok()
}

fn day_of_month(text: &str) -> Option<i8> {
    text.parse().ok().filter(|day: &i8| *day != 0 && (-31..=31).contains(day))
}

fn ranges<T: Copy>(
    table: &mut Fields<'_>,
    key: &'static str,
    example: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Vec<RangeInclusive<T>> {
    let texts = table.texts(key).unwrap_or_default();
    let range = |text: &Text<'_>| {
        let (from, to) = text.value.split_once(':').unwrap_or((text.value, text.value));
        let range = read(from.trim()).zip(read(to.trim())).map(|(from, to)| from..=to);
        if range.is_none() {
            let help = Some(format!("write it like `{example}`"));
            table.problems.report(text.span.clone(), format!("`{}` does not belong in `{key}`", text.value), help);
        }
        range
    };
    texts.iter().filter_map(range).collect()
}

fn times(table: &mut Fields<'_>) -> Vec<(u16, u16)> {
    let texts = table.texts("times").unwrap_or_default();
    let minutes = |text: &str| {
        let (hours, minutes) = text.trim().split_once(':')?;
        let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
        let whole = hours.checked_mul(60)?.checked_add(minutes)?;
        (minutes < 60 && whole <= 1_440).then_some(whole)
    };
    let range = |text: &Text<'_>| {
        let range = text.value.split_once('-').and_then(|(from, to)| Some((minutes(from)?, minutes(to)?)));
        if range.is_none() {
            let help = Some("write it like `02:00-03:30`".to_owned());
            table.problems.report(text.span.clone(), format!("`{}` is no range of times", text.value), help);
        }
        range
    };
    texts.iter().filter_map(range).collect()
}

fn location(table: &mut Fields<'_>) -> String {
    let Some(text) = table.text("location") else { return "UTC".to_owned() };
    let plausible = |c: char| c.is_ascii_alphanumeric() || "_/+-".contains(c);
    if text.value.is_empty() || !text.value.chars().all(plausible) {
        let help = Some("write it like `Europe/Berlin`".to_owned());
        table.problems.report(text.span, format!("`{}` is no time zone", text.value), help);
    }
    text.value.to_owned()
}
