//! Signals to the process, as values. What is done about them is not decided here.

use std::io;

/// A signal that the dashboard answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Give the terminal back and die by this signal.
    End(i32),
    /// Give the terminal back and stop, as ctrl-z asks for.
    Stop,
    /// Was continued after it was stopped.
    Continue,
}

#[cfg(unix)]
pub(super) use unix::Signals;

#[cfg(unix)]
mod unix {
    use futures_util::future::{FutureExt as _, select_all};
    use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

    use super::{Signal, io};

    /// The signals of the process.
    pub(crate) struct Signals {
        streams: Vec<(Signal, Stream)>,
    }

    impl Signals {
        /// Takes the signals that would end or stop the process with the terminal in our modes.
        pub(crate) fn listen() -> io::Result<Self> {
            use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
            let ends = [SIGINT, SIGTERM, SIGHUP, SIGQUIT].map(|number| (Signal::End(number), number));
            let wanted = ends.into_iter().chain([(Signal::Stop, SIGTSTP), (Signal::Continue, SIGCONT)]);
            let streams = wanted.map(|(meaning, number)| Ok((meaning, signal(SignalKind::from_raw(number))?)));
            Ok(Self { streams: streams.collect::<io::Result<_>>()? })
        }

        /// Waits for the next signal. None is lost when the future is dropped before it is ready.
        pub(crate) async fn next(&mut self) -> Signal {
            let waits = self.streams.iter_mut().map(|(meaning, stream)| {
                async {
                    stream.recv().await;
                    *meaning
                }
                .boxed()
            });
            select_all(waits).await.0
        }
    }
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    /// On these systems raw mode turns ctrl-c into a key, and closing the window ends the process.
    pub(super) async fn next(&mut self) -> Signal {
        std::future::pending().await
    }
}
