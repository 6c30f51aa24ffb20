//! Where alert rules come from: which file, what it says, and when it has changed. What they mean is not known here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use heartline_shared::alerts::{AlertFile, Diagnostic, FILE_BYTES_MAX};
use tokio::task::JoinHandle;

use crate::text::Text;

/// How often a file of rules is looked at.
pub const RULES_POLL: Duration = Duration::from_secs(2);
const FILE_NAME: &str = "alerts.toml";
const BUILT_IN: &str = include_str!("../../../alerts.toml");
const BUILT_IN_NAME: &str = "built-in rules";

/// Where rules come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSource {
    /// A file.
    File(PathBuf),
    /// The rules that come with the program.
    BuiltIn,
}

/// Rules that were read; or what is wrong with them.
pub type RuleFile = Result<AlertFile, Vec<Mistake>>;

/// What is wrong at one place of the rules, and what to write instead, in a few lines. Its `Display` is these lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake(Vec<Text>);

impl Mistake {
    /// A mistake that is explained so; the lines of `explanation` are made safe to print.
    pub fn new(explanation: &str) -> Self {
        Self(explanation.lines().map(Text::new).collect())
    }

    /// Its lines.
    pub fn lines(&self) -> &[Text] {
        &self.0
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.0.iter().map(Text::as_str).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl RuleSource {
    /// The file that was named; else `alerts.toml` in the first of `folders` that has one; else the built-in rules.
    pub fn find(named: Option<&Path>, folders: &[PathBuf]) -> Self {
        let lying = || folders.iter().map(|folder| folder.join(FILE_NAME)).find(|path| path.is_file());
        named.map(Path::to_owned).or_else(lying).map_or(Self::BuiltIn, Self::File)
    }

    /// How it is called.
    pub fn name(&self) -> Text {
        match self {
            Self::File(path) => Text::new(&path.display().to_string()),
            Self::BuiltIn => Text::new(BUILT_IN_NAME),
        }
    }

    /// Reads the rules.
    ///
    /// # Errors
    /// Every problem of the file, with its place; or why it cannot be read.
    pub fn read(&self) -> RuleFile {
        let text = match self {
            Self::BuiltIn => return parse(BUILT_IN, BUILT_IN_NAME),
            Self::File(path) => read_bounded(path),
        };
        let name = self.name();
        let text = text.map_err(|error| vec![Mistake::new(&format!("cannot read the alert rules {name}: {error}"))])?;
        parse(&text, name.as_str())
    }

    fn fingerprint(&self) -> Option<(SystemTime, u64)> {
        let Self::File(path) = self else { return None };
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX as u64 {
        return Err(std::io::Error::other(format!("it has {size} bytes, the most is {FILE_BYTES_MAX}")));
    }
    std::fs::read_to_string(path)
}

fn parse(text: &str, name: &str) -> RuleFile {
    let mistake = |problem: &Diagnostic| Mistake::new(&problem.to_string());
    AlertFile::parse(text, name).map_err(|problems| problems.iter().map(mistake).collect())
}

/// Notices when a file of rules changes, in a task of its own. Dropping it ends that.
#[derive(Debug)]
pub struct RuleWatch {
    changed: Arc<Mutex<Option<RuleFile>>>,
    task: JoinHandle<()>,
}

impl RuleWatch {
    /// Begins to look at `source` every `every`, within a tokio runtime. Built-in rules never change.
    pub fn start(source: RuleSource, every: Duration) -> Self {
        let changed = Arc::new(Mutex::new(None));
        let found = Arc::clone(&changed);
        let mut known = source.fingerprint();
        let task = tokio::spawn(async move {
            if source == RuleSource::BuiltIn {
                return;
            }
            loop {
                tokio::time::sleep(every).await;
                let (looked_at, before) = (source.clone(), known);
                let look = move || {
                    let now = looked_at.fingerprint();
                    (now, (now != before).then(|| looked_at.read()))
                };
                let Ok((now, rules)) = tokio::task::spawn_blocking(look).await else { continue };
                known = now;
                if rules.is_some() {
                    *found.lock().unwrap_or_else(PoisonError::into_inner) = rules;
                }
            }
        });
        Self { changed, task }
    }

    /// The rules as they are since the file changed; `None` when it did not since the last call.
    pub fn take_changed(&self) -> Option<RuleFile> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for RuleWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "\
version = 1
[[alert]]
name = 'Slow'
signal = 'p95(http.server.request.duration)'
warning = '> 1s'
";

    #[test]
    fn the_built_in_rules_are_sound() {
        assert!(RuleSource::BuiltIn.read().unwrap().rules().len() > 5);
    }

    #[test]
    fn the_first_folder_with_rules_wins_and_a_named_file_beats_it() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [first.path().to_owned(), second.path().to_owned()];
        assert_eq!(RuleSource::find(None, &folders), RuleSource::BuiltIn);
        std::fs::write(second.path().join(FILE_NAME), RULE).unwrap();
        assert_eq!(RuleSource::find(None, &folders), RuleSource::File(second.path().join(FILE_NAME)));
        std::fs::write(first.path().join(FILE_NAME), RULE).unwrap();
        assert_eq!(RuleSource::find(None, &folders), RuleSource::File(first.path().join(FILE_NAME)));
        let named = Path::new("mine.toml");
        assert_eq!(RuleSource::find(Some(named), &folders), RuleSource::File(named.to_owned()));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let problems = RuleSource::File(PathBuf::from("/nowhere/alerts.toml")).read().unwrap_err();
        assert!(problems[0].to_string().contains("/nowhere/alerts.toml"));
    }

    #[test]
    fn mistakes_have_their_line_column_and_caret() {
        let problems = parse(&RULE.replace("'> 1s'", "'> 5%'"), "alerts.toml").unwrap_err();
        let [mistake] = &problems[..] else { panic!("{problems:?}") };
        let shown = mistake.to_string();
        assert!(shown.contains("alerts.toml:5:") && shown.contains('^'), "{shown}");
    }

    async fn next(watch: &RuleWatch) -> RuleFile {
        loop {
            match watch.take_changed() {
                Some(rules) => return rules,
                None => tokio::task::yield_now().await,
            }
        }
    }

    #[tokio::test]
    async fn a_changed_file_is_noticed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, RULE).unwrap();
        let watch = RuleWatch::start(RuleSource::File(path.clone()), Duration::from_millis(10));
        std::fs::write(&path, format!("{RULE}\nnonsense = 1")).unwrap();
        let deadline = Duration::from_secs(10);
        assert!(tokio::time::timeout(deadline, next(&watch)).await.unwrap().is_err());
        std::fs::write(&path, RULE.replace("Slow", "Slower")).unwrap();
        let rules = tokio::time::timeout(deadline, next(&watch)).await.unwrap().unwrap();
        assert_eq!(rules.rules()[0].name, "Slower");
        assert!(watch.take_changed().is_none());
    }
}
