//! How many lives of the service, one after the other, ended leaking: kept in a file, because a process does not know those before
//! it. Whether one leaks is decided elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// More than these make no detector any faster that still looks for growth.
const LEAKING_MAX: u32 = 3;

/// What is known of earlier lives, and where.
#[derive(Debug)]
pub(crate) struct Lives {
    file: PathBuf,
    version: Option<String>,
    /// As the file has it.
    leaking: u32,
}

impl Lives {
    /// Reads `file`, which need not be there; those of another `version` of the service do not count, nor does what cannot be
    /// read, which is logged.
    pub(crate) fn read(file: PathBuf, version: Option<&str>) -> Self {
        let leaking = match read(&file, version) {
            Ok(leaking) => leaking,
            Err(reason) => {
                let file = file.display();
                tracing::warn!(%file, %reason, "reading whether earlier lives of the service leaked; none are known");
                0
            }
        };
        Self { file, version: version.map(str::to_owned), leaking }
    }

    /// Earlier lives of this version, one after the other, that ended leaking.
    pub(super) fn leaking(&self) -> u32 {
        self.leaking
    }

    /// So many have, should this one end now. Written when it changes; what cannot be written is logged.
    pub(super) fn say(&mut self, leaking: u32) {
        if leaking == self.leaking {
            return;
        }
        self.leaking = leaking;
        let text = json!({ "version": self.version, "leaking_lives": leaking }).to_string();
        if let Err(reason) = write(&self.file, &text) {
            let file = self.file.display();
            tracing::warn!(%file, %reason, "writing that the service leaks, for its next life; may the service write there?");
        }
    }
}

fn read(file: &Path, version: Option<&str>) -> Result<u32, String> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        text => text.map_err(|error| error.to_string())?,
    };
    let document: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let leaking = document["leaking_lives"].as_u64().ok_or("it has no number of leaking_lives")?;
    let is_ours = document["version"].as_str() == version;
    Ok(if is_ours { u32::try_from(leaking).map_or(LEAKING_MAX, |leaking| leaking.min(LEAKING_MAX)) } else { 0 })
}

/// Whole or not at all: a process may end at any moment.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_life_says_the_next_of_the_same_version_knows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lives.json");
        let known = |version| Lives::read(file.clone(), version).leaking();
        assert_eq!(known(Some("1.0")), 0, "there is no file");
        let mut first = Lives::read(file.clone(), Some("1.0"));
        first.say(0);
        assert!(!file.exists(), "nothing to say");
        first.say(1);
        assert_eq!((known(Some("1.0")), known(Some("1.1")), known(None)), (1, 0, 0));
        first.say(0);
        assert_eq!(known(Some("1.0")), 0, "the growth has ended");
        first.say(900);
        assert_eq!(known(Some("1.0")), LEAKING_MAX);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn what_cannot_be_read_or_written_is_no_life_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lives.json");
        for broken in ["", "[]", "{\"version\": null}", "{\"version\": null, \"leaking_lives\": -1}"] {
            fs::write(&file, broken).unwrap();
            assert_eq!(Lives::read(file.clone(), None).leaking(), 0, "{broken}");
        }
        let mut nowhere = Lives::read(folder.path().join("no/such/folder/lives.json"), None);
        nowhere.say(2);
        assert_eq!(nowhere.leaking(), 2);
        let mut in_the_way = Lives::read(folder.path().to_owned(), None);
        in_the_way.say(1);
    }
}
