//! A file that keeps the changes of alerts, one JSON object a line, so that what fired while nobody looked can be read.
//! Bounded: when the file is full it becomes the older half.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::Context;
use serde::Serialize;

use super::board::TransitionRow;

const FILE_NAME: &str = "alert-changes.ndjson";
const OLDER_FILE_NAME: &str = "alert-changes.1.ndjson";
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How many changes may wait for a slow disk; more are lost, not waited for.
const WAITING_MAX: usize = 1_000;

/// Writes changes in a thread of its own, so that a slow disk delays nothing.
#[derive(Debug)]
pub struct ChangeLog {
    waiting: Option<SyncSender<String>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    name: &'a str,
    level: super::Level,
    state: super::AlertState,
    target: Option<&'a str>,
    labels: std::collections::BTreeMap<&'a str, &'a str>,
    summary: &'a str,
}

impl ChangeLog {
    /// Begins to write into `folder`, which is made if need be.
    ///
    /// # Errors
    /// When the folder or file cannot be made.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let opening = || format!("opening the log of alert changes in {}", folder.display());
        std::fs::create_dir_all(folder).with_context(opening)?;
        let file = append(&folder.join(FILE_NAME)).with_context(opening)?;
        let (waiting, lines) = sync_channel(WAITING_MAX);
        let folder = folder.to_owned();
        let writer = std::thread::Builder::new().name("alert-changes".to_owned());
        let writer = writer.spawn(move || write_all(&lines, file, &folder)).with_context(opening)?;
        Ok(Self { waiting: Some(waiting), writer: Some(writer) })
    }

    /// Adds a change.
    pub fn add(&self, change: &TransitionRow) {
        let line = Line {
            at: change.at.to_string(),
            name: change.name.as_str(),
            level: change.level,
            state: change.state,
            target: change.target.as_ref().map(crate::text::Text::as_str),
            labels: change.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            summary: change.summary.as_str(),
        };
        if let (Some(waiting), Ok(line)) = (&self.waiting, serde_json::to_string(&line)) {
            let _lost_when_the_disk_is_too_slow = waiting.try_send(line);
        }
    }
}

impl Drop for ChangeLog {
    /// Waits until everything is written.
    fn drop(&mut self) {
        self.waiting = None;
        if let Some(writer) = self.writer.take() {
            let _a_panic_there_lost_the_rest = writer.join();
        }
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_all(lines: &Receiver<String>, mut file: File, folder: &Path) {
    let path: PathBuf = folder.join(FILE_NAME);
    for line in lines {
        let full = file.metadata().is_ok_and(|metadata| metadata.len() > FILE_BYTES_MAX);
        if full && std::fs::rename(&path, folder.join(OLDER_FILE_NAME)).is_ok() {
            match append(&path) {
                Ok(fresh) => file = fresh,
                Err(_) => return,
            }
        }
        let _a_full_disk_ends_the_log_not_the_program = writeln!(file, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use heartline_shared::UnixMillis;

    use super::super::{AlertState, Level};
    use super::*;
    use crate::text::Text;

    fn change(summary: &str) -> TransitionRow {
        TransitionRow {
            at: UnixMillis(1_700_000_000_000),
            name: Text::new("QueueDepth"),
            level: Level::Critical,
            state: AlertState::Firing,
            target: Some(Text::new("shop")),
            labels: vec![(Text::new("queue.name"), Text::new("email"))],
            summary: Text::new(summary),
        }
    }

    #[test]
    fn each_change_is_a_line_and_old_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let log = ChangeLog::open(&folder.path().join("new")).unwrap();
            log.add(&change("500 jobs wait\u{1b}"));
        }
        let text = std::fs::read_to_string(folder.path().join("new").join(FILE_NAME)).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[1]["state"], &lines[1]["level"]), (2, &"firing".into(), &"critical".into()));
        assert_eq!(
            (&lines[0]["at"], &lines[0]["labels"]["queue.name"]),
            (&"2023-11-14T22:13:20Z".into(), &"email".into())
        );
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_full_log_becomes_the_older_half() {
        let folder = tempfile::tempdir().unwrap();
        let full = vec![b'\n'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1];
        std::fs::write(folder.path().join(FILE_NAME), full).unwrap();
        drop_after(folder.path(), "new");
        assert!(std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap().len() < 1_000);
        assert!(std::fs::metadata(folder.path().join(OLDER_FILE_NAME)).unwrap().len() > FILE_BYTES_MAX);
    }

    fn drop_after(folder: &Path, summary: &str) {
        ChangeLog::open(folder).unwrap().add(&change(summary));
    }
}
