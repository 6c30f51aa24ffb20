//! How the service asks for a push before it is due, alone or with metrics of its own, and waits for what became of it. What is
//! pushed is not known here.

use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Requests that wait while another is under way; one more is refused.
const WAITING_MAX: usize = 16;

/// Metrics of somebody else that go in one request with the agent's.
#[derive(Debug, Clone)]
pub(crate) struct Along {
    /// An encoded `ExportMetricsServiceRequest`.
    pub(crate) body: Bytes,
    /// Data points in it.
    pub(crate) points: u64,
}

/// Told whether a push arrived, and else why not; dropped untold when the agent ends before.
pub(crate) type Reply = Box<dyn FnOnce(Result<(), String>) + Send>;

/// A push that somebody waits for.
pub(crate) struct Asked {
    pub(super) along: Option<Along>,
    /// What it may take, tries again included.
    pub(super) budget: Duration,
    pub(super) reply: Reply,
}

/// Asks the exporter.
#[derive(Debug, Clone)]
pub(crate) struct Asking(mpsc::Sender<Asked>);

impl Asking {
    /// One who asks, and where an exporter finds it.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Asked>) {
        let (asking, asked) = mpsc::channel(WAITING_MAX);
        (Self(asking), asked)
    }

    /// Asks for a push of everything known now and of what comes `along`, that may take `budget`.
    pub(crate) fn ask(&self, along: Option<Along>, budget: Duration, reply: Reply) -> Result<(), String> {
        self.0.try_send(Asked { along, budget, reply }).map_err(|error| match error {
            TrySendError::Full(_) => format!("{WAITING_MAX} others wait for a push already"),
            TrySendError::Closed(_) => "the agent was shut down".to_owned(),
        })
    }

    /// Asks for a push of everything known now, and waits `timeout` for it. The push may take nine tenths of that: who waits no
    /// longer than the exporter does not hear why it did not arrive.
    pub(crate) fn flush(&self, timeout: Duration) -> Result<(), String> {
        use std::sync::mpsc::{RecvTimeoutError, sync_channel};

        let (reply, replied) = sync_channel(1);
        let reply = Box::new(move |pushed| drop(reply.send(pushed))); // who gave up waiting is not told
        self.ask(None, timeout / 10 * 9, reply)?;
        replied.recv_timeout(timeout).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => format!("no answer within {timeout:?}"),
                RecvTimeoutError::Disconnected => "the agent was shut down meanwhile".to_owned(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exporter_gives_up_before_the_one_who_waits_for_it() {
        let (asking, mut asked) = Asking::channel();
        let exporter = std::thread::spawn(move || {
            let asked = asked.blocking_recv().unwrap();
            (asked.reply)(Err(format!("nobody within {:?}", asked.budget)));
        });
        assert_eq!(asking.flush(Duration::from_secs(20)), Err("nobody within 18s".to_owned()));
        exporter.join().unwrap();
    }
}
