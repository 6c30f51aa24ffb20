//! Where the shop's log goes: standard error, and files that are rotated every day; and its spans to the agent. What is
//! logged is not known here.

use std::path::Path;

use anyhow::Context;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// What standard error gets unless RUST_LOG says otherwise: warnings and errors, and what the shop itself does.
const ON_STDERR: &str = "warn,heartline_shop=info,sqlx=error";
/// What the files get unless RUST_LOG says otherwise: also the agent's summaries, slow requests and audit events.
const IN_FILES: &str = "warn,heartline_shop=info,heartline=info,sqlx=error";
/// Days of files that are kept.
const FILES_MAX: usize = 7;

/// Logs to standard error only.
pub(crate) fn to_stderr() {
    // A second service in one process keeps the first one's log.
    let _ = tracing_subscriber::registry().with(heartline::trace::layer()).with(stderr()).try_init();
}

/// Logs to standard error, and to `shop.DATE.log` in `folder` if one is given; lines reach the file at the latest when
/// the guard is dropped.
pub(crate) fn start(folder: Option<&Path>) -> anyhow::Result<Option<WorkerGuard>> {
    let Some(folder) = folder else {
        to_stderr();
        return Ok(None);
    };
    // the appender looks for old files there, and complains where there is no folder yet
    std::fs::create_dir_all(folder).with_context(|| unusable(folder))?;
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("shop")
        .filename_suffix("log")
        .max_log_files(FILES_MAX)
        .build(folder)
        .with_context(|| unusable(folder))?;
    let (writer, guard) = tracing_appender::non_blocking(appender);
    let files = fmt::layer().with_ansi(false).with_writer(writer).with_filter(filter(IN_FILES));
    let _ = tracing_subscriber::registry().with(heartline::trace::layer()).with(stderr()).with(files).try_init();
    Ok(Some(guard))
}

fn unusable(folder: &Path) -> String {
    format!("opening a log file in {}; choose another folder with --log-dir", folder.display())
}

fn stderr<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    fmt::layer().with_writer(std::io::stderr).with_filter(filter(ON_STDERR))
}

fn filter(usual: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual))
}
