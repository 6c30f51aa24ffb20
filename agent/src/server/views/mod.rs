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
use super::answer::{Asked, Body, JSON, streamed};
use super::fresh::Fresh;
use super::payload::Answer;
use super::problem::Problem;
use super::route::Reply;
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
    /// The answer to a request with these parameters that arrived at `now` on the boot-time clock.
    pub(super) async fn answer(self, asked: Asked<'_>, query: &str, fresh: &Arc<Fresh>, now: Duration) -> Reply {
        if self == Self::FailedJobs {
            return failed_jobs(asked, &Parameters::of(query), fresh);
        }
        let Some(recorder) = fresh.source().recorder() else {
            return Err(Problem::not_implemented(NO_HISTORY));
        };
        let parameters = Parameters::of(query);
        let answered = match self {
            Self::History => history(asked, recorder, &parameters),
            Self::Realtime if wants_events(asked) => events(fresh, &parameters),
            _ => self.document(fresh, recorder, &parameters, now).await.map(|document| {
                let body = Body::new(document.to_string());
                match self {
                    Self::Dashboard => asked.tagged_document(JSON, &body),
                    _ => asked.document(StatusCode::OK, JSON, &body),
                }
            }),
        };
        answered.map_err(|BadParameter(why)| Problem::bad_request(why))
    }

    async fn document(
        self,
        fresh: &Fresh,
        recorder: &FlightRecorder,
        parameters: &Parameters,
        now: Duration,
    ) -> Result<Value, BadParameter> {
        let length = if self == Self::Realtime { REALTIME_WINDOW } else { DEFAULT_WINDOW };
        let window = recorder.window(parameters.span("window")?.unwrap_or(length)).await;
        let snapshot = &fresh.at(now).snapshot;
        let view = Figures { snapshot, window: &window };
        Ok(match self {
            Self::Index => documents::index(&view, &recorder.reach()),
            Self::Summary => documents::summary(&view),
            Self::Dashboard => documents::dashboard(&view),
            Self::Queries => queries::document(&view, parameters)?,
            Self::Trends => trends::document(&view, recorder, parameters).await?,
            Self::Cache => caches::document(&view),
            Self::Jobs => jobs::document(&view),
            Self::Realtime | Self::History | Self::FailedJobs => documents::realtime(&view),
        })
    }
}

fn failed_jobs(asked: Asked<'_>, parameters: &Parameters, fresh: &Fresh) -> Reply {
    let Some(failures) = fresh.source().failures() else {
        return Err(Problem::not_implemented("this agent keeps no list of failed jobs"));
    };
    let document = failed::document(failures, parameters).map_err(|BadParameter(why)| Problem::bad_request(why))?;
    Ok(asked.document(StatusCode::OK, JSON, &Body::new(document.to_string())))
}

fn history(asked: Asked<'_>, recorder: &FlightRecorder, parameters: &Parameters) -> Result<Answer, BadParameter> {
    let range = history::range(parameters, Tick::now().wall)?;
    Ok(asked.streamed(MEDIA_TYPE, history::chunks(recorder.excerpt(range))))
}

fn wants_events(asked: Asked<'_>) -> bool {
    asked.headers.get_all(ACCEPT).iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains(EVENT_STREAM)))
}

/// The realtime view as server-sent events, one a second, until the client leaves.
fn events(fresh: &Arc<Fresh>, parameters: &Parameters) -> Result<Answer, BadParameter> {
    parameters.span("window")?;
    let mut ticks = interval(EVENT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = (Arc::clone(fresh), parameters.clone(), ticks);
    let next = |(fresh, parameters, mut ticks): (Arc<Fresh>, Parameters, tokio::time::Interval)| async move {
        ticks.tick().await;
        let recorder = fresh.source().recorder()?;
        let document = View::Realtime.document(&fresh, recorder, &parameters, Tick::now().mono).await.ok()?;
        let event = format!("id: {}\nevent: realtime\ndata: {document}\n\n", document["ts_ms"]);
        Some((Bytes::from(event), (fresh, parameters, ticks)))
    };
    Ok(streamed(EVENT_STREAM, stream::unfold(state, next)))
}

#[cfg(test)]
mod tests;
