//! The windowed views: what was counted lately, as documents for people and scripts, computed from the flight recorder and
//! the newest snapshot. Who may read them is not decided here.
//!
//! `parameters` reads what is asked for, `figures` holds what all compute with; `requests`, `queries`, `caches`, `jobs` and
//! `process` make one block each, `failed` lists jobs, `documents` puts them together, `verdicts` says what they mean; `trends` and `history`
//! go back in time.

mod caches;
mod documents;
mod failed;
mod figures;
mod history;
mod jobs;
mod parameters;
mod process;
mod queries;
mod requests;
mod summary;
mod trends;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use heartline_shared::frame::MEDIA_TYPE;
use http::StatusCode;
use http::header::ACCEPT;
use hyper::body::Bytes;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use self::figures::View as Figures;
use self::parameters::{BadParameter, Parameters};
pub(crate) use self::summary::log_summary;
use super::answer::{Asked, Body, JSON};
use super::fresh::Fresh;
use super::payload::Answer;
use crate::clock::Tick;
use crate::recorder::FlightRecorder;

/// The window of views that name none.
const DEFAULT_WINDOW: Duration = Duration::from_mins(5);
/// The window of the realtime view.
const REALTIME_WINDOW: Duration = Duration::from_secs(1);
/// How often the realtime stream sends an event.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
const EVENT_STREAM: &str = "text/event-stream";
/// Why there is nothing to compute from.
const NO_HISTORY: &str = "this agent keeps no history; give it some with history_bytes(8 << 20)";

/// A view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Index,
    Summary,
    Dashboard,
    Queries,
    Realtime,
    Trends,
    Cache,
    Jobs,
    FailedJobs,
    History,
}

impl View {
    /// The view of a path, canonical or alias, and whether a read token must be set for it.
    pub(super) fn of(path: &str) -> Option<(Self, bool)> {
        let guarded = path.strip_prefix("/api/admin/performance");
        let (name, alias) = match guarded.or_else(|| path.strip_prefix("/api/performance")) {
            Some(name) => (name, true),
            None => (path.strip_prefix("/api/v1")?, false),
        };
        let view = match name {
            "" if alias => Self::Index,
            "/performance" if !alias => Self::Index,
            "/summary" => Self::Summary,
            "/dashboard" => Self::Dashboard,
            "/queries" => Self::Queries,
            "/realtime" => Self::Realtime,
            "/trends" => Self::Trends,
            "/cache" => Self::Cache,
            "/jobs" => Self::Jobs,
            "/jobs/failed" => Self::FailedJobs,
            "/history" if !alias => Self::History,
            _ => return None,
        };
        Some((view, guarded.is_some()))
    }

    /// The answer to a request with these parameters that arrived at `now` on the boot-time clock.
    pub(super) fn answer(self, asked: Asked<'_>, query: &str, fresh: &Arc<Fresh>, now: Duration) -> Answer {
        if self == Self::FailedJobs {
            return failed_jobs(asked, &Parameters::of(query), fresh);
        }
        let Some(recorder) = fresh.source().recorder() else {
            return asked.problem(StatusCode::NOT_IMPLEMENTED, NO_HISTORY);
        };
        let parameters = Parameters::of(query);
        let answered = match self {
            Self::History => history(asked, recorder, &parameters),
            Self::Realtime if wants_events(asked) => events(asked, fresh, &parameters),
            _ => self.document(fresh, recorder, &parameters, now).map(|document| {
                let body = Body::new(document.to_string());
                match self {
                    Self::Dashboard => asked.tagged_document(JSON, &body),
                    _ => asked.document(StatusCode::OK, JSON, &body),
                }
            }),
        };
        answered.unwrap_or_else(|BadParameter(why)| asked.problem(StatusCode::BAD_REQUEST, &why))
    }

    fn document(
        self,
        fresh: &Fresh,
        recorder: &FlightRecorder,
        parameters: &Parameters,
        now: Duration,
    ) -> Result<Value, BadParameter> {
        let length = if self == Self::Realtime { REALTIME_WINDOW } else { DEFAULT_WINDOW };
        let window = recorder.window(parameters.span("window")?.unwrap_or(length));
        let snapshot = &fresh.at(now).snapshot;
        let view = Figures { snapshot, window: &window };
        Ok(match self {
            Self::Index => documents::index(&view, &recorder.reach()),
            Self::Summary => documents::summary(&view),
            Self::Dashboard => documents::dashboard(&view),
            Self::Queries => queries::document(&view, parameters)?,
            Self::Trends => trends::document(&view, recorder, parameters)?,
            Self::Cache => caches::document(&view),
            Self::Jobs => jobs::document(&view),
            Self::Realtime | Self::History | Self::FailedJobs => documents::realtime(&view),
        })
    }
}

fn failed_jobs(asked: Asked<'_>, parameters: &Parameters, fresh: &Fresh) -> Answer {
    let Some(failures) = fresh.source().failures() else {
        return asked.problem(StatusCode::NOT_IMPLEMENTED, "this agent keeps no list of failed jobs");
    };
    match failed::document(failures, parameters) {
        Ok(document) => asked.document(StatusCode::OK, JSON, &Body::new(document.to_string())),
        Err(BadParameter(why)) => asked.problem(StatusCode::BAD_REQUEST, &why),
    }
}

fn history(asked: Asked<'_>, recorder: &FlightRecorder, parameters: &Parameters) -> Result<Answer, BadParameter> {
    let range = history::range(parameters, Tick::now().wall)?;
    Ok(asked.streamed(MEDIA_TYPE, history::chunks(recorder.excerpt(range))))
}

fn wants_events(asked: Asked<'_>) -> bool {
    asked.headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(EVENT_STREAM)))
}

/// The realtime view as server-sent events, one a second, until the client leaves.
fn events(asked: Asked<'_>, fresh: &Arc<Fresh>, parameters: &Parameters) -> Result<Answer, BadParameter> {
    parameters.span("window")?;
    let mut ticks = interval(EVENT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (Arc::clone(fresh), parameters.clone(), ticks);
    let next = |(fresh, parameters, mut ticks): (Arc<Fresh>, Parameters, tokio::time::Interval)| async move {
        ticks.tick().await;
        let recorder = fresh.source().recorder()?;
        let document = View::Realtime.document(&fresh, recorder, &parameters, Tick::now().mono).ok()?;
        let event = format!("id: {}\nevent: realtime\ndata: {document}\n\n", document["ts_ms"]);
        Some((Bytes::from(event), (fresh, parameters, ticks)))
    };
    Ok(asked.streamed(EVENT_STREAM, stream::unfold(state, next)))
}

#[cfg(test)]
mod tests;
