//! What a command without a screen waits for, on one channel: results of polls, the next tick, the end of its time, a
//! signal. What is done then is not known here.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many events may wait; ticks are not made up.
const WAITING_MAX: usize = 16;

/// Something to react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// It is time to look.
    Tick,
    /// The time is over.
    Over,
    /// The user or the system wants the program to end.
    Interrupted,
}

/// The events of one command. Dropping it ends their tasks.
#[derive(Debug)]
pub(super) struct Events {
    waiting: mpsc::Receiver<Event>,
    _tasks: JoinSet<()>,
}

impl Events {
    /// Ticks every `every`, and ends after `lifetime` if there is one.
    pub(super) fn start(every: Duration, lifetime: Option<Duration>) -> anyhow::Result<Self> {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(tick(every, sender.clone()));
        if let Some(lifetime) = lifetime {
            tasks.spawn(end(lifetime, sender.clone()));
        }
        forward_signals(&mut tasks, &sender).context("preparing for signals")?;
        Ok(Self { waiting, _tasks: tasks })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Event {
        self.waiting.recv().await.unwrap_or(Event::Interrupted)
    }
}

async fn tick(every: Duration, sender: mpsc::Sender<Event>) {
    let mut beat = tokio::time::interval(every);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    beat.tick().await; // the first one is due at once, when nothing is known yet
    loop {
        beat.tick().await;
        if sender.send(Event::Tick).await.is_err() {
            return;
        }
    }
}

async fn end(lifetime: Duration, sender: mpsc::Sender<Event>) {
    tokio::time::sleep(lifetime).await;
    let _nobody_waits_any_more = sender.send(Event::Over).await;
}

#[cfg(unix)]
fn forward_signals(tasks: &mut JoinSet<()>, sender: &mpsc::Sender<Event>) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut signals = signal(kind)?;
        let sender = sender.clone();
        tasks.spawn(async move {
            signals.recv().await;
            let _nobody_waits_any_more = sender.send(Event::Interrupted).await;
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn forward_signals(tasks: &mut JoinSet<()>, sender: &mpsc::Sender<Event>) -> std::io::Result<()> {
    let sender = sender.clone();
    tasks.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _nobody_waits_any_more = sender.send(Event::Interrupted).await;
        }
    });
    Ok(())
}
